"""Labels that say whether two things are the same: the last "same" or "different" decides, a denied one the other way round."""

from engine.labels import SameOrNot
from engine.language.answer import Answer
from engine.language.scope import ASSERTED, DENIED
from engine.language.vocabulary import ARTICLES, FUNCTION_WORDS
from engine.language.words import label_words
from engine.rows import Verdict

SAME = frozenset("same identical alike".split())
DIFFERENT = frozenset("different differ differs distinct difference differences".split())
ASIDE = frozenset(
    "time times moment moments way ways place places room scene scenes direction directions video frame frames size colour color "
    "angle angles view views viewpoint viewpoints position positions pose poses".split()
)
"""Behind "same" these say nothing about the things themselves: "at the same time"."""
ASPECT_BEFORE = frozenset("in with at from under on against have has having had share shares sharing wear wears wearing".split())
"""Nor do "same" and "different" behind these, which speak of one aspect: "in different lighting", "they have the same shape"."""
YES_OR_NO = {"yes": True, "yeah": True, "yep": True, "no": False, "nope": False}


def verify_same_or_not(answer: Answer, label: SameOrNot) -> Verdict:
    """
    >>> verify_same_or_not(Answer("One is a cup, so they are not the same."), SameOrNot(same=False)).keep
    True
    >>> verify_same_or_not(Answer("They are the same."), SameOrNot(same=False)).reason
    'other_answer'
    >>> verify_same_or_not(Answer("No, one is a cup.", "Are they identical?"), SameOrNot(same=False)).keep
    True
    """
    stated = [(place, same) for place in range(len(answer.words)) if (same := _stated(answer, place)) is not None]
    if not stated and (same := _confirmed(answer)) is not None:
        stated = [(0, same)]
    if not stated:
        return Verdict(keep=False, reason="no_answer", score=0.0, extracted="")
    place, same = stated[-1]
    span, keep = answer.word_spans[place], same == label.same
    reason = "contains_label" if keep else "other_answer"
    return Verdict(keep=keep, reason=reason, score=float(keep), extracted=answer.words[place], spans=(span,))


def _stated(answer: Answer, place: int) -> bool | None:
    """What a word says: that the things are the same (True) or not; None for any other word, and for one that is left open."""
    word, stance = answer.words[place], answer.stances[place]
    before = [other for other in answer.words[max(0, place - 2) : place] if other not in ARTICLES]
    if before and before[-1] in ASPECT_BEFORE and _has_noun(answer, place):
        return None
    if word not in SAME | DIFFERENT or not {*answer.words[place + 1 : place + 2]}.isdisjoint(ASIDE):
        return None
    if stance not in (ASSERTED, DENIED):
        return None
    return (word in SAME) == (stance == ASSERTED)


def _has_noun(answer: Answer, place: int) -> bool:
    """Whether a noun stands behind the word: "different lighting"."""
    behind = answer.words[place + 1 : place + 2]
    return bool(behind) and behind[0] not in FUNCTION_WORDS and not answer.gap_before(place + 1).strip()


def _confirmed(answer: Answer) -> bool | None:
    """What a "yes" or "no" at the text's start says about a question for one of the two: "Are they the same?"."""
    asked_same, asked_different = (not names.isdisjoint(label_words(answer.question)) for names in (SAME, DIFFERENT))
    confirms = YES_OR_NO.get(answer.words[0]) if answer.words else None
    if confirms is None or asked_same == asked_different:
        return None
    return confirms == asked_same
