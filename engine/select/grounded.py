"""Kept answers that fit other clips' videos as well as their own are rejected before one of a clip's answers is chosen: pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.generate.scores import ANY, Groundings, bin_of, threshold
from engine.rows import Answer, Clip, Mode
from engine.select.choose import BOTH_MODES

UNGROUNDED = "ungrounded"
"""The reason of an answer that select.min_grounding rejects."""


@dataclass(frozen=True)
class Gate:
    """Gate(least=2.5) compares supports; Gate(bins={(0, "ab12..."): 280}) their bins. It rejects what is below."""

    least: float | None = None
    """In nats, for all answers."""
    bins: Mapping[tuple[int, str], float] = field(default_factory=dict)
    """The least bin by cycle and model (ANY: all models of the cycle); math.inf: none passes. Of others all answers pass."""
    modes: frozenset[Mode] = BOTH_MODES
    """Of the answers that are chosen from; others stay as they are."""
    unscored: int = 0
    """Kept answers of these modes that have no score."""

    @classmethod
    def of(cls, min_grounding: float | str, facts: Iterable[Mapping[str, Any]], modes: frozenset[Mode] = BOTH_MODES) -> "Gate":
        """`facts`: facts["grounding"] of the seals of the generate steps whose answers are chosen from, where they have it."""
        if min_grounding == "off":
            return cls()
        bins: dict[tuple[int, str], float] = {}
        unscored = 0
        for groundings in map(Groundings.of, facts):
            for model, supports in groundings.by_model(modes).items():
                unscored += supports.unscored
                if isinstance(min_grounding, str) and (least := threshold(supports, rate_of(min_grounding))) is not None:
                    bins[groundings.cycle, model] = least
        return cls(None if isinstance(min_grounding, str) else float(min_grounding), bins, modes, unscored)

    @property
    def has_threshold(self) -> bool:
        return self.least is not None or bool(self.bins)

    def applied(self, clips: Sequence[Clip], answers: Sequence[Answer]) -> list[Answer]:
        """The answers at the clips, of which those that are kept and not grounded are rejected."""
        return [replace(answer, outcome="rejected", reason=UNGROUNDED) if self._rejects(answer) else answer for answer in answers]

    def _rejects(self, answer: Answer) -> bool:
        if answer.outcome != "kept" or answer.support is None or answer.mode not in self.modes:
            return False
        if self.least is not None:
            return answer.support < self.least
        least = self.bins.get((answer.cycle, answer.model), self.bins.get((answer.cycle, ANY)))
        return least is not None and bin_of(answer.support) < least


def rate_of(min_grounding: str) -> float:
    """
    >>> rate_of("fdr 0.05")
    0.05
    """
    return float(min_grounding.removeprefix("fdr "))
