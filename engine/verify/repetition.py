"""An answer that goes round and round, and one that breaks off."""

from collections import Counter

from engine.language.text import Said

LOOPS = 4
"""Times that the same words come one after another; three times a whole sentence."""
LONGEST = 24
"""Words of what is repeated."""
VARIED = 0.75
"""Share of different words above which no sentence is there three times."""
DANGLING = frozenset(
    "the a an and or but because of which whose if than is are was were am that's to from with into their his he she they "
    "we".split()
)
"""No answer ends with one of these."""


def is_loop(said: Said) -> str:
    """What is repeated, "" where nothing is.

    >>> is_loop(Said("he dives and he dives and he dives and he dives and")), is_loop(Said("very very high"))
    ('he dives and', '')
    """
    found = said.words
    for size in range(1, min(LONGEST, len(found) // 3) + 1):
        run = 0
        while run < len(found) - size and found[-1 - run] == found[-1 - run - size]:
            run += 1
        if run >= (size * ((LOOPS if size < 4 else 3) - 1) if size > 1 else LOOPS):
            return " ".join(found[-size:])
    if len(found) > 2 * LOOPS and len(set(found)) <= len(found) / 3:
        return " ".join(found[:LOOPS])
    if len(set(found)) <= VARIED * len(found):
        texts = Counter(tuple(found[a:b]) for a, b in said.sentences if b - a >= 3)
        sentence, times = texts.most_common(1)[0] if texts else ((), 0)
        return " ".join(sentence) if times >= 3 else ""
    return ""


def breaks_off(said: Said) -> bool:
    """Whether the last word cannot be an answer's last.

    >>> breaks_off(Said("The person is diving because the")), breaks_off(Said("The person is diving"))
    (True, False)
    """
    return len(said.words) > 1 and said.words[-1] in DANGLING
