"""Trackers: programs that receive the figures of a run, beside the terminal. A tracker is one module, and a line of TRACKERS.

Each works in a thread of its own, so that none holds up the run: not one that is slow to import, nor one whose server is away.
"""

import importlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from engine.config import RunConfig
from engine.run.seals import Seal
from engine.run.work import Progress
from engine.store.files import Store, digest
from engine.store.locations import masked, masked_values

log = logging.getLogger(__name__)

TRACKERS: dict[str, str] = {
    "tensorboard": "engine.run.dashboards.tensorboard",
    "mlflow": "engine.run.dashboards.mlflow",
    "wandb": "engine.run.dashboards.wandb",
    "trackio": "engine.run.dashboards.trackio",
    "opentelemetry": "engine.run.opentelemetry",
}
"""Name -> the module that serves it; it has track(run: TrackedRun) -> Tracker."""
EXTRAS: dict[str, str] = {"mlflow": "mlflow", "wandb": "wandb", "trackio": "trackio", "opentelemetry": "otel"}
"""Name -> the extra of this package that brings what its module imports; nothing for a module that imports nothing special."""
WAITING = 100_000
"""Events that a tracker may be behind; then it is left out."""
CLOSE_S = 10.0
"""How long the end of a command waits for its trackers: with SIGTERM, Kubernetes gives it 30 s in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """What a tracker knows of its run from the start: TrackedRun(uri="s3://bucket/runs/a", id="starloop-3f9c...", ...)"""

    uri: str
    id: str
    """Follows from the URI and from the identity of the configuration: every command of the run has the same."""
    name: str
    """The last part of the URI."""
    seed: int
    config: dict[str, Any]
    """As JSON values, whose URIs show no login and no query."""
    store: Store
    sealed: Sequence[Seal] = ()
    """What is sealed when the command begins, in the order of the plan."""

    @classmethod
    def of(cls, config: RunConfig, store: Store, sealed: Sequence[Seal] = ()) -> "TrackedRun":
        uri = store.url().rstrip("/")
        return cls(
            uri=masked(uri),
            id=f"starloop-{digest([uri, config.identity()])[:16]}",
            name=uri.rpartition("/")[2],
            seed=config.run.seed,
            config=masked_values(config.model_dump(mode="json")),
            store=store,
            sealed=sealed,
        )


class Tracker(Protocol):
    """Something that keeps the figures of a run elsewhere, such as a dashboard's server. All calls come from one thread."""

    def report(self, progress: Progress) -> None:
        """Of a train step each optimizer step comes once, in order; done is its number, metrics has its figures.

        A command that continues a run may repeat the steps since the last checkpoint, with the same figures.
        """
        ...

    def sealed(self, seal: Seal) -> None:
        """A step is complete."""
        ...

    def close(self, error: BaseException | None) -> None:
        """`error`: what ends the command; None: it has done all that it was to do."""
        ...


class Worker:
    """A tracker at work in its thread. What it raises is logged in one line, and it is left out from there on."""

    def __init__(self, name: str, run: TrackedRun) -> None:
        self.name = name
        self._events: queue.Queue[Callable[[Tracker], None] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, args=(run,), name=f"tracker-{name}", daemon=True)
        self._is_left_out = False
        self._leaving = threading.Lock()
        self._thread.start()

    def tell(self, event: Callable[[Tracker], None] | None) -> None:
        """None: it has been told everything."""
        try:
            if not self._is_left_out:
                self._events.put_nowait(event)
        except queue.Full:
            self._leave_out(f"it is {WAITING:,} events behind")

    def close(self, error: BaseException | None) -> None:
        self.tell(lambda tracker: tracker.close(error))
        self.tell(None)

    def wait(self, until: float) -> None:
        """For the end of its work, until that time on time.monotonic's clock."""
        self._thread.join(0.0 if self._is_left_out else max(0.0, until - time.monotonic()))
        if self._thread.is_alive() and not self._is_left_out:
            log.warning("tracker %s has not taken everything within %.0f s after the end", self.name, CLOSE_S)

    def _work(self, run: TrackedRun) -> None:
        try:
            tracker: Tracker = importlib.import_module(TRACKERS[self.name]).track(run)
            while (event := self._events.get()) is not None and not self._is_left_out:
                event(tracker)
        except Exception as error:  # of any kind: it is not our code, and not worth a run
            self._leave_out(f"{type(error).__name__}: {error}")

    def _leave_out(self, why: str) -> None:
        with self._leaving:
            if not self._is_left_out:
                log.warning("tracker %s is left out from here on: %s", self.name, " ".join(why.split()))
                self._is_left_out = True  # after the line: the end of a command does not wait for who is left out


class Tracked:
    """Tells the trackers, after the driver's own report."""

    def __init__(self, report: Callable[[Progress], None], workers: Sequence[Worker]) -> None:
        self._report, self._workers = report, workers

    def report(self, progress: Progress) -> None:
        self._report(progress)
        for worker in self._workers:
            worker.tell(partial(_report, progress))

    def sealed(self, seal: Seal) -> None:
        for worker in self._workers:
            worker.tell(partial(_sealed, seal))

    def close(self, error: BaseException | None) -> None:
        for worker in self._workers:
            worker.close(error)
        until = time.monotonic() + CLOSE_S
        for worker in self._workers:
            worker.wait(until)


def _report(progress: Progress, tracker: Tracker) -> None:
    tracker.report(progress)


def _sealed(seal: Seal, tracker: Tracker) -> None:
    tracker.sealed(seal)


def refuse_unknown_trackers(names: Sequence[str]) -> None:
    """Raises ValueError for a name that is not in TRACKERS."""
    if unknown := [name for name in names if name not in TRACKERS]:
        raise ValueError(f"run.trackers: no tracker {unknown[0]!r}; known are {', '.join(TRACKERS) or 'none'}")


def refuse_missing_trackers(names: Sequence[str]) -> None:
    """Raises ValueError for a name that is not in TRACKERS, and for a tracker whose package is not installed."""
    refuse_unknown_trackers(names)
    for name in names:
        try:
            importlib.import_module(TRACKERS[name])
        except ImportError as error:
            remedy = f"pip install 'starloop[{EXTRAS[name]}]'" if name in EXTRAS else f"install it, or take {name} out"
            raise ValueError(f"run.trackers: {name} needs a package that is not installed ({error}); {remedy}") from None


@contextmanager
def tracked(names: Sequence[str], run: TrackedRun, report: Callable[[Progress], None]) -> Iterator[Tracked]:
    """Trackers of these names, started at the beginning of the block and closed at its end.

    Raises ValueError for a name that is not in TRACKERS.
    """
    refuse_unknown_trackers(names)
    trackers = Tracked(report, [Worker(name, run) for name in names])
    try:
        yield trackers
    except BaseException as error:
        trackers.close(error)
        raise
    else:
        trackers.close(None)
