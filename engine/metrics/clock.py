"""When a generator works and when it has nothing to do: kept in its own process, and sent along with each piece that it has done.

Moments are seconds since 1970 by the node's clock. Nodes' clocks differ by milliseconds where they are synchronized; what differs
is moved from one cause of idleness to another, and no sum changes.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """What a generator did for a piece.

    Worked(actor="8f3a", process="77-5.0", ready=5.0, idle_from=7.0, input_ready=7.4, begun=7.5, ended=9.0, busy_s=1.5)
    """

    actor: str
    """The actor's id, which stays when its process is started anew."""
    process: str
    """Of the process, which is another one after a death."""
    ready: float
    """When its model was loaded."""
    idle_from: float
    """When it had no piece any more, before this one; `begun` where it still had others."""
    input_ready: float
    """When the piece was decoded."""
    begun: float
    ended: float
    busy_s: float
    """Seconds with at least one piece, since the last piece that ended, or since this process became busy."""

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


class WorkClock:
    """with clock.piece(decoded_at) as worked: ... ; worked() when the piece is done. Begins when the model is loaded."""

    def __init__(self, actor: str) -> None:
        self._actor, self._process = actor, f"{os.getpid()}-{time.time():.3f}"
        self.ready = self._mark = time.time()
        """`_mark`: since when the process is idle; while it is busy, up to when its busy seconds are accounted for."""
        self._inside, self._lock = 0, threading.Lock()

    @contextmanager
    def piece(self, input_ready: float | None) -> Iterator[dict[str, Any]]:
        """Yields a dictionary that is filled with the fields of Worked at the end of the block."""
        with self._lock:
            begun = max(time.time(), self._mark)
            idle_from = begun if self._inside else self._mark
            self._mark = self._mark if self._inside else begun
            self._inside += 1
        worked: dict[str, Any] = {}
        try:
            yield worked
        finally:
            with self._lock:
                ended = max(time.time(), self._mark)
                busy_s, self._mark = ended - self._mark, ended
                self._inside -= 1
            worked |= Worked(
                actor=self._actor,
                process=self._process,
                ready=self.ready,
                idle_from=idle_from,
                input_ready=begun if input_ready is None else input_ready,
                begun=begun,
                ended=ended,
                busy_s=busy_s,
            ).to_row()


def decoded_at(row: Mapping[str, Any]) -> float | None:
    """When a piece was decoded, where its row says it."""
    ended: float | None = row.get("decoded_at")
    return ended
