"""The groundings of a step's kept answers, counted, and the threshold that follows from those of mismatched pairs: pure.

A seal holds the counts by model and mode, a few kilobytes each for any number of clips. docs/grounding.md explains the threshold.
"""

import math
from collections import Counter
from collections.abc import Container, Mapping, Sequence
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


@dataclass
class Supports:
    """Of the kept answers of one model, in one mode or in several: counts by the bins of bin_of."""

    unscored: int = 0
    """Kept answers without a score: their piece had no clips to compare with, or the model reads no texts."""
    scored: int = 0
    """Kept answers with a score."""
    scores: Counter[int] = field(default_factory=Counter)
    """Distinct texts of each clip among these, by the bin of their support: samples that say the same word for word are one."""
    best: Counter[int] = field(default_factory=Counter)
    """Clips by the bin of the highest support of their kept answers."""
    mismatched: Counter[int] = field(default_factory=Counter)
    """Pairs of such a text and a video to which it does not belong."""

    def add(self, other: "Supports") -> None:
        self.unscored, self.scored = self.unscored + other.unscored, self.scored + other.scored
        for name in BINNED:
            getattr(self, name).update(getattr(other, name))


BINNED = ("scores", "best", "mismatched")
ANY = ""
"""The model and the mode of what the seals of older versions count, which told neither apart."""


@dataclass
class Groundings:
    """Counts piece by piece; see Tally in engine/generate/attempts.py. All attempts at a clip are in one piece."""

    cycle: int
    supports: dict[tuple[str, str], Supports] = field(default_factory=dict)
    """By the digest of the model that answered, of which a continued run reuses attempts of several, and by mode."""

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None:
        """The clips of a piece, and all attempts at them."""
        best: dict[tuple[str, str, str], int] = {}
        texts = set[tuple[str, str, str, str]]()
        for attempt in attempts:
            if attempt.outcome != "kept":
                continue
            own = self.supports.setdefault((attempt.model, attempt.mode), Supports())
            if attempt.support is None or attempt.grounding is None:
                own.unscored += 1
                continue
            own.scored += 1
            number, clip = bin_of(attempt.support), (attempt.model, attempt.mode, attempt.clip_id)
            if (*clip, attempt.text) in texts:
                continue
            texts.add((*clip, attempt.text))
            own.scores[number] += 1
            own.mismatched.update(bin_of(value) for value in attempt.grounding.mismatched)
            best[clip] = max(number, best.get(clip, number))
        for (model, mode, _), number in best.items():
            self.supports[model, mode].best[number] += 1

    def facts(self) -> dict[str, Any]:
        """For the step's seal."""
        supports = [
            {"model": model, "mode": mode, "scored": own.scored, "unscored": own.unscored}
            | {name: {str(number): count for number, count in sorted(getattr(own, name).items())} for name in BINNED}
            for (model, mode), own in sorted(self.supports.items())
        ]
        return {"cycle": self.cycle, "scored": self.total().scored, "unscored": self.total().unscored, "supports": supports}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Groundings":
        """From a seal's facts. Those of an older version count each answer as its clip's only one."""
        rows = facts["supports"] if "supports" in facts else [{"model": ANY, "mode": ANY, **facts, "best": facts["scores"]}]
        return cls(
            facts["cycle"],
            {
                (row["model"], row["mode"]): Supports(
                    row["unscored"],
                    row["scored"],
                    **{name: Counter({int(number): count for number, count in row[name].items()}) for name in BINNED},
                )
                for row in rows
            },
        )

    def by_model(self, modes: Container[str]) -> dict[str, Supports]:
        """Of the answers of these modes."""
        models: dict[str, Supports] = {}
        for (model, mode), own in self.supports.items():
            if mode == ANY or mode in modes:
                models.setdefault(model, Supports()).add(own)
        return models

    def total(self) -> Supports:
        """Of all models and modes."""
        total = Supports()
        for own in self.supports.values():
            total.add(own)
        return total


def threshold(supports: Supports, rate: float) -> float | None:
    """The least bin of an answer, such that of the clips that have one an expected `rate` at most fits other videos as well.

    That is Benjamini and Hochberg's procedure (1995) on empirical p-values: a support's is the share of mismatched pairs that reach
    it, (1 + those) / (1 + all). Each text may be the one by which its clip passes wrongly, and a clip is one example however many
    of its texts pass: so the expected errors are counted by texts, and what passes by clips. math.inf where no text can be told
    from mismatched pairs; None where there are too few of these.

    >>> good, bad, mismatched = Counter({300: 80}), Counter({-9: 20}), Counter({-9: 250, 0: 150})
    >>> threshold(Supports(scores=good + bad, best=good + bad, mismatched=mismatched), 0.05)
    300
    """
    total, texts = supports.mismatched.total(), supports.scores.total()
    if total < FEWEST_MISMATCHED or not texts:
        return None
    least, passed, chance = math.inf, 0, 0
    for number in sorted(supports.scores.keys() | supports.mismatched.keys(), reverse=True):
        passed, chance = passed + supports.best[number], chance + supports.mismatched[number]
        if supports.scores[number] and (1 + chance) / (1 + total) * texts <= rate * passed:
            least = number
    return least
