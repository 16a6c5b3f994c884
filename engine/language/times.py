"""Moments and stretches of a clip that a text names: "0:05", "5 s", "five seconds", "45 %", "from the start until 0:12"."""

from collections.abc import Sequence
from dataclasses import dataclass

import regex

from engine.language.negation import DENIED, OPEN
from engine.language.numbers import AFTER, NEAR, Found, numbers
from engine.language.relevance import most_relevant
from engine.language.text import Said
from engine.language.vocabulary import FUNCTION_WORDS

_CLOCK = regex.compile(r"(?<![\d:.])(?:(\d{1,2}):)?(\d{1,3}):(\d{2}(?:\.\d+)?)(?!:?\d)")
_UNITS = {
    regex.compile(r"\s*-?\s*(?:milliseconds?|msecs?|ms)\b", regex.IGNORECASE): 0.001,
    regex.compile(r"\s*-?\s*(?:seconds?|secs?|s)\b(?!')", regex.IGNORECASE): 1.0,
    regex.compile(r"\s*-?\s*(?:minutes?|mins?|m)\b(?!')", regex.IGNORECASE): 60.0,
    regex.compile(r"\s*-?\s*(?:hours?|hrs?|h)\b(?!')", regex.IGNORECASE): 3600.0,
}
_GLUED = regex.compile(r"(?<![\p{L}\d])(\d+)\s?m(?:in)?\s?(\d+(?:\.\d+)?)\s?s(?:ec)?\b", regex.IGNORECASE)
_LENGTH_BEFORE = regex.compile(
    r"\b(?:lasts?|lasting|lasted|takes?|taking|took|spans?|for|every|within|duration\s+of|length\s+of|total\s+of|per|first|last|another|next)"
    r"(?:\s+(?:the|about|around|approximately|roughly|only|a|some|is|of|first|last|next))*\s*$",
    regex.IGNORECASE,
)
_LENGTH_AFTER = regex.compile(
    r"\s*-?(?:long\b|later\b|clip\b|video\b|in\s+(?:length|duration)\b|footage\b|apart\b)", regex.IGNORECASE
)
JOINS = regex.compile(
    r"^[\s,]*(?:-|–|—|to|and|until|till|through|up\s+to|→|->|,?\s*(?:and\s+)?(?:it\s+)?(?:end(?:s|ing|ed)?|finish(?:es|ing|ed)?|stop(?:s|ping|ped)?|conclud(?:es|ing|ed)?)"
    r"\s+(?:at|around|by|on|near)?(?:\s+(?:about|around|approximately|roughly|time))?)\s*(?:the\s+|second\s+|time\s+|t\s*=\s*|about\s+|around\s+)?$",
    regex.IGNORECASE,
)
_TO_END = regex.compile(r"\s+(?:before|from|to)\s+the\s+(?:very\s+)?end\b", regex.IGNORECASE)
BEGINNING = regex.compile(
    r"\b(?:(?:very\s+)?(?:beginning|start|outset|onset))\b(?:\s+of\s+the\s+(?:video|clip))?", regex.IGNORECASE
)
ENDING = regex.compile(r"\b(?:the\s+)?(?:very\s+)?end\b(?:\s+of\s+the\s+(?:video|clip))?", regex.IGNORECASE)
_MIDDLE = regex.compile(r"\b(?:halfway|half\s+way|middle|midpoint|mid-point|midway)\b", regex.IGNORECASE)
_SHARES = regex.compile(
    r"\b(?:0(?:\.0)?\s*(?:to|and|-|–)\s*1(?:\.0)?\b|normali[sz]ed|fractions?\b|relative\s+(?:time|position)|proportions?\b|share\s+of\s+the|(?<=\d)\s+of\s+the\s+(?:video|clip))",
    regex.IGNORECASE,
)


_AMOUNT = regex.compile(r"[\d.,]+|[\p{L}-]+(?:\s+and\s+a\s+half)?")
_LEGEND = regex.compile(r"\s*(?:=|is|being|means|:)\s*(?:the\s+)?(?:very\s+)?(?:start|beginning|end)\b", regex.IGNORECASE)


@dataclass(frozen=True)
class Moment:
    """A time that a text names."""

    time_s: float
    start: int
    end: int
    word: int
    bare: bool
    """Without a unit: seconds, unless text or question say that shares of the clip are meant."""


def in_shares(question: str, text: str) -> bool:
    """Whether bare numbers are shares of the clip's duration.

    >>> in_shares("When does he dive? Answer from 0 to 1.", "At 0.4."), in_shares("When does he dive?", "At 0.4.")
    (True, False)
    """
    return bool(_SHARES.search(question) or _SHARES.search(text))


def moments(said: Said, question: str, duration_s: float, lengths: bool = False) -> list[Moment]:
    """Times in the order of the text; how long something takes is not one unless `lengths`.

    >>> [m.time_s for m in moments(Said("At 0:05, at 1m5s, at five seconds, at 50%, after 2 minutes and 3 s"), "", 200.0)]
    [5.0, 65.0, 5.0, 100.0, 123.0]
    """
    text = said.text
    found = [
        Moment(float(m[1] or 0) * 3600 + float(m[2]) * 60 + float(m[3]), m.start(), m.end(), word_at(said, m.start()), False)
        for m in _CLOCK.finditer(text)
    ]
    found += [
        Moment(float(m[1]) * 60 + float(m[2]), m.start(), m.end(), word_at(said, m.start()), False) for m in _GLUED.finditer(text)
    ]
    shares = in_shares(question, text)
    taken = {place for one in found for place in range(one.start, one.end)}
    for number in numbers(said):
        if number.role in ("ordinal", "box") or number.start in taken or _is_legend(text, number):
            continue
        unit, end = _unit(text, number.end)
        if unit is None and number.percent:
            found.append(
                Moment(
                    number.value / 100 * duration_s, number.start, text.find("%", number.end) + 1 or number.end, number.word, False
                )
            )
        elif unit is None and not _counts(number, text):
            scale = duration_s if shares and 0 <= number.value <= 1 else 1.0
            found.append(Moment(number.value * scale, number.start, number.end, number.word, True))
        elif unit is not None and (to_end := _TO_END.match(text, end)):
            found.append(Moment(duration_s - number.value * unit, number.start, to_end.end(), number.word, False))
        elif unit is not None and (lengths or not _is_length(text, number.start, end)):
            found.append(Moment(number.value * unit, number.start, end, number.word, False))
    return _added_up(sorted(found, key=lambda one: one.start), text)


def _is_legend(text: str, number: Found) -> bool:
    """ "0 = start, 1 = end"."""
    return bool(_LEGEND.match(text, number.end))


def _added_up(found: list[Moment], text: str) -> list[Moment]:
    """One minute and five seconds are one moment; "2 to 5 minutes" are both minutes."""
    out: list[Moment] = []
    for one in found:
        last = out[-1] if out else None
        if (
            last
            and not last.bare
            and not one.bare
            and last.time_s % 60 == 0
            and last.time_s >= 60
            and one.time_s < 60
            and ":" not in text[last.start : last.end]
        ):
            between = text[last.end : one.start].strip().casefold()
            if between in ("", "and", ",", "and the"):
                out[-1] = Moment(last.time_s + one.time_s, last.start, one.end, last.word, False)
                continue
        if last and last.bare and not one.bare and ":" not in text[one.start : one.end] and JOINS.match(text[last.end : one.start]):
            unit, _ = _unit(text, _digits_end(text, one.start))
            out[-1] = Moment(last.time_s * (unit or 1.0), last.start, last.end, last.word, False)
        out.append(one)
    return out


def _digits_end(text: str, start: int) -> int:
    match = _AMOUNT.match(text, start)
    return match.end() if match else start


def _unit(text: str, at: int) -> tuple[float | None, int]:
    for pattern, seconds in _UNITS.items():
        if match := pattern.match(text, at):
            return seconds, match.end()
    return None, at


def _counts(number: Found, text: str) -> bool:
    """Whether a bare number counts something: "two people"."""
    if not number.noun.isalpha() or number.noun in AFTER or number.noun in FUNCTION_WORDS:
        return False
    stated = regex.search(
        r"\b(?:at|second|from|to|until|t|timestamp|time|between|and|around|about|is|mark|=|:)[\s=:]*$",
        text[max(0, number.start - NEAR) : number.start],
        regex.IGNORECASE,
    )
    return stated is None


def _is_length(text: str, start: int, end: int) -> bool:
    return bool(_LENGTH_BEFORE.search(text[max(0, start - 40) : start]) or _LENGTH_AFTER.match(text, end))


def word_at(said: Said, place: int) -> int:
    """The word at a place of the text, else the first behind it, else the last."""
    i = said.word_from(place + 1) - 1
    return i if i >= 0 and said.spans[i][1] > place else min(i + 1, len(said.spans) - 1)


def asserted(said: Said, word: int) -> bool:
    """Whether a word is meant, and the one before it in its sentence: "not at [0.1, ...]"."""
    if not said.words:
        return True
    before = max(said.sentence_of(word)[0], word - 1)
    return said.marks[word] not in (DENIED, OPEN) and said.marks[before] not in (DENIED, OPEN)


def edge(said: Said, duration_s: float) -> Sequence[Moment]:
    """The one moment that a text without numbers may name: the beginning, the middle, the end."""
    found = []
    for pattern, time_s in ((BEGINNING, 0.0), (_MIDDLE, duration_s / 2), (ENDING, duration_s)):
        if match := pattern.search(said.text):
            found.append(Moment(time_s, match.start(), match.end(), word_at(said, match.start()), False))
    return found


def about(said: Said, question: str, found: Sequence[Moment]) -> list[Moment]:
    """Those that the text gives as its answer, else those nearest to what is asked for."""
    if said.answer and (inside := [one for one in found if said.answer[0] <= one.word < said.answer[1]]):
        return inside[:1]
    return [found[at] for at in most_relevant(said, question, [one.word for one in found])]
