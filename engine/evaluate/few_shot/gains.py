"""Whether rare classes gain as much from shots as common ones: gain of each verb and noun beside its clips in training."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.evaluate.text_metrics import refuse_missing
from engine.rows import Clip, Narrated

MIN_CLASSES = 3
"""Fewest classes of which a correlation is computed."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Gain(set="rare", kind="verb", name="cut", trained=812, queries=9, before=0.31, after=0.74, gain=0.43)."""

    set: str
    kind: str
    """verb or noun."""
    name: str
    trained: int
    """Clips of the class in training."""
    queries: int
    before: float
    """Mean over its queries at the fewest shots."""
    after: float
    """At the most shots."""
    gain: float


@dataclass(frozen=True, kw_only=True)
class Trend:
    """How gains follow the logarithm of the clips in training: Trend(classes=80, slope=0.01, r_squared=0.02, spearman=0.1, ...)."""

    classes: int
    """Those with a clip in training."""
    slope: float
    """Gain for each factor of e."""
    r_squared: float
    p: float
    """Of a slope of 0."""
    spearman: float


def measure_of(rows: Iterable[Narrated]) -> str:
    """What gains are of: STS by a bi-encoder, as in EILEV's regression, or what there is of the others."""
    present = [name for name in ("sts", "sts_cross", "rouge_l") if all(getattr(row, name) is not None for row in rows)]
    return present[0]


def gains(rows: Sequence[Narrated], trained: Iterable[Clip], measure: str) -> list[Gain]:
    """Of each set, verb and noun, by training clips: those of the answers without a control, between a set's
    fewest and most shots. Empty for a single number of shots."""
    plain = [row for row in rows if not row.control]
    actions = [clip.action for clip in trained]
    counts = {"verb": Counter(verb for verb, _ in actions), "noun": Counter(noun for _, noun in actions)}
    shots = {name: sorted({row.shots for row in plain if row.set == name}) for name in {row.set for row in plain}}
    values: dict[tuple[str, str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in plain:
        for kind, name in (("verb", row.verb_class), ("noun", row.noun_class)):
            if name:
                values[row.set, kind, name][row.shots].append(float(getattr(row, measure)))
    table = []
    for (set_name, kind, name), of_shots in values.items():
        fewest, most = shots[set_name][0], shots[set_name][-1]
        if fewest == most or not of_shots[fewest] or not of_shots[most]:
            continue
        before, after = (sum(of_shots[number]) / len(of_shots[number]) for number in (fewest, most))
        table.append(
            Gain(
                set=set_name,
                kind=kind,
                name=name,
                trained=counts[kind][name],
                queries=len(of_shots[most]),
                before=round(before, 4),
                after=round(after, 4),
                gain=round(after - before, 4),
            )
        )
    return sorted(table, key=lambda gain: (gain.set, gain.kind, -gain.trained, gain.name))


def trends(table: Iterable[Gain]) -> dict[str, dict[str, Trend]]:
    """By set and kind. Raises ValueError where scipy is missing."""
    refuse_missing(["correlation"])
    groups: dict[tuple[str, str], list[Gain]] = defaultdict(list)
    for gain in table:
        if gain.trained:
            groups[gain.set, gain.kind].append(gain)
    by_set: dict[str, dict[str, Trend]] = {}
    for (set_name, kind), group in groups.items():
        if (trend := _trend({gain.name: (gain.trained, gain.gain) for gain in group})) is not None:
            by_set.setdefault(set_name, {})[kind] = trend
    return by_set


def _trend(points: Mapping[str, tuple[int, float]]) -> Trend | None:
    """None where nothing can be fitted: few classes, or all of one size or of one gain."""
    from scipy import stats  # of the extra

    xs, ys = [math.log(trained) for trained, _ in points.values()], [gain for _, gain in points.values()]
    if len(points) < MIN_CLASSES or len(set(xs)) < 2 or len(set(ys)) < 2:
        return None
    line = stats.linregress(xs, ys)
    return Trend(
        classes=len(points),
        slope=round(float(line.slope), 6),
        r_squared=round(float(line.rvalue) ** 2, 6),
        p=round(float(line.pvalue), 6),
        spearman=round(float(stats.spearmanr(xs, ys).statistic), 6),
    )
