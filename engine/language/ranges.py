"""Time ranges of a clip that a text states: "from 2 s to 5 s", "starts at 0:02 and lasts 3 s", "the second half"."""

from collections.abc import Sequence
from dataclasses import replace

import regex

from engine.language.answer import Answer
from engine.language.times import BEGINNING, ENDING, JOINS, Moment, moments, word_at

_START_WORD = regex.compile(
    r"(?<!\p{L})(?:start|starts|starting|started|begins?|beginning|began|onset|from)(?!\p{L})", regex.IGNORECASE
)
_END_WORD = regex.compile(
    r"(?<!\p{L})(?:ends?|ending|ended|stops?|stopping|finish(?:es)?|finishing|until|till|concludes?|concluding|to)(?!\p{L})",
    regex.IGNORECASE,
)
_WHOLE = regex.compile(
    r"\b(?:(?:throughout|entire|whole|full)\s+(?:the\s+)?(?:entire\s+|whole\s+)?(?:video|clip|duration|length|time)|from\s+(?:the\s+)?(?:start|beginning)\s+to\s+(?:the\s+)?(?:end|finish)"
    r"|all\s+the\s+(?:time|way\s+through))\b",
    regex.IGNORECASE,
)
_LASTS = regex.compile(
    r"^[\s,]*(?:and\s+)?(?:it\s+)?(?:lasts?|lasting|continues|continuing|goes\s+on|runs)?\s*(?:for\s+)?(?:about\s+|around\s+|another\s+)?$",
    regex.IGNORECASE,
)
_PART = regex.compile(
    r"\b(?:the\s+)?(?P<which>first|opening|initial|last|final|closing|second|middle)\s+(?:(?P<share>half|third|quarter)\b|(?=[\d\p{L}]))",
    regex.IGNORECASE,
)
_PARTS_PER_CLIP = {"half": 2, "third": 3, "quarter": 4}
_FROM_BEFORE = regex.compile(r"\b(?:from|at|since)\s+(?:the\s+)?(?:very\s+)?$", regex.IGNORECASE)
_UNTIL_BEFORE = regex.compile(r"\b(?:until|till|to|through|–|-)\s+(?:the\s+)?(?:very\s+)?$", regex.IGNORECASE)
_NO_EDGE_AFTER = regex.compile(r"\s*(?:time\b|at\b|of\s+the\s+(?!video|clip))", regex.IGNORECASE)
"""Text behind "start" or "end" that makes it another thing's: "the end of the table"."""
_STARTS_FOR = regex.compile(r"^(?:\s+[\p{L}']+){1,6}\s+for\s+(?:about\s+|around\s+|another\s+)?$", regex.IGNORECASE)
"""Text between a start and a length: "starts at 0:05 and stirs for 7 s"."""
_LENGTH_BEFORE = regex.compile(r"\b(?:for|lasts?|lasting)\s+(?:for\s+)?(?:about\s+|around\s+)?$", regex.IGNORECASE)
_STARTS_BEHIND = regex.compile(
    r"^[\s,]*(?:and\s+)?(?:it\s+)?(?:start|begin)\p{L}*\s+(?:at|from|with|on)\s+[^.;\d]{0,12}$", regex.IGNORECASE
)
"""Text between a length and a start: "for 7 s, starting at 0:08"."""
_FROM_ALONE = regex.compile(r"\b(?:from|since)\s+(?:about\s+|around\s+)?$", regex.IGNORECASE)
_ONWARDS = regex.compile(r"\s+(?:on(?:wards?)?\b|forward\b)", regex.IGNORECASE)
_UNTIL_ALONE = regex.compile(r"\b(?:until|till|up\s+to)\s+(?:about\s+|around\s+|second\s+)?$", regex.IGNORECASE)
CUE_CHARS = 30
"""How many characters before a range say which of its ends comes first."""
MAX_APART_CHARS = 60
"""Between the two ends of a range that other words separate."""
EDGE_CHARS = 25
"""How many characters around "start" and "end" say whether they are moments of the clip."""

Range = tuple[Moment, Moment]
"""Start and end, as the text names them: the end may be before the start."""


def ranges(answer: Answer, question: str, duration_s: float) -> list[Range]:
    """All time ranges in the order of the text.

    >>> answer = Answer("From 0:02 to 0:05; it starts at 2 s and ends at 6 s; between 10 and 20 seconds")
    >>> [(start.time_s, end.time_s) for start, end in ranges(answer, "", 30.0)]
    [(2.0, 5.0), (2.0, 6.0), (10.0, 20.0)]
    """
    text = answer.text
    stated = _with_edges(answer, moments(answer, question, duration_s, lengths=True), duration_s)
    pairs: list[Range] = []
    i = 0
    while i + 1 < len(stated):
        pair = _range_of(text, stated[i], stated[i + 1])
        if pair:
            pairs.append(pair)
        i += 2 if pair else 1
    pairs = pairs or _parts(answer, stated, duration_s)
    if not pairs and (whole := _WHOLE.search(text)):
        position = word_at(answer, whole.start())
        start, end = (Moment(time_s, whole.start(), whole.end(), position, False) for time_s in (0.0, duration_s))
        return [(start, end)]
    return pairs


def half_open_range(answer: Answer, question: str, duration_s: float) -> Range | None:
    """The range that a text states by one end alone: "until 4 s", "from 4 s onwards". None without exactly one such moment."""
    stated = moments(answer, question, duration_s, lengths=True)
    if len(stated) != 1:
        return None
    moment, before = stated[0], answer.text[: stated[0].start]
    if _UNTIL_ALONE.search(before):
        return replace(moment, time_s=0.0), moment
    if _FROM_ALONE.search(before) and _ONWARDS.match(answer.text, moment.end):
        return moment, replace(moment, time_s=duration_s)
    return None


def _range_of(text: str, first: Moment, second: Moment) -> Range | None:
    """The range that two neighbouring moments state, or None."""
    between = text[first.end : second.start]
    if JOINS.match(between) or _starts_then_ends(text, first, second) or _is_bracketed(text, first, second):
        return first, second
    is_start = _START_WORD.search(text[max(0, first.start - CUE_CHARS) : first.start])
    if _LASTS.match(between) or (is_start and _STARTS_FOR.match(between)):
        return first, Moment(first.time_s + second.time_s, second.start, second.end, second.position, second.bare)
    has_length_first = _LENGTH_BEFORE.search(text[max(0, first.start - CUE_CHARS) : first.start])
    if has_length_first and _STARTS_BEHIND.match(between):
        return second, replace(second, time_s=first.time_s + second.time_s)
    if _ends_then_starts(text, first, second):
        return second, first
    return None


def _starts_then_ends(text: str, first: Moment, second: Moment) -> bool:
    """Whether the text reads like "starts at 2 s ... ends at 6 s", with other words between."""
    before, between = text[max(0, first.start - CUE_CHARS) : first.start], text[first.end : second.start]
    is_near = len(between) < MAX_APART_CHARS and "\n\n" not in between
    return is_near and bool(_START_WORD.search(before) and _END_WORD.search(between))


def _is_bracketed(text: str, first: Moment, second: Moment) -> bool:
    """Whether the moments stand as in "[2.0, 5.0]"."""
    return text[first.end : second.start].strip() in (",", ";") and bool(
        regex.search(r"[\[(<]\s*$", text[max(0, first.start - 9) : first.start])
        and regex.match(r"\s*[\])>]", text[second.end : second.end + 9])
    )


def _ends_then_starts(text: str, first: Moment, second: Moment) -> bool:
    """Whether the text reads like "ends at 5 s and starts at 2 s"."""
    before, between = text[max(0, first.start - CUE_CHARS) : first.start], text[first.end : second.start]
    is_near = len(between) < MAX_APART_CHARS
    return is_near and bool(_END_WORD.search(before) and not _START_WORD.search(before) and _START_WORD.search(between))


def _parts(answer: Answer, stated: Sequence[Moment], duration_s: float) -> list[Range]:
    """Ranges like "the first 5 seconds" and "the second half"."""
    parts = []
    for match in _PART.finditer(answer.text):
        which, share = match["which"].casefold(), (match["share"] or "").casefold()
        length = next((moment for moment in stated if moment.start == match.end() and not moment.bare), None)
        if not share and not length:
            continue
        length_s = duration_s / _PARTS_PER_CLIP[share] if share else length.time_s if length else 0.0
        at_end = which in ("last", "final", "closing") or (which == "second" and share == "half")
        if which in ("second", "middle") and not at_end:
            start_s = (duration_s - length_s) / 2 if which == "middle" or share == "third" else length_s
        else:
            start_s = duration_s - length_s if at_end else 0.0
        end, position = (length.end if length else match.end()), word_at(answer, match.start())
        first, second = (Moment(time_s, match.start(), end, position, False) for time_s in (start_s, start_s + length_s))
        parts.append((first, second))
    return parts


def _with_edges(answer: Answer, stated: list[Moment], duration_s: float) -> list[Moment]:
    """The moments, and "the beginning" and "the end" of the clip where a range starts or ends with them."""
    text = answer.text
    edges = []
    for pattern, time_s in ((BEGINNING, 0.0), (ENDING, duration_s)):
        for match in pattern.finditer(text):
            before, after = text[max(0, match.start() - EDGE_CHARS) : match.start()], text[match.end() : match.end() + EDGE_CHARS]
            is_end_of_range = _FROM_BEFORE.search(before) or _UNTIL_BEFORE.search(before)
            if is_end_of_range and not _NO_EDGE_AFTER.match(after):
                edges.append(Moment(time_s, match.start(), match.end(), word_at(answer, match.start()), False))
    return sorted([*stated, *edges], key=lambda moment: moment.start)
