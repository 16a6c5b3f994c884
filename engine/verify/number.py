"""A score or a count: the number that the text gives as its answer, within a share of the label's."""

import math
from collections.abc import Sequence

from engine.labels import Number
from engine.language.numbers import Found, answered, numbers
from engine.language.text import Said
from engine.rows import Verdict

NONE = frozenset("no none nobody nothing never".split())
"""Without a number they are zero."""
EPSILON = 1e-9
"""A tolerance's end belongs to it, whatever floating point makes of 1.05 times 20."""


def has_number(said: Said, question: str, label: Number) -> Verdict:
    found = numbers(said)
    given = answered(said, question, found)
    if not given and not found and label.value == 0 and not NONE.isdisjoint(said.words):
        return Verdict(keep=True, reason="contains_label", score=1.0, extracted="")
    if not given:
        return Verdict(keep=False, reason=_why_none(found), score=0.0, extracted="")
    number = given[-1]
    ways = [number.value, number.value / 100] if number.percent else [number.value]
    error = min(abs(value - label.value) for value in ways)
    keep = error <= label.tolerance * abs(label.value) + EPSILON * max(1.0, abs(label.value))
    return Verdict(
        keep=keep,
        reason="contains_label" if keep else "wrong_number",
        score=1.0 if keep else _closeness(error, label.value),
        extracted=said.text[number.start : number.end],
        found=((number.start, number.end),),
    )


def _why_none(found: Sequence[Found]) -> str:
    if any(number.role in ("range", "bound") for number in found):
        return "no_single_answer"
    return "no_answer" if all(number.role != "value" for number in found) else "label_denied"


def _closeness(error: float, value: float) -> float:
    """0..1, 1 at the label."""
    share = error / max(abs(value), EPSILON)
    return 1 / (1 + share) if math.isfinite(share) else 0.0
