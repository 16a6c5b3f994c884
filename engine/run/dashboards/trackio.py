"""The tracker "trackio": a run of trackio, in its database on this machine, or where TRACKIO_SPACE_ID or TRACKIO_SERVER_URL say.

Its name has the run's id in it, by which each command of a run continues it. Models are in its configuration, by their URIs.
"""

import logging
import os
from collections.abc import Sequence
from typing import Any

import trackio
import trackio.run
import trackio.utils

from engine.run.dashboards.answers import COLUMNS
from engine.run.dashboards.dashboard import Dashboard
from engine.run.dashboards.histories import History, flat
from engine.run.dashboards.points import Point
from engine.run.trackers import TrackedRun

log = logging.getLogger(__name__)
PROJECT = "starloop"


class TrackioRun:
    """The Service (engine/run/dashboards/dashboard.py)."""

    def __init__(self, run: TrackedRun) -> None:
        for module in (trackio, trackio.run, trackio.utils):
            module.print = _log_line  # a command's standard output is its own, and may be JSON
        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=f"{run.name}-{run.id}",
            config={"starloop.run": run.uri, **flat(run.config)},
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        self._history = History(run.store, f"trackio-{run.id}", self._run.log)

    def latest(self) -> dict[str, int]:
        return self._history.latest()

    def send(self, points: Sequence[Point]) -> None:
        self._history.send(points)

    def show(self, name: str, rows: Sequence[tuple[str, ...]]) -> None:
        self._run.log({name: trackio.Table(columns=list(COLUMNS), data=[list(row) for row in rows])})

    def refer(self, name: str, uri: str) -> None:
        self._run.log({f"model/{name}": uri})

    def close(self, error: BaseException | None) -> None:
        self._run.finish()


def _log_line(*parts: Any, **_: Any) -> None:
    log.debug("%s", " ".join(map(str, parts)))


def track(run: TrackedRun) -> Dashboard:
    return Dashboard(TrackioRun(run), run)
