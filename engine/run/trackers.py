"""Trackers: programs that receive the figures of a run, beside the terminal. A tracker is one module, and a line of TRACKERS."""

import importlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from engine.run.work import Progress

log = logging.getLogger(__name__)

TRACKERS: dict[str, str] = {}
"""Name -> the module that serves it; it has track(run_uri, config) -> Tracker, the config as JSON values."""


class Tracker(Protocol):
    """Something that keeps the figures of a run elsewhere, such as a dashboard's server."""

    def report(self, progress: Progress) -> None:
        """Of a train step each optimizer step comes once, in order; done is its number, metrics has its figures.

        A command that continues a run may repeat the steps since the last checkpoint, with the same figures.
        """
        ...

    def close(self) -> None: ...


def refuse_unknown_trackers(names: Sequence[str]) -> None:
    """Raises ValueError for a name that is not in TRACKERS."""
    if unknown := [name for name in names if name not in TRACKERS]:
        raise ValueError(f"run.trackers: no tracker {unknown[0]!r}; known are {', '.join(TRACKERS) or 'none'}")


@contextmanager
def tracked(
    names: Sequence[str], run_uri: str, config: dict[str, Any], report: Callable[[Progress], None]
) -> Iterator[Callable[[Progress], None]]:
    """A function that calls `report`, and then every tracker of these names.

    A tracker that raises, also while it starts, is logged and left out; the run continues. Raises ValueError for a name that is not
    in TRACKERS.
    """
    refuse_unknown_trackers(names)
    trackers: dict[str, Tracker] = {}

    def start(name: str) -> None:
        trackers[name] = importlib.import_module(TRACKERS[name]).track(run_uri, config)

    def guarded(name: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # of any kind: it is not our code, and not worth a run
            trackers.pop(name, None)
            log.warning("tracker %s is left out from here on: %s: %s", name, type(error).__name__, error)

    def report_to_all(progress: Progress) -> None:
        report(progress)
        for name, tracker in list(trackers.items()):
            guarded(name, partial(tracker.report, progress))

    for name in names:
        guarded(name, partial(start, name))
    try:
        yield report_to_all
    finally:
        for name, tracker in list(trackers.items()):
            guarded(name, tracker.close)
