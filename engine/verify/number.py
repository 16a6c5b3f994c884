"""Number labels (scores, counts): the number that the text gives as its answer is within a relative tolerance of the label's."""

import math
from collections.abc import Sequence

from engine.labels import Number
from engine.language.answer import Answer
from engine.language.numbers import StatedNumber, answered_number, numbers
from engine.rows import Verdict

ZERO_WORDS = frozenset("no none nobody nothing never".split())
"""Words that mean zero if the answer holds no number."""
EPSILON = 1e-9
"""Slack for rounding: the tolerance is inclusive, and 1.05 * 20 is not exactly 21 in floating point."""


def verify_number(answer: Answer, question: str, label: Number) -> Verdict:
    stated = numbers(answer)
    number = answered_number(answer, question, stated)
    if number is None and not stated and label.value == 0 and not ZERO_WORDS.isdisjoint(answer.words):
        return Verdict(keep=True, reason="contains_label", score=1.0, extracted="")
    if number is None:
        return Verdict(keep=False, reason=_reason_without_value(stated), score=0.0, extracted="")
    readings = [number.value, number.value / 100] if number.percent else [number.value]
    error = min(abs(value - label.value) for value in readings)
    keep = error <= label.tolerance * abs(label.value) + EPSILON * max(1.0, abs(label.value))
    return Verdict(
        keep=keep,
        reason="contains_label" if keep else "wrong_number",
        score=1.0 if keep else _closeness(error, label.value),
        extracted=answer.text[number.start : number.end],
        spans=((number.start, number.end),),
    )


def _reason_without_value(stated: Sequence[StatedNumber]) -> str:
    if any(number.role in ("range", "bound") for number in stated):
        return "no_single_answer"
    return "no_answer" if all(number.role != "value" for number in stated) else "label_denied"


def _closeness(error: float, label_value: float) -> float:
    """Score from 0 to 1; 1 for no error."""
    relative_error = error / max(abs(label_value), EPSILON)
    return 1 / (1 + relative_error) if math.isfinite(relative_error) else 0.0
