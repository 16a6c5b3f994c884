"""Stretches of a clip that a text names: "from 2 s to 5 s", "starts at 0:02 and lasts 3 s", "the second half", "until the end"."""

from collections.abc import Sequence

import regex

from engine.language.text import Said
from engine.language.times import BEGINNING, ENDING, JOINS, Moment, moments, word_at

_START_WORD = regex.compile(r"\b(?:start|starts|starting|started|begins?|beginning|began|onset|from)\b", regex.IGNORECASE)
_END_WORD = regex.compile(
    r"\b(?:ends?|ending|ended|stops?|stopping|finish(?:es)?|finishing|until|till|concludes?|concluding|to)\b", regex.IGNORECASE
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
_SHARE = {"half": 2, "third": 3, "quarter": 4}


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
        if JOINS.match(between) or _apart(text, one, other) or _bracketed(text, one, other):
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
        word = word_at(said, whole.start())
        return [(Moment(0.0, whole.start(), whole.end(), word, False), Moment(duration_s, whole.start(), whole.end(), word, False))]
    return found


def _apart(text: str, one: Moment, other: Moment) -> bool:
    """ "starts at 2 s ... ends at 6 s", with more words between."""
    before, between = text[max(0, one.start - 30) : one.start], text[one.end : other.start]
    return len(between) < 60 and "\n\n" not in between and bool(_START_WORD.search(before) and _END_WORD.search(between))


def _bracketed(text: str, one: Moment, other: Moment) -> bool:
    """ "[2.0, 5.0]"."""
    return text[one.end : other.start].strip() in (",", ";") and bool(
        regex.search(r"[\[(]\s*$", text[max(0, one.start - 9) : one.start])
        and regex.match(r"\s*[\])]", text[other.end : other.end + 9])
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
        end, word = (length.end if length else match.end()), word_at(said, match.start())
        found.append((Moment(start_s, match.start(), end, word, False), Moment(start_s + long_s, match.start(), end, word, False)))
    return found


def _with_edges(said: Said, found: list[Moment], duration_s: float) -> list[Moment]:
    """With "the beginning" and "the end" as the moments that they are, where they stand for one."""
    text = said.text
    edges = []
    for pattern, time_s in ((BEGINNING, 0.0), (ENDING, duration_s)):
        for match in pattern.finditer(text):
            before, after = text[max(0, match.start() - 25) : match.start()], text[match.end() : match.end() + 25]
            opens = regex.search(r"\b(?:from|at|since)\s+(?:the\s+)?(?:very\s+)?$", before, regex.IGNORECASE)
            closes = regex.search(r"\b(?:until|till|to|through|–|-)\s+(?:the\s+)?(?:very\s+)?$", before, regex.IGNORECASE)
            names = not regex.match(r"\s*(?:time\b|at\b|of\s+the\s+(?!video|clip))", after, regex.IGNORECASE)
            if names and (opens or closes):
                edges.append(Moment(time_s, match.start(), match.end(), word_at(said, match.start()), False))
    return sorted([*found, *edges], key=lambda one: one.start)
