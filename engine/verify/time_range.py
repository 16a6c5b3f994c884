"""Time range labels: the range that the text gives as its answer overlaps the label's enough."""

from collections.abc import Sequence

from engine.labels import TimeRange
from engine.language.answer import Answer
from engine.language.ranges import half_open_range, ranges
from engine.language.times import Moment, answered_moments, is_asserted
from engine.rows import Verdict

EPSILON = 1e-9
"""Slack for rounding: the threshold is inclusive."""
MAX_LISTED_WORDS = 8
"""Words from one range of a list to the next: a range, and "and from"."""


def verify_time_range(answer: Answer, question: str, label: TimeRange) -> Verdict:
    stated = ranges(answer, question, label.duration_s)
    if not stated and (until := half_open_range(answer, question, label.duration_s)):
        stated = [until]
    asserted = [pair for pair in stated if is_asserted(answer, pair[0].position)]
    if not asserted:
        return Verdict(keep=False, reason="no_answer", score=0.0, extracted="")
    answered = answered_moments(answer, question, [start for start, _ in asserted])
    if _are_joined(answer, [start for start, _ in asserted]):
        spans = tuple((start.start, max(start.end, end.end)) for start, end in asserted)
        return Verdict(keep=False, reason="no_single_answer", score=0.0, extracted="", spans=spans)
    answered_start = answered[-1]
    start, end = next(pair for pair in asserted if pair[0] is answered_start)
    span = (min(start.start, end.start), max(start.end, end.end))
    extracted = answer.text[span[0] : span[1]]
    if start.time_s >= end.time_s:
        return Verdict(keep=False, reason="reversed_range", score=0.0, extracted=extracted, spans=(span,))
    iou = range_iou(start.time_s, end.time_s, label.start_s, label.end_s)
    keep = iou >= label.iou - EPSILON
    return Verdict(keep=keep, reason="contains_label" if keep else "low_iou", score=iou, extracted=extracted, spans=(span,))


def _are_joined(answer: Answer, starts: Sequence[Moment]) -> bool:
    """Whether the ranges with these starts are given together, by one "and": "from 5 to 12 s and from 20 to 21 s"."""
    if len(starts) != 2 or answer.conclusion:
        return False
    between = answer.words[starts[0].position : starts[1].position]
    is_list = len(between) <= MAX_LISTED_WORDS and between[-2:] == ("and", "from")
    return is_list and answer.sentence_of(starts[0].position) == answer.sentence_of(starts[1].position)


def range_iou(start: float, end: float, other_start: float, other_end: float) -> float:
    """Intersection over union of two ranges, in any unit.

    >>> range_iou(0, 4, 2, 6), range_iou(0, 1, 2, 3)
    (0.3333333333333333, 0.0)
    """
    intersection = max(0.0, min(end, other_end) - max(start, other_start))
    return intersection / (end - start + other_end - other_start - intersection)
