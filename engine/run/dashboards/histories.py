"""Services that take rows of figures and do not tell what they have: W&B and trackio. A note in the run says what was sent.

The note is written before a row is sent: a command that is killed between the two loses a row, and no row is sent twice.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.run.dashboards.points import Point, by_step
from engine.store.documents import to_json
from engine.store.files import Store

FOLDER = "trackers"


class History:
    """History(store, "wandb-starloop", log): the last step that was sent of each name, and rows as the service takes them."""

    def __init__(self, store: Store, name: str, log: Callable[[dict[str, Any]], None]) -> None:
        self._store, self._path, self._log = store, f"{FOLDER}/{name}.json", log
        self._latest: dict[str, int] = {}

    def latest(self) -> dict[str, int]:
        data = self._store.read(self._path)
        self._latest = json.loads(data) if data else {}
        return dict(self._latest)

    def send(self, points: Sequence[Point]) -> None:
        self._latest |= {point.name: point.step for point in points}
        self._store.write(self._path, to_json(self._latest))
        for axis, step, values in by_step(points):
            self._log({axis: step, **values})


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A configuration by dotted keys.

    >>> flat({"train": {"lr": 0.1}, "preset": "strict"})
    {'train.lr': 0.1, 'preset': 'strict'}
    """
    rows: dict[str, Any] = {}
    for key, value in values.items():
        rows |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return rows
