"""The tracker "tensorboard": one event file in the run's own folder, tensorboard/. It needs no package and no server.

    tensorboard --logdir runs/mine/tensorboard

On a disk the file grows as events come, and TensorBoard follows it. In an object store it is put anew every minute and at the end.
The file itself says what it has; what a killed command left half-written at its end is cut off.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from engine.run.dashboards import events
from engine.run.dashboards.answers import COLUMNS
from engine.run.dashboards.dashboard import Dashboard
from engine.run.dashboards.points import Point
from engine.run.trackers import TrackedRun
from engine.store.files import Store
from engine.store.locations import local_path

PATH = "tensorboard/events.out.tfevents.0000000000.starloop"
"""TensorBoard looks for tfevents in the name, and takes the number for the file's time."""
PUT_S = 60.0
"""Between two puts of the file while a finetune is under way."""


class EventFile:
    """The Service (engine/run/dashboards/dashboard.py)."""

    def __init__(self, store: Store) -> None:
        self._store, self._content = store, b""
        local = local_path(store.url(PATH))
        self._local = Path(local) if local is not None else None
        self._put_at = 0.0

    def latest(self) -> dict[str, int]:
        content = self._store.read(PATH) or b""
        end, latest = events.latest_steps(content)
        if self._local is not None and end < len(content):
            os.truncate(self._local, end)
        self._content = b"" if self._local is not None else content[:end]
        if not end:
            self._add(events.header(time.time()))
        return latest

    def send(self, points: Sequence[Point]) -> None:
        now = time.time()
        self._add(b"".join(events.scalar(point.name, point.step, point.value, now) for point in points))

    def show(self, name: str, rows: Sequence[tuple[str, ...]]) -> None:
        lines = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in (COLUMNS, ("---",) * len(COLUMNS), *rows)]
        self._add(events.text(name, 0, "\n".join(lines), time.time()))

    def refer(self, name: str, uri: str) -> None:
        self._add(events.text(f"model/{name}", 0, f"`{uri}`", time.time()))

    def close(self, error: BaseException | None) -> None:
        self._put_at = 0.0
        self._add(b"")

    def _add(self, data: bytes) -> None:
        if self._local is not None:
            self._local.parent.mkdir(parents=True, exist_ok=True)
            with self._local.open("ab") as file:
                file.write(data)
            return
        self._content += data
        if time.monotonic() - self._put_at >= PUT_S:
            self._store.write(PATH, self._content)
            self._put_at = time.monotonic()


def _cell(text: str) -> str:
    r"""
    >>> _cell("a|b\nc")
    'a\\|b c'
    """
    return " ".join(text.replace("|", "\\|").split())


def track(run: TrackedRun) -> Dashboard:
    return Dashboard(EventFile(run.store), run)
