"""Numbers that a text names, in digits or in words, each with what stands around it; and which of them is the answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import regex

from engine.language.negation import DENIED, OPEN
from engine.language.relevance import most_relevant
from engine.language.text import Said
from engine.language.vocabulary import FUNCTION_WORDS
from engine.language.words import label_words, lemmas

ONES = (
    "zero one two three four five six seven eight nine ten "
    "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
VALUES = (
    {word: value for value, word in enumerate(ONES)}
    | {word: 10 * (i + 2) for i, word in enumerate(TENS)}
    | {"hundred": 100, "thousand": 1000, "dozen": 12, "once": 1, "twice": 2, "thrice": 3}
)
_DIGITS = r"(?<![\p{L}\p{N}.])(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_WORDS = rf"\b(?:{'|'.join(VALUES)})(?:(?:[\s-]+|\s+and\s+)(?:{'|'.join(VALUES)})){{0,7}}\b"
_NUMBER = regex.compile(
    rf"(?P<minus>(?<!\d\s?)(?<=^|[\s(\[=:,<])[-−](?=[\d.])|\b(?:minus|negative)\s+)?(?:(?P<digits>{_DIGITS})|(?P<words>{_WORDS}))"
    rf"(?:\s+point\s+(?P<point>(?:(?:{'|'.join(ONES[:10])})\b\s*)+))?(?P<half>\s+and\s+a\s+half)?",
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
"""Characters before a number that are looked at."""
_FRAME = regex.compile(r"\bframes?\s*(?:number|no\.?|#|index)?\s*$", regex.IGNORECASE)
_PERCENT = regex.compile(r"\s?(?:%|percent\b|per cent\b)", regex.IGNORECASE)
_LIMIT = regex.compile(r"(?:out\s+of|/|maximum|max|minimum|min|possible|full|perfect)[^.,;\d]*$", regex.IGNORECASE)
"""What stands before a number that is the most there can be, and not what there is."""
_OPENS = regex.compile(r"\b(?:from|between)\s+$", regex.IGNORECASE)
_ONCE_ONLY = regex.compile(r"\s*(?:[.,;!?]|$|in\b|during\b|only\b)", regex.IGNORECASE)
_NO_ONE = regex.compile(r"\b(?:no|any|some|every|which|this|that|the)[\s-]$", regex.IGNORECASE)
_ONE_OF = regex.compile(r"\s+(?:of|can|could|would|might|by|after)\b", regex.IGNORECASE)
_CONCLUDING = frozenset("so therefore thus hence overall final finally total altogether conclude conclusion answer score".split())


@dataclass(frozen=True)
class Found:
    """One number of a text."""

    value: float
    start: int
    end: int
    word: int
    """Which word of the text it begins with."""
    noun: str
    """The word right after it, folded; "" at the end of a clause."""
    percent: bool
    role: str
    """"value"; "scale" and "bound" say what a value may be; "range" is one end of a stretch; "ordinal" is a place in an order;
    "box" is one of several in brackets."""


def numbers(said: Said) -> list[Found]:
    """
    >>> [(n.value, n.role) for n in numbers(Said("On a scale of 1 to 100, two dives score eighty-five point three, -2 and 1,000"))]
    [(1.0, 'scale'), (100.0, 'scale'), (2.0, 'value'), (85.3, 'value'), (-2.0, 'value'), (1000.0, 'value')]
    """
    text = said.text
    matches = [match for match in _NUMBER.finditer(text) if not _is_idle(match, text)]
    boxed = {place for group in _GROUP.finditer(text) for place in range(*group.span())}
    found: list[Found] = []
    for at, match in enumerate(matches):
        end_word = said.word_from(match.end())
        noun = said.words[end_word] if end_word < len(said.words) and not said.gap(end_word).strip(" -") else ""
        role = "box" if match.start() in boxed else _role(matches, at, text, found[-1].role if found else "")
        word = min(said.word_from(match.start()), len(said.words) - 1)
        percent = bool(_PERCENT.match(text, match.end()))
        found.append(Found(_value(match), match.start(), match.end(), word, noun, percent, role))
    return found


def _role(matches: Sequence["regex.Match[str]"], at: int, text: str, role_before: str) -> str:
    """What a number is there for, by what stands around it."""
    match = matches[at]
    between = text[matches[at - 1].end() if at else 0 : match.start()]
    near = text[max(0, match.start() - NEAR) : match.start()]
    joins = _next_joins(matches, at, text)
    if _ORDINAL.match(text, match.end()) or _FRAME.search(near):
        return "ordinal"
    if _SCALE.search(near) and (joins or _LIMIT.search(near)):
        return "scale"
    if at and role_before in ("scale", "range") and _BETWEEN.match(between):
        return role_before
    if joins:
        return "range"
    if at and role_before == "value" and _TOTAL.match(between):
        return "scale"
    return "bound" if _BOUND.search(near) else "value"


def _is_idle(match: "regex.Match[str]", text: str) -> bool:
    """One as a pronoun ("no one", "one of them"), and once as "at some time"."""
    word = (match["words"] or "").casefold()
    if word == "once":
        return not _ONCE_ONLY.match(text, match.end())
    near = text[max(0, match.start() - NEAR) : match.start()]
    return word == "one" and bool(_NO_ONE.search(near) or _ONE_OF.match(text, match.end()))


def _next_joins(matches: Sequence["regex.Match[str]"], at: int, text: str) -> bool:
    """Whether the next number is the other end of a stretch that begins with this one."""
    if at + 1 == len(matches):
        return False
    between = text[matches[at].end() : matches[at + 1].start()]
    opens = _OPENS.search(text[max(0, matches[at].start() - NEAR) : matches[at].start()])
    return bool(_BETWEEN.match(between)) and (opens is not None or between.strip().casefold() != "and")


def _value(match: "regex.Match[str]") -> float:
    if match["digits"]:
        value = float(match["digits"].replace(",", ""))
    else:
        value = float(spelled(regex.split(r"[\s-]+", match["words"].casefold())))
    if match["point"]:
        value += float("0." + "".join(str(ONES.index(word)) for word in match["point"].casefold().split()))
    if match["half"]:
        value += 0.5
    return -value if match["minus"] else value


def spelled(parts: Sequence[str]) -> int:
    """
    >>> spelled(["twenty", "five"]), spelled(["one", "hundred", "and", "five"]), spelled(["two", "thousand"])
    (25, 105, 2000)
    """
    total, group = 0, 0
    for part in parts:
        value = VALUES.get(part, 0)
        if value == 1000:
            total, group = total + max(group, 1) * 1000, 0
        else:
            group = max(group, 1) * value if value in (12, 100) and part in ("dozen", "hundred") else group + value
    return total + group


def answered(said: Said, question: str, found: Sequence[Found]) -> list[Found]:
    """Those of the numbers that the text gives as its answer; several where it does not choose.

    After the last "answer is" or "the correct count is"; else those that count what is asked for; else those about what is asked;
    else those of the last sentence that concludes; else the last that counts nothing.
    """
    live = [number for number in found if number.role == "value" and said.marks[number.word] not in (DENIED, OPEN)]
    if len(live) <= 1:
        return live
    cues = [match.end() for match in _CUE.finditer(said.text)]
    if said.answer:
        cues.append(said.spans[said.answer[0]][0])
    if cues and (inside := [number for number in live if 0 <= number.start - max(cues) < CUE_REACH]):
        return inside[:1]
    asked = frozenset(form for word in label_words(question) if word not in FUNCTION_WORDS for form in lemmas(word))
    if counted := [number for number in live if number.noun and not asked.isdisjoint(lemmas(number.noun))]:
        return counted[-1:]
    bare = [number for number in live if not number.noun or number.noun in AFTER] or live
    bare = [bare[at] for at in most_relevant(said, question, [number.word for number in bare])]
    concluding = [number for number in bare if not _CONCLUDING.isdisjoint(_sentence(said, number))]
    return (concluding or bare)[-1:]


CUE_REACH = 40
"""Characters."""
_CUE = regex.compile(
    r"\b(?:correct|actual|final|true)(?:\s+[\w-]+){0,2}?\s*(?:is|was|:|=)|\b(?:total|count|result|sum)\s*(?:is|was|:|=)"
    r"|\bcomes?\s+(?:out\s+)?to\b|\b(?:for|making|giving)\s+a\s+(?:grand\s+)?total\s+of\b|\btotal(?:ing|ling)\b",
    regex.IGNORECASE,
)
AFTER = frozenset(
    "out points point on for in because since as which and so overall of at with is seems to until till through or".split()
)
"""Words behind a number that it does not count."""


def _sentence(said: Said, number: Found) -> Sequence[str]:
    first, end = said.sentence_of(number.word)
    return said.words[first:end]
