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
    "groups": {group: {"clips", "failed", "metrics"}}; "C/" is all groups whose names begin so, as benchmarks report them.
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
    """Of each cell that has a name, and of those that share the beginning of theirs; without the averages over cells and labels."""
    if len(names) > MOST_GROUPS:
        return {}
    single = [metric for metric in metrics if not metric.name.endswith(("_by_group", "_by_label"))] or list(metrics)
    groups = {}
    for name, numbers in sorted(_with_beginnings(names).items()):
        own = outcomes.taken(np.flatnonzero(np.isin(outcomes.cells, np.array(numbers, np.uint64))))
        counted = [metric for metric in single if metric.counted(own).any()]
        groups[name] = {
            "clips": len(own.ids),
            "failed": int((own.states == FAILED).sum()),
            "metrics": _values(counted, own),
        }
    return groups


def _with_beginnings(names: Mapping[int, str]) -> dict[str, list[int]]:
    """The cells of each name, and of each beginning up to a "/" that several names share.

    >>> _with_beginnings({1: "C/CW", 2: "C/CH", 3: "D/DO", 4: "all"})
    {'C/CW': [1], 'C/CH': [2], 'D/DO': [3], 'all': [4], 'C/': [1, 2]}
    """
    beginnings: dict[str, list[int]] = {}
    for number, name in names.items():
        for parts in range(1, name.count("/") + 1):
            beginnings.setdefault("/".join(name.split("/")[:parts]) + "/", []).append(number)
    single = {name: [number] for number, name in names.items()}
    return single | {name: numbers for name, numbers in beginnings.items() if len(numbers) > 1}


def _values(metrics: Sequence[Metric], outcomes: Outcomes) -> dict[str, float]:
    return {metric.name: value_of(metric, outcomes) for metric in metrics}
