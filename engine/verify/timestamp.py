"""Timestamp labels: the moment that the text gives as its answer is within a tolerance in seconds of the label's."""

from engine.labels import Timestamp
from engine.language.answer import Answer
from engine.language.ranges import ranges
from engine.language.times import Moment, answered_moments, is_asserted, moments, named_moments
from engine.rows import Verdict

DEFAULT_TOLERANCE = 0.1
"""Share of the clip's duration."""
DURATION_SLACK = 1e-3
"""Share of the clip's duration by which an answer may exceed it: durations are rounded."""
EPSILON_S = 1e-6
"""Slack for rounding: the tolerance is inclusive."""


def verify_timestamp(answer: Answer, question: str, label: Timestamp) -> Verdict:
    asserted = [moment for moment in moments(answer, question, label.duration_s) if is_asserted(answer, moment.position)]
    candidates = _single_moments(answer, question, label.duration_s, asserted)
    if not candidates:
        return Verdict(keep=False, reason="no_single_answer" if asserted else "no_answer", score=0.0, extracted="")
    answered = answered_moments(answer, question, candidates)
    moment = ([moment for moment in answered if not moment.bare] or answered)[-1]
    tolerance_s = DEFAULT_TOLERANCE * label.duration_s if label.tolerance_s is None else label.tolerance_s
    error_s = abs(moment.time_s - label.time_s)
    is_in_clip = -EPSILON_S <= moment.time_s <= label.duration_s * (1 + DURATION_SLACK) + tolerance_s
    keep = is_in_clip and error_s <= tolerance_s + EPSILON_S
    return Verdict(
        keep=keep,
        reason="contains_label" if keep else "wrong_time",
        score=1.0 if keep else max(0.0, 1 - error_s / label.duration_s),
        extracted=answer.text[moment.start : moment.end],
        spans=((moment.start, moment.end),),
    )


def _single_moments(answer: Answer, question: str, duration_s: float, asserted: list[Moment]) -> list[Moment]:
    """The asserted moments that no range starts or ends with. If none is asserted: the beginning, middle or end, if named."""
    if not asserted:
        named = [moment for moment in named_moments(answer, duration_s) if is_asserted(answer, moment.position)]
        return named if len(named) == 1 else []
    starts = {moment.start for moment in asserted}
    pairs = (pair for pair in ranges(answer, question, duration_s) if pair[1].start in starts)  # else its end is a length
    range_ends = {moment.start for pair in pairs for moment in pair}
    return [moment for moment in asserted if moment.start not in range_ends]
