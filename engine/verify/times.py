"""Moments and stretches of a clip that a text names: "0:05", "5 s", "five seconds", "45 %", "from the start until 0:12"."""

from collections.abc import Sequence
from dataclasses import dataclass

import regex

from engine.verify.numbers import AFTER, Found, numbers
from engine.verify.relevance import most_relevant
from engine.verify.stance import DENIED, OPEN, stances
from engine.verify.text import Said
from engine.verify.vocabulary import FUNCTION_WORDS

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
_JOINS = regex.compile(
    r"^[\s,]*(?:-|–|—|to|and|until|till|through|up\s+to|→|->|,?\s*(?:and\s+)?(?:it\s+)?(?:end(?:s|ing|ed)?|finish(?:es|ing|ed)?|stop(?:s|ping|ped)?|conclud(?:es|ing|ed)?)"
    r"\s+(?:at|around|by|on|near)?(?:\s+(?:about|around|approximately|roughly|time))?)\s*(?:the\s+|second\s+|time\s+|t\s*=\s*|about\s+|around\s+)?$",
    regex.IGNORECASE,
)
_TO_END = regex.compile(r"\s+(?:before|from|to)\s+the\s+(?:very\s+)?end\b", regex.IGNORECASE)
_PART = regex.compile(
    r"\b(?:the\s+)?(?P<which>first|opening|initial|last|final|closing|second|middle)\s+(?:(?P<share>half|third|quarter)\b|(?=[\d\p{L}]))",
    regex.IGNORECASE,
)
_SHARE = {"half": 2, "third": 3, "quarter": 4}
_LASTS = regex.compile(
    r"^[\s,]*(?:and\s+)?(?:it\s+)?(?:lasts?|lasting|continues|continuing|goes\s+on|runs)?\s*(?:for\s+)?(?:about\s+|around\s+|another\s+)?$",
    regex.IGNORECASE,
)
_START_WORD = regex.compile(r"\b(?:start|starts|starting|started|begins?|beginning|began|onset|from)\b", regex.IGNORECASE)
_END_WORD = regex.compile(
    r"\b(?:ends?|ending|ended|stops?|stopping|finish(?:es)?|finishing|until|till|concludes?|concluding|to)\b", regex.IGNORECASE
)
_BEGINNING = regex.compile(
    r"\b(?:(?:very\s+)?(?:beginning|start|outset|onset))\b(?:\s+of\s+the\s+(?:video|clip))?", regex.IGNORECASE
)
_ENDING = regex.compile(r"\b(?:the\s+)?(?:very\s+)?end\b(?:\s+of\s+the\s+(?:video|clip))?", regex.IGNORECASE)
_MIDDLE = regex.compile(r"\b(?:halfway|half\s+way|middle|midpoint|mid-point|midway)\b", regex.IGNORECASE)
_WHOLE = regex.compile(
    r"\b(?:(?:throughout|entire|whole|full)\s+(?:the\s+)?(?:entire\s+|whole\s+)?(?:video|clip|duration|length|time)|from\s+(?:the\s+)?(?:start|beginning)\s+to\s+(?:the\s+)?(?:end|finish)"
    r"|all\s+the\s+(?:time|way\s+through))\b",
    regex.IGNORECASE,
)
_SHARES = regex.compile(
    r"\b(?:0(?:\.0)?\s*(?:to|and|-|–)\s*1(?:\.0)?\b|normali[sz]ed|fractions?\b|relative\s+(?:time|position)|proportions?\b|share\s+of\s+the)",
    regex.IGNORECASE,
)


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
        Moment(float(m[1] or 0) * 3600 + float(m[2]) * 60 + float(m[3]), m.start(), m.end(), _word(said, m.start()), False)
        for m in _CLOCK.finditer(text)
    ]
    found += [
        Moment(float(m[1]) * 60 + float(m[2]), m.start(), m.end(), _word(said, m.start()), False) for m in _GLUED.finditer(text)
    ]
    shares = in_shares(question, text)
    taken = [(one.start, one.end) for one in found]
    for number in numbers(said):
        if number.role in ("ordinal", "box") or any(a <= number.start < b for a, b in taken) or _is_legend(text, number):
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
    """ "0 = start, 1 = end", and the number of a frame."""
    legend = regex.match(
        r"\s*(?:=|is|being|means|:)\s*(?:the\s+)?(?:very\s+)?(?:start|beginning|end)\b", text[number.end :], regex.IGNORECASE
    )
    return bool(legend or regex.search(r"\bframes?\s*(?:number|no\.?|#|index)?\s*$", text[: number.start], regex.IGNORECASE))


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
        if (
            last
            and last.bare
            and not one.bare
            and ":" not in text[one.start : one.end]
            and _JOINS.match(text[last.end : one.start])
        ):
            unit, _ = _unit(text, _digits_end(text, one.start))
            out[-1] = Moment(last.time_s * (unit or 1.0), last.start, last.end, last.word, False)
        out.append(one)
    return out


def _digits_end(text: str, start: int) -> int:
    match = regex.compile(r"[\d.,]+|[\p{L}-]+(?:\s+and\s+a\s+half)?").match(text, start)
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
        text[: number.start],
        regex.IGNORECASE,
    )
    return stated is None


def _is_length(text: str, start: int, end: int) -> bool:
    return bool(_LENGTH_BEFORE.search(text[max(0, start - 40) : start]) or _LENGTH_AFTER.match(text, end))


def _word(said: Said, place: int) -> int:
    return next((i for i, (_, end) in enumerate(said.spans) if end > place), len(said.spans) - 1)


def asserted(said: Said, word: int) -> bool:
    first, end = next(((a, b) for a, b in said.sentences if a <= word < b), (0, len(said.words)))
    if not said.words:
        return True
    flags = stances(said.words[first:end], said.breaks(first, end))
    return flags[word - first] not in (DENIED, OPEN) and flags[max(0, word - 1 - first)] not in (DENIED, OPEN)


def ranges(said: Said, question: str, duration_s: float) -> list[tuple[Moment, Moment]]:
    """Stretches in the order of the text, as their two ends.

    >>> said = Said("From 0:02 to 0:05; it starts at 2 s and ends at 6 s; between 10 and 20 seconds")
    >>> [(a.time_s, b.time_s) for a, b in ranges(said, "", 30.0)]
    [(2.0, 5.0), (2.0, 6.0), (10.0, 20.0)]
    """
    text = said.text
    named = _with_edges(said, moments(said, question, duration_s, lengths=True), duration_s)
    found: list[tuple[Moment, Moment]] = []
    at = 0
    while at + 1 < len(named):
        one, other = named[at], named[at + 1]
        between = text[one.end : other.start]
        if _JOINS.match(between) or _apart(text, one, other) or _bracketed(text, one, other):
            found.append((one, other))
            at += 2
        elif _LASTS.match(between):
            found.append((one, Moment(one.time_s + other.time_s, other.start, other.end, other.word, other.bare)))
            at += 2
        elif _told_back(text, one, other):
            found.append((other, one))
            at += 2
        else:
            at += 1
    found = found or _parts(said, named, duration_s)
    if not found and (whole := _WHOLE.search(text)):
        word = _word(said, whole.start())
        return [(Moment(0.0, whole.start(), whole.end(), word, False), Moment(duration_s, whole.start(), whole.end(), word, False))]
    return found


def _apart(text: str, one: Moment, other: Moment) -> bool:
    """ "starts at 2 s ... ends at 6 s", with more words between."""
    before, between = text[max(0, one.start - 30) : one.start], text[one.end : other.start]
    return len(between) < 60 and "\n\n" not in between and bool(_START_WORD.search(before) and _END_WORD.search(between))


def _bracketed(text: str, one: Moment, other: Moment) -> bool:
    """ "[2.0, 5.0]"."""
    return text[one.end : other.start].strip() in (",", ";") and bool(
        regex.search(r"[\[(]\s*$", text[: one.start]) and regex.match(r"\s*[\])]", text[other.end :])
    )


def _told_back(text: str, one: Moment, other: Moment) -> bool:
    """ "ends at 5 s and starts at 2 s"."""
    before, between = text[max(0, one.start - 30) : one.start], text[one.end : other.start]
    return len(between) < 60 and bool(_END_WORD.search(before) and not _START_WORD.search(before) and _START_WORD.search(between))


def _parts(said: Said, named: Sequence[Moment], duration_s: float) -> list[tuple[Moment, Moment]]:
    """ "the first 5 seconds", "the second half"."""
    found = []
    for match in _PART.finditer(said.text):
        which, share = match["which"].casefold(), (match["share"] or "").casefold()
        length = next((one for one in named if one.start == match.end() and not one.bare), None)
        if not share and not length:
            continue
        long_s = duration_s / _SHARE[share] if share else length.time_s if length else 0.0
        at_end = which in ("last", "final", "closing") or (which == "second" and share == "half")
        if which in ("second", "middle") and not at_end:
            start_s = (duration_s - long_s) / 2 if which == "middle" or share == "third" else long_s
        else:
            start_s = duration_s - long_s if at_end else 0.0
        end, word = (length.end if length else match.end()), _word(said, match.start())
        found.append((Moment(start_s, match.start(), end, word, False), Moment(start_s + long_s, match.start(), end, word, False)))
    return found


def _with_edges(said: Said, found: list[Moment], duration_s: float) -> list[Moment]:
    """With "the beginning" and "the end" as the moments that they are, where they stand for one."""
    text = said.text
    edges = []
    for pattern, time_s in ((_BEGINNING, 0.0), (_ENDING, duration_s)):
        for match in pattern.finditer(text):
            before, after = text[max(0, match.start() - 25) : match.start()], text[match.end() : match.end() + 25]
            opens = regex.search(r"\b(?:from|at|since)\s+(?:the\s+)?(?:very\s+)?$", before, regex.IGNORECASE)
            closes = regex.search(r"\b(?:until|till|to|through|–|-)\s+(?:the\s+)?(?:very\s+)?$", before, regex.IGNORECASE)
            names = not regex.match(r"\s*(?:time\b|at\b|of\s+the\s+(?!video|clip))", after, regex.IGNORECASE)
            if names and (opens or closes):
                edges.append(Moment(time_s, match.start(), match.end(), _word(said, match.start()), False))
    return sorted([*found, *edges], key=lambda one: one.start)


def edge(said: Said, duration_s: float) -> Sequence[Moment]:
    """The one moment that a text without numbers may name: the beginning, the middle, the end."""
    found = []
    for pattern, time_s in ((_BEGINNING, 0.0), (_MIDDLE, duration_s / 2), (_ENDING, duration_s)):
        if match := pattern.search(said.text):
            found.append(Moment(time_s, match.start(), match.end(), _word(said, match.start()), False))
    return found


def about(said: Said, question: str, found: Sequence[Moment]) -> list[Moment]:
    """Those that the text gives as its answer, else those nearest to what is asked for."""
    if said.answer and (inside := [one for one in found if said.answer[0] <= one.word < said.answer[1]]):
        return inside[:1]
    return [found[at] for at in most_relevant(said, question, [one.word for one in found])]
