"""The numbers in a text, in digits or in words, each with its role; and which of them the text gives as its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import regex

from engine.language.answer import Answer
from engine.language.relevance import most_relevant
from engine.language.scope import DENIED, OPEN
from engine.language.vocabulary import FUNCTION_WORDS
from engine.language.words import label_words, lemmas

ONES = (
    "zero one two three four five six seven eight nine ten "
    "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
MULTIPLIERS = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
VALUES = (
    {word: value for value, word in enumerate(ONES)}
    | {word: 10 * (i + 2) for i, word in enumerate(TENS)}
    | MULTIPLIERS
    | {"once": 1, "twice": 2, "thrice": 3}
)
_DIGITS = r"(?<![\p{L}\p{N}.])(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_WORDS = rf"\b(?:{'|'.join(VALUES)})(?:(?:[\s-]+|\s+and\s+)(?:{'|'.join(VALUES)})){{0,7}}\b"
_NUMBER = regex.compile(
    rf"(?P<minus>(?<!\d\s?)(?<=^|[\s(\[=:,<])[-−](?=[\d.])|\b(?:minus|negative)\s+)?(?:(?P<digits>{_DIGITS})|(?P<words>{_WORDS}))"
    rf"(?:\s+point\s+(?P<point>(?:(?:{'|'.join(ONES[:10])})\b\s*)+))?(?(digits)(?:\s+(?P<multiplier>{'|'.join(MULTIPLIERS)})\b)?)"
    r"(?P<half>\s+and\s+a\s+half)?",
    regex.IGNORECASE,
)
_ORDINAL = regex.compile(r"(?:st|nd|rd|th)\b", regex.IGNORECASE)
_SCALE = regex.compile(
    r"(?:scale|range|ranges|ranging|rated|score[sd]?)\s+(?:of|from|between|is)?\s*$|(?:out\s+of|/)\s*(?:a\s+(?:possible|maximum)\s+)?$"
    r"|(?:maximum|max|minimum|min|possible|full|perfect)\s+(?:score\s+)?(?:of|is|:)?\s*$",
    regex.IGNORECASE,
)
_GROUP = regex.compile(r"[\[(](?:\s*[-+]?[\d.]+\s*%?\s*[,;]){2,}\s*[-+]?[\d.]+\s*%?\s*[\])]")
_TOTAL = regex.compile(r"\s+of\s+(?:the\s+|these\s+|those\s+|all\s+)?$", regex.IGNORECASE)
_BETWEEN = regex.compile(r"^\s*(?:-|–|—|to|and|or|through|until)\s*$", regex.IGNORECASE)
_BOUND = regex.compile(
    r"\b(?:more|less|fewer|greater|higher|lower|over|under|above|below|at\s+least|at\s+most|up\s+to)\s+(?:than\s+)?$",
    regex.IGNORECASE,
)
NEAR = 40
"""How many characters before a number decide its role."""
_FRAME = regex.compile(r"\bframes?\s*(?:number|no\.?|#|index)?\s*$", regex.IGNORECASE)
_PERCENT = regex.compile(r"\s?(?:%|percent\b|per cent\b)", regex.IGNORECASE)
_LIMIT = regex.compile(r"(?:out\s+of|/|maximum|max|minimum|min|possible|full|perfect)[^.,;\d]*$", regex.IGNORECASE)
"""Text before a number that is a limit of the scale and not the value."""
_OPENS = regex.compile(r"\b(?:from|between)\s+$", regex.IGNORECASE)
_ONCE_ONLY = regex.compile(r"\s*(?:[.,;!?]|$|in\b|during\b|only\b)", regex.IGNORECASE)
_NO_ONE = regex.compile(r"\b(?:no|any|some|every|which|this|that|the)[\s-]$", regex.IGNORECASE)
_ONE_OF = regex.compile(r"\s+(?:of|can|could|would|might|by|after)\b", regex.IGNORECASE)
_CONCLUDING = frozenset("so therefore thus hence overall final finally total altogether conclude conclusion answer score".split())
CUE_REACH = 40
"""Characters behind an announcement of the answer in which its number starts."""
_CUE = regex.compile(
    r"\b(?:correct|actual|final|true)(?:\s+[\w-]+){0,2}?\s*(?:is|was|:|=)|\b(?:total|count|result|sum)\s*(?:is|was|:|=)"
    r"|\bcomes?\s+(?:out\s+)?to\b|\b(?:for|making|giving)\s+a\s+(?:grand\s+)?total\s+of\b|\btotal(?:ing|ling)\b",
    regex.IGNORECASE,
)
NOT_COUNTED = frozenset(
    "out points point on for in because since as which and so overall of at with is seems to until till through or".split()
)
"""Words behind a number that are not what it counts."""


Role = Literal["value", "scale", "bound", "range", "ordinal", "box"]
"""scale and bound limit what a value may be; range: one end of a range; ordinal: a rank; box: one of several in brackets."""


@dataclass(frozen=True)
class StatedNumber:
    """A number in the text: StatedNumber(value=85.0, start=16, end=18, position=3, noun="points", percent=False, role="value")."""

    value: float
    start: int
    end: int
    """`start` and `end` are its span in the text."""
    position: int
    """Of the word with which it begins."""
    noun: str
    """The word right behind it, folded; "" at the end of a clause."""
    percent: bool
    role: Role


def numbers(answer: Answer) -> list[StatedNumber]:
    """All numbers in the order of the text.

    >>> answer = Answer("On a scale of 1 to 100, two dives score eighty-five point three, -2 and 1,000")
    >>> [(number.value, number.role) for number in numbers(answer)]
    [(1.0, 'scale'), (100.0, 'scale'), (2.0, 'value'), (85.3, 'value'), (-2.0, 'value'), (1000.0, 'value')]
    """
    text = answer.text
    matches = [match for match in _NUMBER.finditer(text) if not _is_no_number(match, text)]
    boxed_offsets = {offset for group in _GROUP.finditer(text) for offset in range(*group.span())}
    stated: list[StatedNumber] = []
    for i, match in enumerate(matches):
        behind = answer.next_word(match.end())
        noun = answer.words[behind] if behind < len(answer.words) and not answer.gap_before(behind).strip(" -") else ""
        role = "box" if match.start() in boxed_offsets else _role(matches, i, text, stated[-1].role if stated else None)
        position = min(answer.next_word(match.start()), len(answer.words) - 1)
        percent = bool(_PERCENT.match(text, match.end()))
        stated.append(StatedNumber(_value(match), match.start(), match.end(), position, noun, percent, role))
    return stated


def _role(matches: Sequence["regex.Match[str]"], i: int, text: str, previous_role: Role | None) -> Role:
    """The role of number i, from the text around it."""
    match = matches[i]
    between = text[matches[i - 1].end() if i else 0 : match.start()]
    before = text[max(0, match.start() - NEAR) : match.start()]
    starts_range = _starts_range(matches, i, text)
    if _ORDINAL.match(text, match.end()) or _FRAME.search(before):
        return "ordinal"
    if _SCALE.search(before) and (starts_range or _LIMIT.search(before)):
        return "scale"
    if i and previous_role in ("scale", "range") and _BETWEEN.match(between):
        return previous_role
    if starts_range:
        return "range"
    if i and previous_role == "value" and _TOTAL.match(between):
        return "scale"
    return "bound" if _BOUND.search(before) else "value"


def _is_no_number(match: "regex.Match[str]", text: str) -> bool:
    """Whether "one" is a pronoun ("no one", "one of them"), or "once" means "at some time"."""
    word = (match["words"] or "").casefold()
    if word == "once":
        return not _ONCE_ONLY.match(text, match.end())
    before = text[max(0, match.start() - NEAR) : match.start()]
    return word == "one" and bool(_NO_ONE.search(before) or _ONE_OF.match(text, match.end()))


def _starts_range(matches: Sequence["regex.Match[str]"], i: int, text: str) -> bool:
    """Whether number i and the next one are the two ends of a range."""
    if i + 1 == len(matches):
        return False
    between = text[matches[i].end() : matches[i + 1].start()]
    has_from = _OPENS.search(text[max(0, matches[i].start() - NEAR) : matches[i].start()]) is not None
    return bool(_BETWEEN.match(between)) and (has_from or between.strip().casefold() != "and")


def _value(match: "regex.Match[str]") -> float:
    if match["digits"]:
        value = float(match["digits"].replace(",", "")) * MULTIPLIERS.get((match["multiplier"] or "").casefold(), 1)
    else:
        value = float(spelled_number(regex.split(r"[\s-]+", match["words"].casefold())))
    if match["point"]:
        value += float("0." + "".join(str(ONES.index(word)) for word in match["point"].casefold().split()))
    if match["half"]:
        value += 0.5
    return -value if match["minus"] else value


def spelled_number(number_words: Sequence[str]) -> int:
    """The value of a number in words.

    >>> spelled_number(["twenty", "five"]), spelled_number(["one", "hundred", "and", "five"]), spelled_number(["two", "thousand"])
    (25, 105, 2000)
    """
    total, group = 0, 0
    for word in number_words:
        value = VALUES.get(word, 0)
        if value >= 1000:
            total, group = total + max(group, 1) * value, 0
        else:
            group = max(group, 1) * value if value in (12, 100) and word in ("dozen", "hundred") else group + value
    return total + group


def answered_number(answer: Answer, question: str, stated: Sequence[StatedNumber]) -> StatedNumber | None:
    """The number that the text gives as its answer; None if it asserts no value.

    Of several asserted values the first rule that finds one decides: the number behind the last "answer is" or "correct count is";
    the last number that counts what the question asks for; of the numbers nearest to the question's words the last in a sentence
    that concludes, else the last.
    """
    asserted = [number for number in stated if number.role == "value" and answer.stances[number.position] not in (DENIED, OPEN)]
    if len(asserted) <= 1:
        return asserted[0] if asserted else None
    cues = [match.end() for match in _CUE.finditer(answer.text)]
    if answer.conclusion:
        cues.append(answer.word_spans[answer.conclusion[0]][0])
    if cues and (announced := [number for number in asserted if 0 <= number.start - max(cues) < CUE_REACH]):
        return announced[0]
    topic = frozenset(form for word in label_words(question) if word not in FUNCTION_WORDS for form in lemmas(word))
    if counts := [number for number in asserted if number.noun and not topic.isdisjoint(lemmas(number.noun))]:
        return counts[-1]
    bare = [number for number in asserted if not number.noun or number.noun in NOT_COUNTED] or asserted
    relevant = [bare[i] for i in most_relevant(answer, question, [number.position for number in bare])]
    concluding = [number for number in relevant if not _CONCLUDING.isdisjoint(_sentence_words(answer, number))]
    return (concluding or relevant)[-1]


def _sentence_words(answer: Answer, number: StatedNumber) -> Sequence[str]:
    first, end = answer.sentence_of(number.position)
    return answer.words[first:end]
