"""Clauses that take back all statements before them: "I take that back", "never mind", "I was mistaken"."""

from collections.abc import Callable, Sequence

from engine.language.scope import CLAUSE_STARTS

REVOKING = frozenset(
    "forget ignore disregard retract withdraw revoke rescind recant strike scratch scrap cancel correct revise rethink reconsider "
    "amend take doubt".split()
)
"""Verbs that take back their object; "take" does with "back" behind it."""
OBJECTS = frozenset(
    "that this it all everything what i said wrote just so my myself the last previous earlier first initial above answer "
    "statement sentence claim guess description reply remark part back".split()
)
ERRING = frozenset("mistaken wrong incorrect corrected kidding joking".split())
"""Behind "I was", "I am", "I stand"."""
MISSPEAKING = frozenset("misspoke misread misjudged apologize apologise".split())
"""Behind "I", with or without an object."""
ERRORS = frozenset("mistake error bad fault apologies".split())
"""Behind "my" and "I made a"."""
TRIGGERS = REVOKING | ERRING | MISSPEAKING | ERRORS | {"mind", "nevermind"}
"""All words that make a clause a revocation; the others of its words are FILLERS and OBJECTS."""
FILLERS = frozenset(
    "oh well but so and ok okay please actually no wait hmm ah uh sorry just only i i'd i'll i'm i've we let me have has had to "
    "want need would like must should will am was were been stand stood do highly "
    "really strongly seriously my made a an never".split()
)
_BREAKS = frozenset(",:;.!?()[]—–|…\n-")
_QUOTES = frozenset('"“”‘')


def last_revocation(words: Sequence[str], gap_before: Callable[[int], str]) -> tuple[int, int] | None:
    """The word range of the last clause that takes back what stands before it; None without one.

    `gap_before`: the characters before the word at a position.

    >>> text = "he dives. i take that back, he runs"
    >>> gaps = ["", " ", ". ", " ", " ", " ", ", ", " "]
    >>> last_revocation("he dives i take that back he runs".split(), gaps.__getitem__)
    (2, 6)
    """
    if TRIGGERS.isdisjoint(words):
        return None
    for i in range(len(words) - 1, 0, -1):
        if words[i] in TRIGGERS and (clause := _clause_of(words, gap_before, i)):
            return clause
    return None


def _clause_of(words: Sequence[str], gap_before: Callable[[int], str], trigger: int) -> tuple[int, int] | None:
    """The clause of the trigger, if it consists of nothing but a revocation, and is no quotation."""
    first, end = trigger, trigger + 1
    while first and _BREAKS.isdisjoint(gap_before(first)) and words[first - 1] in FILLERS:
        first -= 1
    while end < len(words) and _BREAKS.isdisjoint(gap_before(end)) and words[end] in OBJECTS:
        end += 1
    gap = gap_before(first)
    is_clause = not _BREAKS.isdisjoint(gap) and _QUOTES.isdisjoint(gap) and gap != "-"
    is_whole = end == len(words) or not _BREAKS.isdisjoint(gap_before(end)) or words[end] in CLAUSE_STARTS or words[end] == "and"
    if first and is_clause and is_whole and _revokes(words[first:trigger], words[trigger], words[trigger + 1 : end]):
        return first, end
    return None


def _revokes(before: Sequence[str], trigger: str, objects: Sequence[str]) -> bool:
    if trigger in REVOKING:
        return bool(objects) and (objects[-1] == "back") == (trigger == "take") and "never" not in before
    if trigger in MISSPEAKING:
        return "i" in before
    if objects:
        return False
    if trigger in ERRING:
        return trigger in ("kidding", "joking") or not {"i", "i'm"}.isdisjoint(before)
    if trigger in ERRORS:
        return not {"my", "made"}.isdisjoint(before)
    return trigger == "nevermind" or "never" in before
