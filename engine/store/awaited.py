"""Says which calls to storage have not come back after a few seconds: who waits for a command knows what it waits for."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

TOLD_AFTER_S, LOOK_S = 5.0, 0.5
"""Seconds until a call is named; between two looks at the calls under way."""


class Awaited:
    """with Awaited("looking for videos", at_most_s=10.0) as awaited, awaited.call("s3://b/v"): ..."""

    def __init__(self, what: str, at_most_s: float) -> None:
        """`at_most_s`: how long a call is waited for, as the line says."""
        self._what, self._at_most_s = what, at_most_s
        self._began: dict[str, float] = {}
        """When each call under way began, by its name."""
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="awaited", daemon=True)

    def __enter__(self) -> "Awaited":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """A call, in any thread."""
        self._began[name] = time.monotonic()
        try:
            yield
        finally:
            del self._began[name]

    def _watch(self) -> None:
        named = set[str]()
        while not self._is_over.wait(LOOK_S):
            longest = time.monotonic() - TOLD_AFTER_S
            if late := [name for name, began in self._began.copy().items() if began < longest and name not in named]:
                named.update(late)
                more = f" and {len(late) - 1} more" if len(late) > 1 else ""
                log.warning("%s: no answer yet from %s%s; waiting for at most %.0f s", self._what, late[0], more, self._at_most_s)
