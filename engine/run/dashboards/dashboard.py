"""A tracker over a service that draws curves: it sends each point once, answers of each generate step, and references to models.

What the service has of the run already is not sent again, so that a command which continues a run continues its curves, and a
tracker that is added later gets what was sealed before it came. Nothing large travels: a model is a URI.
"""

import time
from collections.abc import Sequence
from typing import Protocol

from engine.run.dashboards.answers import sampled
from engine.run.dashboards.points import Point, Points
from engine.run.seals import Seal
from engine.run.trackers import TrackedRun
from engine.run.work import Progress

SEND_S = 5.0
"""Points of optimizer steps wait for others for so long."""


class Service(Protocol):
    """One run at a service. Its id follows from the run's, so that every command of the run finds it again."""

    def latest(self) -> dict[str, int]:
        """The last step of each name that it has of this run, as far as it can know."""
        ...

    def send(self, points: Sequence[Point]) -> None: ...

    def show(self, name: str, rows: Sequence[tuple[str, ...]]) -> None:
        """A table of answers; the columns are those of engine/run/dashboards/answers.py."""
        ...

    def refer(self, name: str, uri: str) -> None:
        """A model of the run, by its URI."""
        ...

    def close(self, error: BaseException | None) -> None: ...


class Dashboard:
    """Dashboard(service, run): a Tracker."""

    def __init__(self, service: Service, run: TrackedRun) -> None:
        self._service, self._run, self._points = service, run, Points()
        self._waiting: list[Point] = []
        self._sent_at = time.monotonic()
        self._latest = service.latest()
        for seal in run.sealed:
            self.sealed(seal)

    def report(self, progress: Progress) -> None:
        self._waiting += self._fresh(self._points.of_progress(progress))
        if time.monotonic() - self._sent_at >= SEND_S:
            self._send()

    def sealed(self, seal: Seal) -> None:
        points = self._fresh(self._points.of_seal(seal))
        if any(not point.name.startswith("train/loss") for point in points):  # else it was told before
            self._attach(seal)
        self._waiting += points
        self._send()

    def close(self, error: BaseException | None) -> None:
        self._send()
        self._service.close(error)

    def _attach(self, seal: Seal) -> None:
        name = seal.step.replace("/", "-")
        if seal.step.endswith("/generate"):
            if rows := sampled(self._run.store, seal, self._run.seed):
                self._service.show(f"answers/{name}", rows)
        elif seal.step.endswith("/train"):
            self._service.refer(name, self._run.store.url(f"{seal.step}/model"))

    def _fresh(self, points: Sequence[Point]) -> list[Point]:
        """Those that the service does not have; a name's steps rise."""
        fresh = [point for point in points if point.step > self._latest.get(point.name, -1)]
        self._latest |= {point.name: point.step for point in fresh}
        return fresh

    def _send(self) -> None:
        if self._waiting:
            self._service.send(self._waiting)
        self._waiting, self._sent_at = [], time.monotonic()
