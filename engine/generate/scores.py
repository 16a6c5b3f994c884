"""The groundings of a step's kept answers, counted, and the threshold that follows from those of mismatched pairs: pure.

A seal holds the counts, a few kilobytes for any number of clips. docs/grounding.md explains the threshold.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.rows import Attempt, Clip

FINE, BINS = 8.0, 64.0
"""A bin is 1/512 nat wide at 0, where pairs that do not belong together lie, and a 64th of the value where that is large."""
FEWEST_MISMATCHED = 100
"""Mismatched pairs below which no threshold is set: with fewer, no answer can be told from them at a rate of a few percent."""


def bin_of(support: float) -> int:
    """The number of the bin that holds a value; bins rise with it.

    >>> bin_of(0.0), bin_of(-0.001), bin_of(5.0)
    (0, -1, 280)
    """
    return math.floor(BINS * math.asinh(FINE * support))


def least_of(number: int) -> float:
    """The least value of a bin.

    >>> round(least_of(280), 2)
    4.96
    """
    return math.sinh(number / BINS) / FINE


@dataclass
class Groundings:
    """Counts piece by piece; see Tally in engine/generate/attempts.py."""

    cycle: int
    unscored: int = 0
    """Kept answers without a score: their piece had no clips to compare with, or the model reads no texts."""
    scores: Counter[int] = field(default_factory=Counter)
    """Kept answers by the bin of their support."""
    mismatched: Counter[int] = field(default_factory=Counter)
    """The same of texts with videos to which they do not belong."""

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None:
        """The clips of a piece, and all attempts at them."""
        for attempt in attempts:
            if attempt.outcome != "kept":
                continue
            if attempt.support is None or attempt.grounding is None:
                self.unscored += 1
                continue
            self.scores[bin_of(attempt.support)] += 1
            self.mismatched.update(bin_of(value) for value in attempt.grounding.mismatched)

    def facts(self) -> dict[str, Any]:
        """For the step's seal."""
        bins = {name: {str(number): count for number, count in sorted(getattr(self, name).items())} for name in BINNED}
        return {"cycle": self.cycle, "scored": self.scores.total(), "unscored": self.unscored, **bins}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Groundings":
        """From a seal's facts."""
        bins = {name: Counter({int(number): count for number, count in facts[name].items()}) for name in BINNED}
        return cls(facts["cycle"], facts["unscored"], **bins)

    def below(self, least: float) -> int:
        """How many kept answers have a score below `least`."""
        return sum(count for number, count in self.scores.items() if math.isinf(least) or number < bin_of(least))


BINNED = ("scores", "mismatched")


def threshold(groundings: Groundings, rate: float) -> float | None:
    """The least support at which an expected `rate` at most of the answers from there on fit other videos as well as their own.

    That is Benjamini and Hochberg's procedure (1995) on empirical p-values: a support's is the share of mismatched pairs that reach
    it, (1 + those) / (1 + all). math.inf where no answer can be told from them; None where there are too few mismatched pairs.

    >>> threshold(Groundings(0, scores=Counter({-9: 20, 300: 80}), mismatched=Counter({-9: 250, 0: 150})), 0.05) == least_of(300)
    True
    """
    total, answers = groundings.mismatched.total(), groundings.scores.total()
    if total < FEWEST_MISMATCHED or not answers:
        return None
    least, reached, chance = math.inf, 0, 0
    for number in sorted(groundings.scores.keys() | groundings.mismatched.keys(), reverse=True):
        reached, chance = reached + groundings.scores[number], chance + groundings.mismatched[number]
        if reached and groundings.scores[number] and (1 + chance) / (1 + total) * answers <= rate * reached:
            least = least_of(number)
    return least
