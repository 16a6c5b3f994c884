"""A metric: a number of the clips of an evaluation set, from what was measured of each clip.

Legend: N clips, K columns. Most metrics are weighted means of one column; the others are functions of all rows, such as a rank
correlation. A row of NaN has no value, and counts in no figure.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.evaluate.outcomes import Outcomes

Array = NDArray[np.float64]
Weighing = Callable[[Outcomes], Array]
"""float64[N] of the clips with a value; they sum to 1."""
Statistic = Callable[[Array, Array], float]
"""(values[N,K], counts[N]) -> the number, where each clip counts so often."""


def evenly(outcomes: Outcomes) -> Array:
    return np.full(len(outcomes.ids), 1 / max(1, len(outcomes.ids)))


def by_label(outcomes: Outcomes) -> Array:
    """A rare label counts as much as a common one."""
    return _by(outcomes.labels)


def by_group(outcomes: Outcomes) -> Array:
    """Each cell of a benchmark counts the same, however many clips it has."""
    return _by(outcomes.cells)


def _by(names: NDArray[np.uint64]) -> Array:
    own, numbers, counts = np.unique(names, return_inverse=True, return_counts=True)
    weights: Array = 1 / counts[numbers] / max(1, len(own))
    return weights


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Metric(name="accuracy"), Metric(name="rouge_l", source="rouge_l", is_share=False)"""

    name: str
    source: str = ""
    """Who measures the clips: a key of engine/evaluate/scores; "": the verdicts, 1 for a right answer and 0 for others."""
    column: int = 0
    """Of what the source measures, for a mean."""
    weigh: Weighing = evenly
    statistic: Statistic | None = None
    """None: the weighted mean of the column."""
    is_share: bool = True
    """Each clip has 0 or 1."""
    bounds: tuple[float, float] = (0.0, 1.0)
    falls: bool = False
    """A smaller number is better."""

    def values(self, outcomes: Outcomes) -> Array:
        """float64[N] of a mean, float64[N,K] of a statistic."""
        if not self.source:
            return outcomes.right
        measured = outcomes.columns[self.source]
        return measured if self.statistic else measured[:, self.column]

    def counted(self, outcomes: Outcomes) -> NDArray[np.bool_]:
        """Which clips have a value."""
        values = self.values(outcomes)
        without: NDArray[np.bool_] = np.isnan(values)
        return np.logical_not(without.all(axis=1) if without.ndim == 2 else without)

    def weights(self, outcomes: Outcomes) -> Array:
        """float64[N] of a mean; 0 for a clip without a value."""
        counted = self.counted(outcomes)
        weights = np.zeros(len(outcomes.ids))
        weights[counted] = self.weigh(outcomes.taken(np.flatnonzero(counted)))
        return weights

    def of(self, outcomes: Outcomes) -> Callable[[Array], float]:
        """The number as a function of float64[N], how often each clip counts; 0.0 where none does."""
        counted = self.counted(outcomes)
        if self.statistic is None:
            weights, values = self.weights(outcomes), np.nan_to_num(self.values(outcomes))
            weights /= weights.max(initial=0.0) or 1.0  # even weights are whole numbers then, and 8 of 20 is 0.4 to the last digit
            return lambda counts: _mean(weights * counts, values)
        statistic, rows = self.statistic, self.values(outcomes)[counted]
        return lambda counts: statistic(rows, counts[counted]) if counts[counted].any() else 0.0


def _mean(weights: Array, values: Array) -> float:
    total = float(weights.sum())
    return float(np.dot(weights, values)) / total if total else 0.0


def value_of(metric: Metric, outcomes: Outcomes) -> float:
    """0.0 where there is no clip."""
    return metric.of(outcomes)(np.ones(len(outcomes.ids))) if len(outcomes.ids) else 0.0
