"""In which order do things happen? In the order in which they are told, unless before, after, first and last say otherwise."""

from collections.abc import Sequence

from engine.language.text import Said

Mention = tuple[str, int, int]
"""What is named, its first word, and the one after its last."""
EARLIER = frozenset(["before", "prior"])
LATER = frozenset(["after", "following", "preceded", "once"])
MARKERS = EARLIER | LATER | {"followed", "precedes", "follows"}
FIRST, LAST = frozenset("first firstly initially".split()), frozenset("last lastly finally".split())
NOT_FIRST = frozenset("head feet hands face".split())
"""Before "first" these say how he enters the water."""
POINTERS = frozenset("that this which it".split())


def in_time(said: Said, named: Sequence[Mention]) -> list[str]:
    """Names in the order of what happens, as often as they are told; once each where words like before turn it round.

    >>> said = Said("He jumps after running. Before diving, he waits.")
    >>> in_time(said, [("jump", 1, 2), ("run", 3, 4), ("dive", 5, 6), ("wait", 7, 8)])
    ['run', 'jump', 'wait', 'dive']
    """
    told = [name for i, (name, _, _) in enumerate(named) if not i or name != named[i - 1][0]]
    before, ranks = _relations(said, named), _ranks(said, named)
    once = list(dict.fromkeys(told))
    place = {name: i for i, name in enumerate(once)}
    turned = any(place[a] > place[b] for a, b in before) or [ranks[name] for name in once] != sorted(ranks[name] for name in once)
    if not turned:
        return told
    out: list[str] = []
    waiting = sorted(once, key=lambda name: (ranks[name], place[name]))
    while waiting:
        free = [name for name in waiting if not any(b == name and a in waiting for a, b in before)]
        out.append((free or waiting)[0])
        waiting.remove(out[-1])
    return out


def _relations(said: Said, named: Sequence[Mention]) -> set[tuple[str, str]]:
    """Pairs of which the first happens before the second, as words between or before them say."""
    found: set[tuple[str, str]] = set()
    for first, end in said.sentences:
        breaks = said.breaks(first, end)
        inside = [one for one in named if first <= one[1] < end]
        for i in range(first, end):
            word = said.words[i]
            if word not in MARKERS:
                continue
            start = max((j for j in range(first, i + 1) if breaks[j - first] or said.words[j] in ("and", "then")), default=first)
            left = [one for one in inside if start <= one[1] and one[2] <= i]
            right = [one for one in inside if one[1] > i]
            points = said.words[i + 1 : i + 2] in (("that",), ("this",)) or (
                not POINTERS.isdisjoint(said.words[i + 1 : i + 4]) and not (right and right[0][1] < i + 4)
            )
            if points:
                earlier = [one for one in named if one[2] <= i]
                found |= {(right[0][0], one[0]) for one in earlier if word in EARLIER and right}
            elif left and right:
                late = word in LATER or word == "follows"
                found.add((right[0][0], left[-1][0]) if late else (left[-1][0], right[0][0]))
            elif len(right) > 1 and word in EARLIER | LATER:
                found.add((right[1][0], right[0][0]) if word in EARLIER else (right[0][0], right[1][0]))
    return {(a, b) for a, b in found if a != b and (b, a) not in found}


def _ranks(said: Said, named: Sequence[Mention]) -> dict[str, int]:
    """-1 for what comes first, 1 for what comes last, else 0."""
    ranks: dict[str, int] = {}
    for name, a, b in named:
        first, end = said.sentence_of(a)
        breaks = said.breaks(first, end)
        start = max((j for j in range(first, a + 1) if breaks[j - first] or said.words[j] == "and"), default=first)
        stop = min((j for j in range(b, end) if breaks[j - first] or said.words[j] in ("and", "then")), default=end)
        clause = said.words[start:stop]
        if not LAST.isdisjoint(clause):
            ranks.setdefault(name, 1)
        elif any(word in FIRST and (not i or clause[i - 1] not in NOT_FIRST) for i, word in enumerate(clause)):
            ranks.setdefault(name, -1)
        else:
            ranks.setdefault(name, 0)
    return ranks
