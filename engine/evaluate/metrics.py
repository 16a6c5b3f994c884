"""What an evaluation set is measured by: a function and a line of the table for each metric. A clip that failed counts as wrong.

A metric is the weights of the clips, which sum to 1: its value is the sum over the clips that are right. From the same weights
follow its interval (intervals.py) and the test of one model against another (paired.py).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.evaluate.outcomes import Outcomes

Metric = Callable[[Outcomes], NDArray[np.float64]]


def accuracy(outcomes: Outcomes) -> NDArray[np.float64]:
    """Share of the clips whose answer contains the label."""
    return np.full(len(outcomes.ids), 1 / max(1, len(outcomes.ids)))


def accuracy_by_label(outcomes: Outcomes) -> NDArray[np.float64]:
    """Mean over labels of the share of a label's clips that are right: a rare label counts as much as a common one."""
    labels, numbers, counts = np.unique(outcomes.labels, return_inverse=True, return_counts=True)
    weights: NDArray[np.float64] = 1 / counts[numbers] / max(1, len(labels))
    return weights


METRICS: dict[str, Metric] = {"accuracy": accuracy, "accuracy_by_label": accuracy_by_label}


def metric_of(name: str) -> Metric:
    """Raises ValueError for a metric that is not known."""
    if name not in METRICS:
        raise ValueError(f"evaluate.sets names the metric {name!r}; known are {', '.join(METRICS)}")
    return METRICS[name]


def value_of(metric: Metric, outcomes: Outcomes) -> float:
    """0..1; 0.0 where there is no clip."""
    return float(np.dot(metric(outcomes), outcomes.right))
