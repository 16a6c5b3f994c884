"""The figures of an evaluation: each metric with its interval, over the clips that could be answered, and by group."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.evaluate.intervals import interval
from engine.evaluate.metrics import Metric, value_of
from engine.evaluate.outcomes import FAILED, Outcomes

MOST_GROUPS = 200
"""With more, the column is no benchmark's, and the figures by group are left out."""


def figures(metrics: Sequence[Metric], outcomes: Outcomes, group_names: Mapping[int, str]) -> dict[str, Any]:
    """{"accuracy": the headline, "metrics", "intervals", "counts", "answered", "groups", "videos"}

    "counts": clips with a value, by metric. "answered": the metrics over the clips whose videos could be used; {} where all could.
    "groups": {group: {"clips", "failed", "metrics"}}.
    """
    values = _values(metrics, outcomes)
    answered = outcomes.answered() if (outcomes.states == FAILED).any() else None
    return {
        "accuracy": values[metrics[0].name],
        "metrics": values,
        "intervals": {metric.name: interval(metric, outcomes) for metric in metrics},
        "counts": {metric.name: int(metric.counted(outcomes).sum()) for metric in metrics},
        "answered": _values(metrics, answered) if answered is not None else {},
        "groups": by_group(metrics, outcomes, group_names),
        "videos": outcomes.num_videos,
    }


def by_group(metrics: Sequence[Metric], outcomes: Outcomes, names: Mapping[int, str]) -> dict[str, Any]:
    """Of each cell that has a name, in the order of the names; without the averages over cells and labels."""
    if len(names) > MOST_GROUPS:
        return {}
    single = [metric for metric in metrics if not metric.name.endswith(("_by_group", "_by_label"))] or list(metrics)
    groups = {}
    for number, name in sorted(names.items(), key=lambda item: item[1]):
        own = outcomes.taken(np.flatnonzero(outcomes.cells == np.uint64(number)))
        counted = [metric for metric in single if metric.counted(own).any()]
        groups[name] = {
            "clips": len(own.ids),
            "failed": int((own.states == FAILED).sum()),
            "metrics": _values(counted, own),
        }
    return groups


def _values(metrics: Sequence[Metric], outcomes: Outcomes) -> dict[str, float]:
    return {metric.name: value_of(metric, outcomes) for metric in metrics}
