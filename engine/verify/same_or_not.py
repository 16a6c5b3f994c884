"""Labels that say whether two things are the same: the last "same" or "different" decides, a denied one the other way round."""

from engine.labels import SameOrNot
from engine.language.answer import Answer
from engine.language.scope import ASSERTED, DENIED
from engine.rows import Verdict

SAME = frozenset("same identical".split())
DIFFERENT = frozenset("different differ differs distinct".split())
ASIDE = frozenset(
    "time times moment moments way ways place places room scene scenes direction directions video frame frames size colour color "
    "angle angles view views viewpoint viewpoints position positions pose poses".split()
)
"""Behind "same" these say nothing about the things themselves: "at the same time"."""


def verify_same_or_not(answer: Answer, label: SameOrNot) -> Verdict:
    """
    >>> verify_same_or_not(Answer("One is a cup, so they are not the same."), SameOrNot(same=False)).keep
    True
    >>> verify_same_or_not(Answer("They are the same."), SameOrNot(same=False)).reason
    'other_answer'
    """
    stated = [(place, same) for place in range(len(answer.words)) if (same := _stated(answer, place)) is not None]
    if not stated:
        return Verdict(keep=False, reason="no_answer", score=0.0, extracted="")
    place, same = stated[-1]
    span, keep = answer.word_spans[place], same == label.same
    reason = "contains_label" if keep else "other_answer"
    return Verdict(keep=keep, reason=reason, score=float(keep), extracted=answer.words[place], spans=(span,))


def _stated(answer: Answer, place: int) -> bool | None:
    """What a word says: that the things are the same (True) or not; None for any other word, and for one that is left open."""
    word, stance = answer.words[place], answer.stances[place]
    if word not in SAME | DIFFERENT or not {*answer.words[place + 1 : place + 2]}.isdisjoint(ASIDE):
        return None
    if stance not in (ASSERTED, DENIED):
        return None
    return (word in SAME) == (stance == ASSERTED)
