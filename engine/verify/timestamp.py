"""A moment: the time that the text gives as its answer, within seconds of the label's."""

from engine.labels import Timestamp
from engine.language.ranges import ranges
from engine.language.text import Said
from engine.language.times import about, asserted, edge, moments
from engine.rows import Verdict

DEFAULT_TOLERANCE = 0.1
"""Of the duration."""
EPSILON_S = 1e-6


def has_timestamp(said: Said, question: str, label: Timestamp) -> Verdict:
    found = [one for one in moments(said, question, label.duration_s) if asserted(said, one.word)]
    ends = [moment for pair in ranges(said, question, label.duration_s) for moment in pair]
    single = [one for one in found if all(one.start != other.start for other in ends)]
    if not found:
        single = [one for one in edge(said, label.duration_s) if asserted(said, one.word)]
        single = single if len(single) == 1 else []
    if not single:
        return Verdict(keep=False, reason="no_single_answer" if found else "no_answer", score=0.0, extracted="")
    asked = about(said, question, single)
    moment = ([one for one in asked if not one.bare] or asked)[-1]
    tolerance_s = DEFAULT_TOLERANCE * label.duration_s if label.tolerance_s is None else label.tolerance_s
    error_s = abs(moment.time_s - label.time_s)
    inside = -EPSILON_S <= moment.time_s <= label.duration_s * (1 + 1e-3) + tolerance_s
    keep = inside and error_s <= tolerance_s + EPSILON_S
    return Verdict(
        keep=keep,
        reason="contains_label" if keep else "wrong_time",
        score=1.0 if keep else max(0.0, 1 - error_s / label.duration_s),
        extracted=said.text[moment.start : moment.end],
        found=((moment.start, moment.end),),
    )
