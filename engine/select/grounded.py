"""Kept answers that fit other clips' videos as well as their own are rejected before one of a clip's answers is chosen: pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.generate.scores import Groundings, bin_of, threshold
from engine.rows import Answer, Clip

UNGROUNDED = "ungrounded"
"""The reason of an answer that select.min_grounding rejects."""


@dataclass(frozen=True)
class Gate:
    """The least support by cycle: Gate({0: 1.25}, {"ungrounded": 12, "unscored": 3}). Cycles that are not in it keep all."""

    least: Mapping[int, float]
    counts: Mapping[str, int]
    """Kept answers that it rejects, and those that have no score."""

    @classmethod
    def of(cls, min_grounding: float | str, facts: Iterable[Mapping[str, Any]]) -> "Gate":
        """`facts`: facts["grounding"] of the seals of the generate steps whose answers are chosen from, where they have it."""
        if min_grounding == "off":
            return cls({}, {})
        least, ungrounded, unscored = {}, 0, 0
        for groundings in map(Groundings.of, facts):
            unscored += groundings.unscored
            value = min_grounding if isinstance(min_grounding, float | int) else threshold(groundings, rate_of(min_grounding))
            if value is not None:
                least[groundings.cycle] = float(value)
                ungrounded += groundings.below(value)
        return cls(least, {"ungrounded": ungrounded, "unscored": unscored})

    def applied(self, clips: Sequence[Clip], answers: Sequence[Answer]) -> list[Answer]:
        """The answers at the clips, of which those that are kept and not grounded are rejected."""
        return [replace(answer, outcome="rejected", reason=UNGROUNDED) if self._rejects(answer) else answer for answer in answers]

    def _rejects(self, answer: Answer) -> bool:
        least = self.least.get(answer.cycle)
        if answer.outcome != "kept" or answer.support is None or least is None:
            return False
        return math.isinf(least) or bin_of(answer.support) < bin_of(least)


def rate_of(min_grounding: str) -> float:
    """
    >>> rate_of("fdr 0.05")
    0.05
    """
    return float(min_grounding.removeprefix("fdr "))
