"""Time range labels: the range that the text gives as its answer overlaps the label's enough."""

from engine.labels import TimeRange
from engine.language.answer import Answer
from engine.language.ranges import range_until, ranges
from engine.language.times import answered_moments, is_asserted
from engine.rows import Verdict

EPSILON = 1e-9
"""Slack for rounding: the threshold is inclusive."""


def verify_time_range(answer: Answer, question: str, label: TimeRange) -> Verdict:
    stated = ranges(answer, question, label.duration_s)
    if not stated and (until := range_until(answer, question, label.duration_s)):
        stated = [until]
    asserted = [pair for pair in stated if is_asserted(answer, pair[0].position)]
    if not asserted:
        return Verdict(keep=False, reason="no_answer", score=0.0, extracted="")
    answered_start = answered_moments(answer, question, [start for start, _ in asserted])[-1]
    start, end = next(pair for pair in asserted if pair[0] is answered_start)
    span = (min(start.start, end.start), max(start.end, end.end))
    extracted = answer.text[span[0] : span[1]]
    if start.time_s >= end.time_s:
        return Verdict(keep=False, reason="reversed_range", score=0.0, extracted=extracted, spans=(span,))
    iou = range_iou(start.time_s, end.time_s, label.start_s, label.end_s)
    keep = iou >= label.iou - EPSILON
    return Verdict(keep=keep, reason="contains_label" if keep else "low_iou", score=iou, extracted=extracted, spans=(span,))


def range_iou(start: float, end: float, other_start: float, other_end: float) -> float:
    """Intersection over union of two ranges, in any unit.

    >>> range_iou(0, 4, 2, 6), range_iou(0, 1, 2, 3)
    (0.3333333333333333, 0.0)
    """
    intersection = max(0.0, min(end, other_end) - max(start, other_start))
    return intersection / (end - start + other_end - other_start - intersection)
