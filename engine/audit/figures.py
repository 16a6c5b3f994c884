"""Precision and recall of the verifiers by what people say of a stratified sample, with 95 % intervals; agreement of raters. Pure.

Precision is the share of kept answers that people would keep. Recall is the share of the answers that people would keep that were
kept. Both are of all attempts of the step: each stratum is weighted by its size. The interval follows from draws of what the rest
of each stratum may be: a share from Jeffreys' posterior of a binomial, Beta(k + 1/2, n - k + 1/2), and of the answers that nobody
has read as many as a binomial of that share. It holds at 0 and n, where a bootstrap of the rows has no width, and is a point where
all are read.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.audit.strata import DROPPED, KEPT
from engine.evaluate.intervals import wilson

DRAWS = 5_000
ENOUGH = 5
"""Minimum number of judged answers of a group, a reason or a kind of label, that is shown by itself."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimate(0.92, 0.81, 0.97): a share with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """Stratum(size=900, judged=23, people_keep=21): of so many attempts, so many have a keep or a drop of people's."""

    size: int
    judged: int
    people_keep: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """An audited answer with a person's keep or drop.

    Rated(stratum="kept direct", reason="contains_label", kind="keywords", people_keep=True, judge_keep=None)
    """

    stratum: str
    reason: str
    kind: str
    people_keep: bool
    judge_keep: bool | None
    """None: the judge was not asked."""

    @property
    def is_kept(self) -> bool:
        """By the verifiers."""
        return self.stratum.startswith(KEPT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Answers of a reason or of a kind of label, and on how many of them people agree with the verdict.

    Group(name="dropped: label_missing", judged=12, agree=11, share=Estimate(0.917, 0.646, 0.985))
    """

    name: str
    judged: int
    agree: int
    share: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How often two raters agree: Agreement(count=40, share=Estimate(0.9, 0.77, 0.96), kappa=0.78)"""

    count: int
    share: Estimate
    kappa: float | None
    """Cohen's; None where one of them always says the same."""


def strata_of(sizes: Mapping[str, int], rated: Iterable[Rated]) -> dict[str, Stratum]:
    """Strata that have attempts, and what people say in each."""
    judged, keep = defaultdict[str, int](int), defaultdict[str, int](int)
    for row in rated:
        judged[row.stratum] += 1
        keep[row.stratum] += row.people_keep
    return {name: Stratum(size=size, judged=judged[name], people_keep=keep[name]) for name, size in sizes.items() if size}


def precision(strata: Mapping[str, Stratum]) -> Estimate | None:
    """None where no kept answer is judged."""
    kept = _side(strata, KEPT)
    if not kept:
        return None
    total = sum(stratum.size for stratum in kept)
    return _estimate(_right(kept) / total, _drawn(kept, np.random.default_rng(0)) / total)


def recall(strata: Mapping[str, Stratum]) -> Estimate | None:
    """None where kept or dropped answers are there and none of them is judged, or where people would keep none at all."""
    kept, dropped = _side(strata, KEPT), _side(strata, DROPPED)
    unread = [outcome for outcome, side in ((KEPT, kept), (DROPPED, dropped)) if not side and _size(strata, outcome)]
    if unread or not (right := _right(kept)) + (missed := _right(dropped)):
        return None
    random = np.random.default_rng(0)
    rights, misses = _drawn(kept, random), _drawn(dropped, random)
    return _estimate(right / (right + missed), rights / np.maximum(rights + misses, 1e-9))


def _size(strata: Mapping[str, Stratum], outcome: str) -> int:
    return sum(stratum.size for name, stratum in strata.items() if name.startswith(outcome))


def _side(strata: Mapping[str, Stratum], outcome: str) -> list[Stratum]:
    """The strata of an outcome; as one where a mode of it has nothing judged, and none where no mode has."""
    side = [stratum for name, stratum in strata.items() if name.startswith(outcome)]
    if all(stratum.judged for stratum in side):
        return side
    judged = sum(stratum.judged for stratum in side)
    keep = sum(stratum.people_keep for stratum in side)
    return [Stratum(size=sum(stratum.size for stratum in side), judged=judged, people_keep=keep)] if judged else []


def _right(side: Sequence[Stratum]) -> float:
    """How many answers people would keep, by the shares of the strata."""
    return sum(stratum.size * stratum.people_keep / stratum.judged for stratum in side)


def _drawn(side: Sequence[Stratum], random: np.random.Generator) -> NDArray[np.float64]:
    """DRAWS of how many answers people would keep."""
    total = np.zeros(DRAWS)
    for stratum in side:
        shares = random.beta(stratum.people_keep + 0.5, stratum.judged - stratum.people_keep + 0.5, DRAWS)
        total += stratum.people_keep + random.binomial(stratum.size - stratum.judged, shares)
    return total


def _estimate(value: float, draws: NDArray[np.float64]) -> Estimate:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def groups_of(rated: Sequence[Rated]) -> list[Group]:
    """By verdict and reason, then by verdict and kind of label, those with ENOUGH judged answers, or with one that
    people overrule; the most frequent first."""
    groups = []
    for attribute in ("reason", "kind"):
        agree = defaultdict[str, list[bool]](list)
        for row in rated:
            agree[f"{KEPT if row.is_kept else DROPPED}: {getattr(row, attribute)}"].append(row.people_keep == row.is_kept)
        of_attribute = [
            Group(name=name, judged=len(values), agree=sum(values), share=share_of(sum(values), len(values)))
            for name, values in agree.items()
            if len(values) >= ENOUGH or not all(values)
        ]
        groups += sorted(of_attribute, key=lambda group: (-group.judged, group.name))
    return groups


def share_of(count: int, total: float) -> Estimate:
    """With Wilson's interval.

    >>> share = share_of(9, 10)
    >>> [round(value, 3) for value in (share.value, share.low, share.high)]
    [0.9, 0.596, 0.982]
    """
    return Estimate(count / total, *wilson(count / total, total))


def agreement(pairs: Sequence[tuple[bool, bool]]) -> Agreement | None:
    """Of two raters' keep or not, for the same answers; None without any.

    >>> agreement([(True, True)] * 45 + [(False, False)] * 45 + [(True, False)] * 10).kappa
    0.802
    """
    if not pairs:
        return None
    agreed = sum(first == second for first, second in pairs)
    first, second = (sum(rater) / len(pairs) for rater in zip(*pairs, strict=True))
    by_chance = first * second + (1 - first) * (1 - second)
    kappa = round((agreed / len(pairs) - by_chance) / (1 - by_chance), 4) if by_chance < 1 else None
    return Agreement(count=len(pairs), share=share_of(agreed, len(pairs)), kappa=kappa)
