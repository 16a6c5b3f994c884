"""What a dashboard is told of a run, as (name, step, value): from the progress of finetunes, and from seals. Pure.

Curves of train/ have the optimizer steps of the whole run as their steps, one cycle after another; all others have the cycle, from
0, and those of evaluations the number of finetunes behind the model: 0 is the base.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.logs.origin import Origin
from engine.run.seals import Seal
from engine.run.work import Progress


@dataclass(frozen=True, slots=True)
class Point:
    """Point("train/loss", 151, 0.0321)"""

    name: str
    step: int
    value: float


class Points:
    """The points of a run, told in the order of its steps. A name's steps never fall."""

    def __init__(self) -> None:
        self._steps: dict[str, int] = {}
        """Optimizer steps of each sealed train step."""

    def of_progress(self, progress: Progress) -> list[Point]:
        if not progress.metrics:
            return []
        step = self._before(progress.step) + progress.done
        return [Point(f"train/{name}", step, value) for name, value in progress.metrics.items()]

    def of_seal(self, seal: Seal) -> list[Point]:
        """The losses of a train step are among them: a dashboard that was not there while it trained gets them afterwards."""
        cycle, (_, kind) = Origin(step=seal.step).cycle, seal.step.rpartition("/")[::2]
        if kind.startswith("evaluate"):
            return list(_accuracies(seal, kind, 0 if cycle is None else cycle + 1))
        if cycle is None or kind not in ("generate", "select", "train"):
            return []
        points = [Point(f"{kind}/{name}", cycle, float(value)) for name, value in _figures(kind, seal)]
        if kind == "train":
            losses, before = seal.facts["losses"], self._before(seal.step)
            points += [Point("train/loss", before + number, loss) for number, loss in enumerate(losses, 1) if loss is not None]
            self._steps[seal.step] = len(losses)
        return points

    def _before(self, step: str) -> int:
        """Optimizer steps of the cycles before."""
        return sum(steps for name, steps in self._steps.items() if name < step)


def _accuracies(seal: Seal, kind: str, models: int) -> Iterator[Point]:
    """heldout/accuracy, heldout/accuracy_low, heldout/accuracy_high, and so for each metric and each evaluation set."""
    name = kind.removeprefix("evaluate").removeprefix("-") or "heldout"
    for metric, value in seal.facts["metrics"].items():
        yield Point(f"{name}/{metric}", models, value)
    for metric, (low, high) in seal.facts.get("intervals", {}).items():
        yield Point(f"{name}/{metric}_low", models, low)
        yield Point(f"{name}/{metric}_high", models, high)


def _figures(kind: str, seal: Seal) -> Iterator[tuple[str, float]]:
    """Counts of clips by what became of them, of examples by mode, and what the step took."""
    facts: Mapping[str, Any] = seal.facts
    if kind == "generate":
        clips = facts["clips"]
        yield from ((name, facts[name]) for name in ("clips", "direct_kept", "rationalized_kept"))
        yield from ((name, sum(facts[name].values())) for name in ("dropped", "failed"))
        if clips:
            yield "yield", (facts["direct_kept"] + facts["rationalized_kept"]) / clips
        yield from ((f"cost_{name}", facts[name]["cost"]) for name in ("asked", "judge") if facts.get(name))
    elif kind == "select":
        yield from seal.counts.items()
    yield "step_seconds", seal.seconds


def by_step(points: Iterable[Point]) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Points as rows: axis ("optimizer_step" or "cycle"), step, and the values by name.

    >>> list(by_step([Point("train/loss", 3, 0.5), Point("train/tokens", 3, 40.0), Point("heldout/accuracy", 0, 0.4)]))
    [('optimizer_step', 3, {'train/loss': 0.5, 'train/tokens': 40.0}), ('cycle', 0, {'heldout/accuracy': 0.4})]
    """
    rows: dict[tuple[str, int], dict[str, float]] = {}
    for point in points:
        rows.setdefault((axis_of(point.name), point.step), {})[point.name] = point.value
    yield from ((axis, step, values) for (axis, step), values in rows.items())


def axis_of(name: str) -> str:
    """
    >>> axis_of("train/loss"), axis_of("train/step_seconds"), axis_of("generate/yield")
    ('optimizer_step', 'cycle', 'cycle')
    """
    return "optimizer_step" if name.startswith("train/") and name != "train/step_seconds" else "cycle"
