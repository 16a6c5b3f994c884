"""Number labels (scores, counts): the number that the text gives as its answer is within a relative tolerance of the label's."""

import math
from collections.abc import Sequence

from engine.labels import Number
from engine.language.answer import Answer
from engine.language.counts import answered_number, asked_noun, is_stated
from engine.language.numbers import StatedNumber, numbers
from engine.language.scope import DENIED, OPEN
from engine.language.units import asked_unit, converted, unit_after
from engine.language.vocabulary import FUNCTION_WORDS
from engine.language.words import label_words, lemmas, same_word
from engine.rows import Verdict

ZERO_WORDS = frozenset("no none nobody nothing never".split())
"""Words that mean zero if the answer holds no number."""
NOUN_REACH = 2
"""Maximum words from "no" to the noun that it denies."""
EPSILON = 1e-9
"""Slack for rounding: the tolerance is inclusive, and 1.05 * 20 is not exactly 21 in floating point."""


def verify_number(answer: Answer, question: str, label: Number) -> Verdict:
    stated = numbers(answer)
    number = answered_number(answer, question, stated)
    if number is not None and _counts_others(answer, question, number):
        if label.value == 1 and _is_one(answer, question):
            return Verdict(keep=True, reason="contains_label", score=1.0, extracted="")
        number, stated = None, ()
    if number is None and label.value == 0 and _says_none(answer, question, stated):
        return Verdict(keep=True, reason="contains_label", score=1.0, extracted="")
    if number is None:
        return Verdict(keep=False, reason=_reason_without_value(stated), score=0.0, extracted="")
    readings = _readings(answer, question, number)
    if not readings:
        return Verdict(
            keep=False,
            reason="wrong_number",
            score=0.0,
            extracted=answer.text[number.start : number.end],
            spans=((number.start, number.end),),
        )
    nearest = min(readings, key=lambda value: abs(value - label.value))
    keep = agrees(nearest, label)
    return Verdict(
        keep=keep,
        reason="contains_label" if keep else "wrong_number",
        score=1.0 if keep else _closeness(abs(nearest - label.value), label.value),
        extracted=answer.text[number.start : number.end],
        spans=((number.start, number.end),),
    )


def agrees(value: float, label: Number) -> bool:
    """Whether the value is within the label's tolerance.

    >>> agrees(21.0, Number(value=20.0)), agrees(21.5, Number(value=20.0))
    (True, False)
    """
    return abs(value - label.value) <= label.tolerance * abs(label.value) + EPSILON * max(1.0, abs(label.value))


def _readings(answer: Answer, question: str, number: StatedNumber) -> list[float]:
    """The values that the number may mean, in the unit that the question asks for; none if its unit measures another thing."""
    if number.percent:
        return [number.value, number.value / 100]
    unit, unit_of_question = unit_after(answer.text, number.end), asked_unit(question)
    if not unit or not unit_of_question:
        return [number.value]
    value = converted(number.value, unit, unit_of_question)
    return [] if value is None else [value]


def _counts_others(answer: Answer, question: str, number: StatedNumber) -> bool:
    """Whether the number counts something else than the asked things: "no cubes, only three balls", "a cat and 2 dogs"."""
    noun = asked_noun(question)
    if not noun or not number.noun or number.noun in FUNCTION_WORDS or same_word(noun, number.noun):
        return False
    is_denied = any(
        answer.stances[i] == DENIED and "no" in answer.words[max(0, i - NOUN_REACH) : i] for i in answer.positions_of(noun)
    )
    return is_denied or _is_one(answer, question)


def _is_one(answer: Answer, question: str) -> bool:
    """Whether the text states one of the asked things by an article: "a cat", where cats are to be counted."""
    noun = asked_noun(question)
    places = [i for i in answer.positions_of(noun) if answer.stances[i] not in (DENIED, OPEN)] if noun else []
    return bool(places) and all(not {"a", "an"}.isdisjoint(answer.words[max(0, i - NOUN_REACH) : i]) for i in places)


def _says_none(answer: Answer, question: str, stated: Sequence[StatedNumber]) -> bool:
    """Whether the text says that there is none of what the question asks for: "none of the 3", "he does not jump at all"."""
    if any(number.role == "value" and is_stated(answer, number) for number in stated):
        return False
    topic = frozenset(form for word in label_words(question) if word not in FUNCTION_WORDS for form in lemmas(word))
    denied = (word for word, stance in zip(answer.words, answer.stances, strict=True) if stance == DENIED)
    return not ZERO_WORDS.isdisjoint(answer.words) or any(not topic.isdisjoint(lemmas(word)) for word in denied)


def _reason_without_value(stated: Sequence[StatedNumber]) -> str:
    if any(number.role in ("range", "bound") for number in stated):
        return "no_single_answer"
    return "no_answer" if all(number.role != "value" for number in stated) else "label_denied"


def _closeness(error: float, label_value: float) -> float:
    """Score from 0 to 1; 1 for no error."""
    relative_error = error / max(abs(label_value), EPSILON)
    return 1 / (1 + relative_error) if math.isfinite(relative_error) else 0.0
