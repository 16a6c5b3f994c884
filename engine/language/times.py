"""Moments of a clip that a text states: "0:05", "5 s", "five seconds", "45 %", "at the end"."""

from collections.abc import Sequence
from dataclasses import dataclass

import regex

from engine.language.answer import Answer
from engine.language.numbers import NEAR, NOT_COUNTED, StatedNumber, numbers
from engine.language.relevance import most_relevant
from engine.language.scope import DENIED, OPEN
from engine.language.vocabulary import FUNCTION_WORDS, PEOPLE

_CLOCK = regex.compile(r"(?<![\d:.])(?:(\d{1,2}):)?(\d{1,3}):(\d{2}(?:\.\d+)?)(?!:?\d)")
_PRIMES = regex.compile(r"(?<!\d)(\d{1,2})\s?['’′]\s?(\d{1,2})\s?(?:''|\"|”|″)")
_UNITS = {
    regex.compile(r"\s*-?\s*(?:milliseconds?|msecs?|ms)\b", regex.IGNORECASE): 0.001,
    regex.compile(
        r"\s*-?\s*(?:(?:seconds?|secs?|s|sekunden?|sek|secondes?|segundos?|secondi|secondo|seconden|секунд\p{L}*|ثوان|ثانية)\b(?!')"
        r"|秒|초)",
        regex.IGNORECASE,
    ): 1.0,
    regex.compile(r"\s*-?\s*(?:(?:minut(?:es?|en?|os?|i)|mins?|m|минут\p{L}*)\b(?!')|分钟|分鐘|分|분)", regex.IGNORECASE): 60.0,
    regex.compile(r"\s*-?\s*(?:hours?|hrs?|h)\b(?!')", regex.IGNORECASE): 3600.0,
}
_GLUED = regex.compile(r"(?<![\p{L}\d])(\d+)\s?m(?:in)?\s?(\d+(?:\.\d+)?)\s?s(?:ec)?\b", regex.IGNORECASE)
_LENGTH_BEFORE = regex.compile(
    r"\b(?:lasts?|lasting|lasted|takes?|taking|took|needs?|needed|requires?|required|spends?|spent|spans?|for|every|within|duration\s+of"
    r"|length\s+of|total\s+of|per|first|last|another|next)"
    rf"(?:\s+(?:him|her|them|me|you|us|the\s+(?:{'|'.join(sorted(PEOPLE))})))?"
    r"(?:\s+(?:the|about|around|approximately|roughly|only|just|a|some|is|of|first|last|next))*\s*$",
    regex.IGNORECASE,
)
_LENGTH_AFTER = regex.compile(
    r"\s*-?(?:long\b|later\b|clip\b|video\b|in\s+(?:length|duration)\b|footage\b|apart\b"
    r"|(?:after|before)\s+(?!the\s+(?:video|clip|recording)\b)(?:he|she|it|they|that|this|the\s+\p{L}+\s+\p{L}+(?:s|ed)\b)\b)",
    regex.IGNORECASE,
)
HOW_OFTEN = frozenset("once twice thrice".split())
JOINS = regex.compile(
    r"^[\s,]*(?:-|–|—|~|\||到|至|から|에서|bis|et|a|e|y|hasta|jusqu['’]à|до|to|and|until|till|through|up\s+to|→|-+>|,?\s*(?:and\s+)?(?:it\s+)?(?:end(?:s|ing|ed)?|finish(?:es|ing|ed)?|stop(?:s|ping|ped)?|conclud(?:es|ing|ed)?)"
    r"\s+(?:at|around|by|on|near)?(?:\s+(?:about|around|approximately|roughly|time))?)\s*(?:the\s+|second\s+|time\s+|t\s*=\s*|about\s+|around\s+)?$",
    regex.IGNORECASE,
)
"""Text between the two ends of a range."""
_TO_END = regex.compile(
    r"\s+(?:(?:before|from|to)\s+the\s+(?:very\s+)?end\b|before\s+the\s+(?:video|clip|recording)\s+(?:ends|stops|is\s+over)\b)",
    regex.IGNORECASE,
)
_FROM = regex.compile(r"\b(?:from|since)\s+(?:about\s+|around\s+)?$", regex.IGNORECASE)
BEGINNING = regex.compile(
    r"\b(?:(?:very\s+)?(?:beginning|start|outset|onset))\b(?:\s+of\s+the\s+(?:video|clip))?", regex.IGNORECASE
)
ENDING = regex.compile(r"\b(?:the\s+)?(?:very\s+)?end\b(?:\s+of\s+the\s+(?:video|clip))?", regex.IGNORECASE)
_MIDDLE = regex.compile(r"\b(?:halfway|half\s+way|middle|midpoint|mid-point|midway)\b", regex.IGNORECASE)
_SHARES = regex.compile(
    r"\b(?:0(?:\.0)?\s*(?:to|and|-|–)\s*1(?:\.0)?\b|normali[sz]ed|fractions?\b|relative\s+(?:time|position)|proportions?\b|share\s+of\s+the|(?<=\d)\s+of\s+the\s+(?:video|clip))",
    regex.IGNORECASE,
)
_WORDED = regex.compile(r"\b(?:(half\s+an?)|an?)\s+(minute|hour)\b(\s+and\s+a\s+half\b)?", regex.IGNORECASE)
"""Amounts without a numeral: "a minute", "half an hour"."""
_NTH = regex.compile(r"(?:st|nd|rd|th)\s+(?:(seconds?)|(minutes?))\b", regex.IGNORECASE)
_NTH_AND_NTH = regex.compile(
    r"(?:st|nd|rd|th)\s+(?:and|to)\s+(?:the\s+)?\d+(?:st|nd|rd|th)\s+(?:(seconds?)|(minutes?))\b", regex.IGNORECASE
)
_OF_CLIP = regex.compile(
    r"\s+(?:of|through|into)\s+(?:the\s+)?(?:entire\s+|whole\s+)?(?:video|clip|footage|way)\b", regex.IGNORECASE
)
_RESTATED = regex.compile(
    r"(?:\bi\.\s?e\.|\b(?:that|which)\s+is|\bmeaning|\b(?:so|thus|hence|therefore))[\s,]*(?:at\s+)?(?:about\s+|around\s+)?$",
    regex.IGNORECASE,
)
_AMOUNT = regex.compile(r"[\d.,]+|[\p{L}-]+(?:\s+and\s+a\s+half)?")
_LEGEND = regex.compile(r"\s*(?:=|is|being|means|:)\s*(?:the\s+)?(?:very\s+)?(?:start|beginning|end)\b", regex.IGNORECASE)
_STATED_BEFORE = regex.compile(
    r"\b(?:at|second|from|to|until|t|timestamp|time|between|and|around|about|is|mark|=|:)[\s=:]*$", regex.IGNORECASE
)


SUBORDINATORS = frozenset("after before when while once until since as".split())
SUBORDINATE_WORDS, MIN_CLAUSE_WORDS = 8, 3
"""Maximum words from such a word to a moment in its clause, and minimum words between them: "after the dog barks at 6 s"."""


@dataclass(frozen=True)
class Moment:
    """A moment that the text states: Moment(time_s=5.0, start=3, end=7, position=1, bare=False)."""

    time_s: float
    """From the clip's start."""
    start: int
    end: int
    """`start` and `end` are its span in the text."""
    position: int
    """Of the word with which it begins."""
    bare: bool
    """Without a unit: seconds, unless text or question say that shares of the clip are meant."""


def uses_shares(question: str, text: str) -> bool:
    """Whether bare numbers are shares of the clip's duration.

    >>> uses_shares("When does he dive? Answer from 0 to 1.", "At 0.4."), uses_shares("When does he dive?", "At 0.4.")
    (True, False)
    """
    return bool(_SHARES.search(question) or _SHARES.search(text))


def moments(answer: Answer, question: str, duration_s: float, lengths: bool = False) -> list[Moment]:
    """All moments in the order of the text. Lengths ("for 3 seconds") count as moments only if `lengths`.

    >>> [m.time_s for m in moments(Answer("At 0:05, at 1m5s, at five seconds, at 50%, after 2 minutes and 3 s"), "", 200.0)]
    [5.0, 65.0, 5.0, 100.0, 123.0]
    """
    text = answer.text
    stated = _clock_times(answer)
    shares = uses_shares(question, text)
    clock_offsets = {offset for moment in stated for offset in range(moment.start, moment.end)}
    stated += _worded_times(answer, lengths)
    for number in numbers(answer):
        if number.role == "ordinal" and (nth := _NTH.match(text, number.end) or _NTH_AND_NTH.match(text, number.end)):
            time_s = number.value * (60 if nth[2] else 1)
            stated.append(Moment(time_s, number.start, nth.end() if nth.re is _NTH else number.end + 2, number.position, False))
        if number.role in ("ordinal", "box") or number.start in clock_offsets or _LEGEND.match(text, number.end):
            continue
        if moment := _moment_of(number, text, duration_s, shares, lengths):
            stated.append(moment)
    return _combined(sorted(stated, key=lambda moment: moment.start), text)


def _clock_times(answer: Answer) -> list[Moment]:
    """Moments written as 0:05, 1:02:03 or 1m5s."""
    clocks = [(float(m[1] or 0) * 3600 + float(m[2]) * 60 + float(m[3]), m.start(), m.end()) for m in _CLOCK.finditer(answer.text)]
    glued = [(float(m[1]) * 60 + float(m[2]), m.start(), m.end()) for m in _GLUED.finditer(answer.text)]
    primes = [(float(m[1]) * 60 + float(m[2]), m.start(), m.end()) for m in _PRIMES.finditer(answer.text)]
    return [Moment(time_s, start, end, word_at(answer, start), False) for time_s, start, end in [*clocks, *glued, *primes]]


def _worded_times(answer: Answer, lengths: bool) -> list[Moment]:
    """Moments like "a minute and five seconds" and "half a minute into it"."""
    worded = []
    for match in _WORDED.finditer(answer.text):
        if lengths or not _is_length(answer.text, *match.span()):
            unit_s = 60.0 if match[2].casefold() == "minute" else 3600.0
            time_s = unit_s / 2 if match[1] else unit_s * 1.5 if match[3] else unit_s
            worded.append(Moment(time_s, match.start(), match.end(), word_at(answer, match.start()), False))
    return worded


def _moment_of(number: StatedNumber, text: str, duration_s: float, shares: bool, lengths: bool) -> Moment | None:
    """The moment that a number states, or None if it counts something or, unless `lengths`, is a length."""
    unit_s, end = _unit(text, number.end)
    if number.role == "part" and unit_s is None:
        of_clip = _OF_CLIP.match(text, number.end)
        return Moment(number.value * duration_s, number.start, of_clip.end(), number.position, False) if of_clip else None
    if unit_s is None:
        if number.percent:
            percent_end = text.find("%", number.end) + 1 or number.end
            return Moment(number.value / 100 * duration_s, number.start, percent_end, number.position, False)
        if _counts(number, text):
            return None
        scale_s = duration_s if shares and 0 <= number.value <= 1 else 1.0
        return Moment(number.value * scale_s, number.start, number.end, number.position, True)
    starts_range = _FROM.search(text[max(0, number.start - NEAR) : number.start])
    if (to_end := _TO_END.match(text, end)) and not starts_range:  # "6 s to the end", not "from 6 s to the end"
        return Moment(duration_s - number.value * unit_s, number.start, to_end.end(), number.position, False)
    if lengths or not _is_length(text, number.start, end):
        return Moment(number.value * unit_s, number.start, end, number.position, False)
    return None


def _combined(stated: list[Moment], text: str) -> list[Moment]:
    """ "One minute and five seconds" as one moment; "2 to 5 minutes" with the unit for both."""
    combined: list[Moment] = []
    for moment in stated:
        last = combined[-1] if combined else None
        if last and _adds_seconds(last, moment, text):
            combined[-1] = Moment(last.time_s + moment.time_s, last.start, moment.end, last.position, False)
            continue
        has_unit = not moment.bare and ":" not in text[moment.start : moment.end]
        if last and last.bare and has_unit and JOINS.match(text[last.end : moment.start]):
            unit_s, _ = _unit(text, _amount_end(text, moment.start))
            combined[-1] = Moment(last.time_s * (unit_s or 1.0), last.start, last.end, last.position, False)
        combined.append(moment)
    return combined


def _adds_seconds(minutes: Moment, seconds: Moment, text: str) -> bool:
    """Whether the two moments are one: whole minutes, and seconds right behind them."""
    is_glued = seconds.bare and not text[minutes.end : seconds.start].strip()  # "one minute twenty"
    return (
        not minutes.bare
        and (is_glued or not seconds.bare)
        and minutes.time_s % 60 == 0
        and minutes.time_s >= 60
        and seconds.time_s < 60
        and ":" not in text[minutes.start : minutes.end]
        and text[minutes.end : seconds.start].strip().casefold() in ("", "and", ",", "and the")
    )


def _amount_end(text: str, start: int) -> int:
    match = _AMOUNT.match(text, start)
    return match.end() if match else start


def _unit(text: str, offset: int) -> tuple[float | None, int]:
    """Seconds of the unit at the offset, and the unit's end; (None, offset) without one."""
    for pattern, unit_s in _UNITS.items():
        if match := pattern.match(text, offset):
            return unit_s, match.end()
    return None, offset


def _counts(number: StatedNumber, text: str) -> bool:
    """Whether a number without a unit counts something, as in "two people" or "barks twice"."""
    if text[number.start : number.end].casefold() in HOW_OFTEN:
        return True
    if not number.noun.isalpha() or number.noun in NOT_COUNTED or number.noun in FUNCTION_WORDS:
        return False
    return _STATED_BEFORE.search(text[max(0, number.start - NEAR) : number.start]) is None


def _is_length(text: str, start: int, end: int) -> bool:
    return bool(_LENGTH_BEFORE.search(text[max(0, start - NEAR) : start]) or _LENGTH_AFTER.match(text, end))


def word_at(answer: Answer, offset: int) -> int:
    """The position of the word at the offset, else of the first word behind it, else of the last word."""
    i = answer.next_word(offset + 1) - 1
    return i if i >= 0 and answer.word_spans[i][1] > offset else min(i + 1, len(answer.word_spans) - 1)


def is_asserted(answer: Answer, position: int) -> bool:
    """Whether the word is asserted, and the word before it in its sentence not denied ("not at [0.1, ...]")."""
    if not answer.words:
        return True
    before = max(answer.sentence_of(position)[0], position - 1)
    return answer.stances[position] not in (DENIED, OPEN) and answer.stances[before] != DENIED


def named_moments(answer: Answer, duration_s: float) -> list[Moment]:
    """The beginning, the middle and the end of the clip, if the text names them."""
    named = []
    for pattern, time_s in ((BEGINNING, 0.0), (_MIDDLE, duration_s / 2), (ENDING, duration_s)):
        if match := pattern.search(answer.text):
            named.append(Moment(time_s, match.start(), match.end(), word_at(answer, match.start()), False))
    return named


def answered_moments(answer: Answer, question: str, stated: Sequence[Moment]) -> list[Moment]:
    """The first moment in the text's conclusion, else one that restates others, else those nearest to the question's words."""
    if answer.conclusion:
        first, end = answer.conclusion
        if concluded := [moment for moment in stated if first <= moment.position < end]:
            return concluded[:1]
    if restated := [moment for moment in stated if _RESTATED.search(answer.text[max(0, moment.start - NEAR) : moment.start])]:
        return restated[-1:]
    relevant = [stated[i] for i in most_relevant(answer, question, [moment.position for moment in stated])]
    return [moment for moment in relevant if not _is_subordinate(answer, moment.position)] or relevant


def _is_subordinate(answer: Answer, position: int) -> bool:
    """Whether the moment is that of another event, to which the text relates its own: "at 8 s, just after the dog barks at 6 s"."""
    first, _ = answer.sentence_of(position)
    start = max(first + 1, position - SUBORDINATE_WORDS)
    return any(answer.words[i] in SUBORDINATORS for i in range(start, position - MIN_CLAUSE_WORDS))
