"""The board: the metrics' values of this process, from which Ray's exporter and the text endpoint take them."""

import threading
from collections import Counter
from collections.abc import Mapping

from engine.metrics.table import Metric

MOST_SERIES = 500
"""Of one metric. A value of a label beyond it is counted as "other": a verifier of one's own may give reasons without end."""
Series = tuple[Metric, tuple[str, ...]]
"""A metric and the values of its labels, in their order."""


class Board:
    """Counters that grow and gauges that are set, by metric and labels. Any thread may write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[Series, float] = {}
        self._sizes = Counter[Metric]()

    def add(self, metric: Metric, labels: Mapping[str, str], amount: float) -> None:
        assert metric.kind == "counter", metric.name
        assert amount >= 0, f"{metric.name} cannot grow by {amount}"
        with self._lock:
            series = self._series(metric, labels)
            self._values[series] = self._values.get(series, 0.0) + amount

    def set(self, metric: Metric, labels: Mapping[str, str], value: float) -> None:
        assert metric.kind == "gauge", metric.name
        with self._lock:
            self._values[self._series(metric, labels)] = value

    def values(self) -> dict[Series, float]:
        with self._lock:
            return dict(self._values)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
            self._sizes.clear()

    def _series(self, metric: Metric, labels: Mapping[str, str]) -> Series:
        values = tuple(labels[name] for name in metric.labels)
        if (metric, values) not in self._values:
            self._sizes[metric] += 1
            if self._sizes[metric] > MOST_SERIES:
                values = tuple(labels[name] if name in ("run", "cycle", "step", "pool") else "other" for name in metric.labels)
        return metric, values
