"""A stretch of time: the one that the text gives as its answer overlaps the label's enough."""

from engine.labels import TimeRange
from engine.language.ranges import ranges
from engine.language.text import Said
from engine.language.times import about, asserted
from engine.rows import Verdict

EPSILON = 1e-9


def has_time_range(said: Said, question: str, label: TimeRange) -> Verdict:
    found = [pair for pair in ranges(said, question, label.duration_s) if asserted(said, pair[0].word)]
    if not found:
        return Verdict(keep=False, reason="no_answer", score=0.0, extracted="")
    start = about(said, question, [pair[0] for pair in found])[-1]
    one, other = next(pair for pair in found if pair[0] is start)
    place = (min(one.start, other.start), max(one.end, other.end))
    extracted = said.text[place[0] : place[1]]
    if one.time_s >= other.time_s:
        return Verdict(keep=False, reason="reversed_range", score=0.0, extracted=extracted, found=(place,))
    iou = overlap(one.time_s, other.time_s, label.start_s, label.end_s)
    keep = iou >= label.iou - EPSILON
    return Verdict(keep=keep, reason="contains_label" if keep else "low_iou", score=iou, extracted=extracted, found=(place,))


def overlap(a: float, b: float, c: float, d: float) -> float:
    """Intersection over union of a..b and c..d.

    >>> overlap(0, 4, 2, 6), overlap(0, 1, 2, 3)
    (0.3333333333333333, 0.0)
    """
    shared = max(0.0, min(b, d) - max(a, c))
    return shared / (b - a + d - c - shared)
