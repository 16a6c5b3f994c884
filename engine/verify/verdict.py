"""Keep an answer or not, with the reason. Never raises: what cannot be parsed is rejected, and so reaches rationalization."""

from dataclasses import dataclass
from typing import Literal

from engine.rows import Label, Mode, Verdict
from engine.verify.keywords import contains_label, contains_label_fuzzily
from engine.verify.leakage import gives_away_hint


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySpec:
    """VerifySpec(preset="strict")

    strict: word forms match, look-alikes, negated and merely hinted answers do not. paper, code: as published.
    """

    preset: Literal["strict", "paper", "code"] = "strict"


def verify(text: str, label: Label, mode: Mode, finished: bool, spec: VerifySpec) -> Verdict:
    """`finished` is False where the answer was cut off at the token limit."""
    match spec.preset:
        case "paper":
            return contains_label_fuzzily(text, label, min_ratio=80, inclusive=True)
        case "code":
            return contains_label_fuzzily(text, label, min_ratio=85, inclusive=False)
    if not text.strip():
        return Verdict(keep=False, reason="empty_answer", score=0.0, extracted="")
    if not finished:
        return Verdict(keep=False, reason="cut_off", score=0.0, extracted=text[-40:])
    if mode == "rationalized" and (giveaway := gives_away_hint(text)):
        return Verdict(keep=False, reason="gives_away_hint", score=0.0, extracted=giveaway)
    return contains_label(text, label)
