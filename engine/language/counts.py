"""Which of the numbers in a text is its answer to the question."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import regex

from engine.language.answer import Answer
from engine.language.numbers import NEAR, NOT_COUNTED, StatedNumber
from engine.language.relevance import most_relevant
from engine.language.scope import CLAUSE_STARTS, DENIED, FINITE_VERBS, OPEN
from engine.language.vocabulary import FUNCTION_WORDS, PEOPLE, PLACES
from engine.language.words import label_words, lemmas

CUE_REACH = 40
"""Characters behind an announcement of the answer in which its number starts."""
_CUE = regex.compile(
    r"\b(?:correct|actual|final|true)(?:\s+[\w-]+){0,2}?\s*(?:is|was|:|=)|\b(?<!\bin\s)(?:total|count|result|sum)\s*(?:is|was|:|=)"
    r"|\bcomes?\s+(?:out\s+)?to\b|\b(?:for|making|giving)\s+a\s+(?:grand\s+)?total\s+of\b|\btotal(?:ing|ling)\b",
    regex.IGNORECASE,
)
_LABELLED = regex.compile(
    r"(?:^|[\n;,.]|\band\b|\bthe\b|[-*•])\s*(?:(?:total\s+)?(?:number|count|amount)\s+of\s+)?((?:[\w-]+\s+){0,2}[\w-]+)\s*(?::|=|\bis\b|\bare\b)\s*$",
    regex.IGNORECASE,
)
"""Text before a number that says what it counts: "Number of people: ", "people = ", "the number of people is "."""
_RESTATED = regex.compile(r"\b(?:i\.\s?e\.|that\s+is|in\s+other\s+words),?\s+(?:a\s+total\s+of\s+|\w+ly\s+)?$", regex.IGNORECASE)
"""Text before a number that sums up what stands before it."""
_CONCLUDING = frozenset("so therefore thus hence overall final finally total altogether conclude conclusion answer score".split())
_SUMMING = frozenset("so therefore thus hence total altogether makes now".split())
"""Words of a clause that sums up what stands before it."""
_BACK = (("of", "them"), ("of", "these"), ("of", "those"))
"""Behind a number that counts some of what is counted before it."""
ASKING = frozenset("how many much what which there do does did can".split())
"""Words of a question that name nothing."""
ADJECTIVE_WEIGHT = 2
"""Of a word that narrows what is asked for, as "red" in "how many red cups", beside 1 of every other word."""


def answered_number(answer: Answer, question: str, stated: Sequence[StatedNumber]) -> StatedNumber | None:
    """The number that the text gives as its answer; None if it asserts no value.

    Of several asserted values the first rule that finds one decides: of counts that are told by name ("People: 3, dogs: 2") that of
    what is asked for; the number behind the last "answer is" or "correct count is";
    the one in a clause that sums up; of those that count what the question asks for, the one whose clause has most words of the
    question; of the numbers nearest to the question's words the last in a sentence that concludes, else the last. Parts of a whole
    ("half of it") count if no other number is asserted.
    """
    asserted = [number for number in stated if number.role == "value" and is_stated(answer, number)]
    if not asserted:
        parts = [number for number in stated if number.role == "part" and is_stated(answer, number)]
        return parts[0] if len(parts) == 1 else None
    if len(asserted) == 1:
        return asserted[0]
    if labelled := _labelled(answer, question, asserted):
        return labelled
    if announced := _announced(answer, asserted):
        return announced
    weights = _topic_weights(question)
    if summing := [number for number in asserted if not _SUMMING.isdisjoint(_clause(answer, number)) and _is_bare(number, weights)]:
        return summing[-1]
    if restated := [number for number in asserted[1:] if _is_restated(answer, number) and _is_bare(number, weights)]:
        return restated[-1]
    if counts := _counts(answer, asserted, weights):
        candidates = [*counts, *(number for number in asserted if number not in counts and _is_bare(number, weights))]
        fits = {number: _fit(answer, number, weights) for number in sorted(candidates, key=lambda number: number.start)}
        return [number for number, fit in fits.items() if fit == max(fits.values())][-1]
    if total := _total(answer, asserted, weights):
        return total
    bare = [number for number in asserted if _is_bare(number, weights)] or asserted
    relevant = [bare[i] for i in most_relevant(answer, question, [number.position for number in bare])]
    concluding = [number for number in relevant if not _CONCLUDING.isdisjoint(_sentence(answer, number))]
    return (concluding or relevant)[-1]


@lru_cache(maxsize=1 << 12)
def asked_noun(question: str) -> str:
    """What the question asks to count: "cups" of "How many red cups are there?"; "" if it does not say "how many"."""
    words = label_words(question)
    start = words.index("many") + 1 if "many" in words else len(words)
    end = next((i for i in range(start, len(words)) if words[i] in FUNCTION_WORDS or words[i] in ASKING), start)
    return words[end - 1] if end > start and words[end - 1] != "times" else ""


def is_stated(answer: Answer, number: StatedNumber) -> bool:
    return answer.stances[number.position] not in (DENIED, OPEN)


def _labelled(answer: Answer, question: str, asserted: Sequence[StatedNumber]) -> StatedNumber | None:
    """The one count of what is asked for, where several things are counted by name."""
    noun = asked_noun(question)
    before = [answer.text[max(0, number.start - CUE_REACH) : number.start] for number in asserted]
    names = [match[1].split()[-1].casefold() if (match := _LABELLED.search(text)) else "" for text in before]
    if not noun or sum(map(bool, names)) < 2:
        return None
    forms = frozenset(lemmas(noun))
    own = [number for number, name in zip(asserted, names, strict=True) if name and not forms.isdisjoint(lemmas(name))]
    return own[0] if len(own) == 1 else None


def _announced(answer: Answer, asserted: Sequence[StatedNumber]) -> StatedNumber | None:
    """The number behind the last announcement of the answer."""
    cues = [match.end() for match in _CUE.finditer(answer.text)]
    if answer.conclusion:
        cues.append(answer.word_spans[answer.conclusion[0]][0])
    first, end = answer.sentence_of(asserted[-1].position)
    if end == first + 1 and "?" in answer.gap_before(first):
        return asserted[-1]
    return next((number for number in asserted if cues and 0 <= number.start - max(cues) < CUE_REACH), None)


def _is_restated(answer: Answer, number: StatedNumber) -> bool:
    return bool(_RESTATED.search(answer.text, max(0, number.start - NEAR), number.start))


@lru_cache(maxsize=1 << 12)
def _topic_weights(question: str) -> dict[str, int]:
    """The base forms of the question's words -> their weight."""
    words = label_words(question)
    noun_start = words.index("many") + 1 if "many" in words else len(words)
    end = next((i for i in range(noun_start, len(words)) if words[i] in FUNCTION_WORDS), len(words))
    adjectives = {*words[noun_start : end - 1]} if end - noun_start in (2, 3) else set()
    weights: dict[str, int] = {}
    for word in words:
        if word not in FUNCTION_WORDS | PLACES and word not in ASKING:
            weights |= dict.fromkeys(lemmas(word), ADJECTIVE_WEIGHT if word in adjectives else 1)
    return weights


def _is_bare(number: StatedNumber, weights: dict[str, int]) -> bool:
    """Whether the number counts nothing by name, or what the question asks for."""
    return not number.noun or number.noun in NOT_COUNTED | FINITE_VERBS or not weights.keys().isdisjoint(lemmas(number.noun))


def _counts(answer: Answer, asserted: Sequence[StatedNumber], weights: dict[str, int]) -> list[StatedNumber]:
    """The numbers that count what the question asks for, and those of "two of them" behind them."""
    counts: list[StatedNumber] = []
    for number in asserted:
        behind = answer.words[answer.next_word(number.end) :][:2]
        if number.noun and (not weights.keys().isdisjoint(lemmas(number.noun)) or (counts and tuple(behind) in _BACK)):
            counts.append(number)
    return counts


def _fit(answer: Answer, number: StatedNumber, weights: dict[str, int]) -> int:
    """The summed weight of the question's words in the number's clause."""
    words = {word for word in _clause(answer, number) if not weights.keys().isdisjoint(lemmas(word))}
    return sum(max(weights.get(form, 0) for form in lemmas(word)) for word in words)


def _total(answer: Answer, asserted: Sequence[StatedNumber], weights: dict[str, int]) -> StatedNumber | None:
    """The sum of "two men and three women", where people are asked for and nothing else is counted; None if that is not so."""
    first = asserted[0]
    are_people = all(not PEOPLE.isdisjoint(lemmas(number.noun)) for number in asserted if number.noun)
    is_one_sentence = all(_sentence(answer, number) == _sentence(answer, first) for number in asserted)
    if not (are_people and is_one_sentence and all(number.noun for number in asserted) and weights.keys() & {"people", "person"}):
        return None
    return replace(first, value=sum(number.value for number in asserted), end=asserted[-1].end)


def _clause(answer: Answer, number: StatedNumber) -> Sequence[str]:
    """The words between the punctuation or conjunctions around the number."""
    first, end = answer.sentence_of(number.position)
    breaks = answer.breaks(first, end)

    def is_edge(i: int) -> bool:
        return breaks[i - first] or answer.words[i] == "and" or answer.words[i] in CLAUSE_STARTS

    start = next(filter(is_edge, range(number.position, first - 1, -1)), first)
    stop = next(filter(is_edge, range(answer.next_word(number.end), end)), end)
    return answer.words[start:stop]


def _sentence(answer: Answer, number: StatedNumber) -> Sequence[str]:
    first, end = answer.sentence_of(number.position)
    return answer.words[first:end]
