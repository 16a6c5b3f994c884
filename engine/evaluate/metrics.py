"""What an evaluation set is measured by: a class and a line of the table for each metric. A clip that failed counts as wrong."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from engine.labels import name_of
from engine.rows import Attempt, Clip


class Metric(Protocol):
    """Counts piece by piece, so that no more than one is held in memory."""

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None: ...

    def value(self) -> float:
        """0..1; 0.0 where there is no clip."""
        ...


class Accuracy:
    """Share of the clips whose answer contains the label.

    >>> metric = Accuracy()
    >>> metric.value()
    0.0
    """

    def __init__(self) -> None:
        self._clips = self._right = 0

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None:
        self._clips += len(clips)
        self._right += len(_right_ids(attempts))

    def value(self) -> float:
        return self._right / self._clips if self._clips else 0.0


class AccuracyByLabel:
    """Mean over labels of the share of a label's clips that are right: a rare label counts as much as a common one."""

    def __init__(self) -> None:
        self._clips, self._right = Counter[str](), Counter[str]()

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None:
        right = _right_ids(attempts)
        self._clips.update(name_of(clip.label) for clip in clips)
        self._right.update(name_of(clip.label) for clip in clips if clip.clip_id in right)

    def value(self) -> float:
        shares = [self._right[label] / count for label, count in self._clips.items()]
        return sum(shares) / len(shares) if shares else 0.0


METRICS: dict[str, Callable[[], Metric]] = {"accuracy": Accuracy, "accuracy_by_label": AccuracyByLabel}


def metric_of(name: str) -> Metric:
    """Raises ValueError for a metric that is not known."""
    if name not in METRICS:
        raise ValueError(f"evaluate.sets names the metric {name!r}; known are {', '.join(METRICS)}")
    return METRICS[name]()


def _right_ids(attempts: Sequence[Attempt]) -> set[str]:
    return {attempt.clip_id for attempt in attempts if attempt.outcome == "kept"}
