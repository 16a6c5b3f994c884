"""The numbers in a text, each with its role: a value, or a scale, a bound, an end of a range, a rank, a part of a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import regex

from engine.language.answer import Answer
from engine.language.numerals import Numeral, numerals

_ORDINAL = regex.compile(r"(?:st|nd|rd|th)\b", regex.IGNORECASE)
_SCALE = regex.compile(
    r"(?:scale|range|ranges|ranging|rated|score[sd]?)\s+(?:of|from|between|is)?\s*$|(?:out\s+of|/)\s*(?:a\s+(?:possible|maximum)\s+)?$"
    r"|(?:maximum|max|minimum|min|possible|full|perfect)\s+(?:score\s+)?(?:of|is|:)?\s*$",
    regex.IGNORECASE,
)
_GROUP = regex.compile(r"[\[(](?:\s*[-+]?[\d.]+\s*%?\s*[,;]){2,}\s*[-+]?[\d.]+\s*%?\s*[\])]")
_TOTAL = regex.compile(r"\s+of\s+(?:the\s+|these\s+|those\s+|all\s+)?$", regex.IGNORECASE)
_BETWEEN = regex.compile(
    r"^[\s,(]*(?:-|–|—|to|and|(?:or\s+)?(?:maybe|perhaps|possibly|even)|or|through|until|至|到)\s*$", regex.IGNORECASE
)
_TOTAL_BEFORE = regex.compile(r"\bof\s+(?:the|these|those|all)\s+(?:[\p{L}-]+\s+)?$", regex.IGNORECASE)
_PART_OF_THEM = regex.compile(r"\s+of\s+(?:whom|which)\b", regex.IGNORECASE)
_BOUND = regex.compile(
    r"\b(?:more|less|fewer|greater|higher|lower|over|under|above|below|at\s+least|at\s+most|up\s+to)\s+(?:than\s+)?$",
    regex.IGNORECASE,
)
MOST = 64
"""Numbers at the end that are read: a text with more of them gives no number as its answer further ahead."""
NEAR = 40
"""How many characters before a number decide its role."""
_FRAME = regex.compile(r"\bframes?\s*(?:number|no\.?|#|index)?\s*$", regex.IGNORECASE)
_PERCENT = regex.compile(r"\s*(?:%|percent\b|per\s+cent\b)", regex.IGNORECASE)
_LIMIT = regex.compile(r"(?:out\s+of|/|maximum|max|minimum|min|possible|full|perfect)[^.,;\d]*$", regex.IGNORECASE)
"""Text before a number that is a limit of the scale and not the value."""
_OPENS = regex.compile(r"\b(?:from|between)\s+$", regex.IGNORECASE)
_ONCE_ONLY = regex.compile(r"\s*(?:[.,;!?]|$|in\b|during\b|only\b)", regex.IGNORECASE)
_NO_ONE = regex.compile(r"\b(?:no|any|some|every|which|this|that|the)[\s-]$", regex.IGNORECASE)
_ONE_OF = regex.compile(r"\s+(?:of|can|could|would|might|by|after)\b", regex.IGNORECASE)
NOT_COUNTED = frozenset(
    "out points point on for in because since as which and so overall altogether together total of at with is seems to until till "
    "through or et bis hasta до и y e".split()
)
"""Words behind a number that are not what it counts."""


Role = Literal["value", "scale", "bound", "range", "ordinal", "box", "part"]
"""scale and bound limit what a value may be; range: one end of a range; ordinal: a rank; box: one of several in
brackets; part: a part of one thing ("half of it"), or of what is counted before it ("three of whom")."""


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


@lru_cache(maxsize=2)
def numbers(answer: Answer) -> tuple[StatedNumber, ...]:
    """The numbers in the order of the text, the last MOST of them. Times, ranges and counts of one answer ask for them in turn.

    >>> answer = Answer("On a scale of 1 to 100, two dives score eighty-five point three, -2 and 1,000")
    >>> [(number.value, number.role) for number in numbers(answer)]
    [(1.0, 'scale'), (100.0, 'scale'), (2.0, 'value'), (85.3, 'value'), (-2.0, 'value'), (1000.0, 'value')]
    """
    text = answer.text
    matches = [numeral for numeral in numerals(text) if not _is_no_number(numeral, text)][-MOST:]
    boxed_offsets = {offset for group in _GROUP.finditer(text) for offset in range(*group.span())}
    stated: list[StatedNumber] = []
    for i, match in enumerate(matches):
        behind = answer.next_word(match.end)
        noun = answer.words[behind] if behind < len(answer.words) and not answer.gap_before(behind).strip(" -") else ""
        role = "box" if match.start in boxed_offsets else _role(matches, i, text, stated[-1].role if stated else None)
        position = min(answer.next_word(match.start), len(answer.words) - 1)
        percent = bool(_PERCENT.match(text, match.end))
        stated.append(StatedNumber(match.value, match.start, match.end, position, noun, percent, role))
    return tuple(stated)


def _role(matches: Sequence[Numeral], i: int, text: str, previous_role: Role | None) -> Role:
    """The role of number i, from the text around it."""
    match = matches[i]
    between = text[matches[i - 1].end if i else 0 : match.start]
    before = text[max(0, match.start - NEAR) : match.start]
    starts_range = _starts_range(matches, i, text)
    if _ORDINAL.match(text, match.end) or _FRAME.search(before):
        return "ordinal"
    if match.is_part or _PART_OF_THEM.match(text, match.end):
        return "part"
    if _SCALE.search(before) and (starts_range or _LIMIT.search(before)):
        return "scale"
    if i and previous_role in ("scale", "range") and _BETWEEN.match(between):
        return previous_role
    if starts_range:
        return "range"
    if (i and previous_role == "value" and _TOTAL.match(between)) or (len(matches) > 1 and _TOTAL_BEFORE.search(before)):
        return "scale"
    return "bound" if _BOUND.search(before) or text[match.end : match.end + 1] == "+" else "value"


def _is_no_number(match: Numeral, text: str) -> bool:
    """Whether "one" is a pronoun ("no one", "one of them"), or "once" means "at some time"."""
    if match.word == "once":
        return not _ONCE_ONLY.match(text, match.end)
    before = text[max(0, match.start - NEAR) : match.start]
    return text[match.start : match.end].casefold() == "one" and bool(_NO_ONE.search(before) or _ONE_OF.match(text, match.end))


def _starts_range(matches: Sequence[Numeral], i: int, text: str) -> bool:
    """Whether number i and the next one are the two ends of a range."""
    if i + 1 == len(matches):
        return False
    between = text[matches[i].end : matches[i + 1].start]
    has_from = _OPENS.search(text[max(0, matches[i].start - NEAR) : matches[i].start]) is not None
    return bool(_BETWEEN.match(between)) and (has_from or between.strip().casefold() != "and")
