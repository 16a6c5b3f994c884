"""The chronological order of events: the order in which the text tells them, unless before, after, first or last change it."""

from collections.abc import Sequence
from typing import NamedTuple

from engine.language.answer import Answer
from engine.language.times import moments

EARLIER = frozenset(["before", "prior"])
LATER = frozenset(["after", "following", "preceded", "once"])
MARKERS = EARLIER | LATER | {"followed", "precedes", "follows"}
FIRST, LAST = frozenset("first firstly initially".split()), frozenset("last lastly finally".split())
NOT_FIRST = frozenset("head feet hands face".split())
"""Words before "first" that make it a posture: he enters the water head first."""
ANY_DURATION_S = 1e9
"""A clip's duration where none is known: only moments with a unit count."""
BEFORE_MARKER = frozenset("but only though just right shortly soon immediately not".split())
"""Words before a marker at its clause's start: "he jumps, but only after he runs"."""
POINTERS = frozenset("that this which it".split())


class Mention(NamedTuple):
    """One event in the text: Mention("jump", first=1, end=2). `first` and `end` are its word range."""

    name: str
    first: int
    end: int


def chronological(answer: Answer, mentions: Sequence[Mention]) -> list[str]:
    """Names of the events, which are given in the order of the text, as they happen.

    An event that is told twice comes twice, unless words like "before" change the order: then each comes once.

    >>> answer = Answer("He jumps after running. Before diving, he waits.")
    >>> chronological(answer, [Mention("jump", 1, 2), Mention("run", 3, 4), Mention("dive", 5, 6), Mention("wait", 7, 8)])
    ['run', 'jump', 'wait', 'dive']
    """
    if timed := _by_time(answer, mentions):
        return timed
    told_order = [mention.name for i, mention in enumerate(mentions) if not i or mention.name != mentions[i - 1].name]
    pairs, ranks = _earlier_pairs(answer, mentions), _ranks(answer, mentions)
    names = list(dict.fromkeys(told_order))
    told_index = {name: i for i, name in enumerate(names)}
    is_reordered = any(told_index[earlier] > told_index[later] for earlier, later in pairs)
    if not is_reordered and [ranks[name] for name in names] == sorted(ranks[name] for name in names):
        return told_order
    happened: list[str] = []
    waiting = sorted(names, key=lambda name: (ranks[name], told_index[name]))
    while waiting:
        free = [name for name in waiting if not any(later == name and earlier in waiting for earlier, later in pairs)]
        happened.append((free or waiting)[0])
        waiting.remove(happened[-1])
    return happened


def _by_time(answer: Answer, mentions: Sequence[Mention]) -> list[str]:
    """The events in the order of their moments, if each is alone in its sentence with one moment ("At 0:05, he ..."); else []."""
    if not any(letter.isdigit() for letter in answer.text):
        return []
    stated = [moment for moment in moments(answer, "", ANY_DURATION_S) if not moment.bare]
    by_sentence: dict[tuple[int, int], list[float]] = {}
    for moment in stated:
        by_sentence.setdefault(answer.sentence_of(moment.position), []).append(moment.time_s)
    sentences = [answer.sentence_of(mention.first) for mention in mentions]
    if len(set(sentences)) < len(mentions) or any(len(by_sentence.get(sentence, [])) != 1 for sentence in sentences):
        return []
    return [name for _, name in sorted((by_sentence[s][0], mention.name) for s, mention in zip(sentences, mentions, strict=True))]


def _earlier_pairs(answer: Answer, mentions: Sequence[Mention]) -> set[tuple[str, str]]:
    """Pairs (earlier event, later event) that the marker words state. Contradicting pairs are dropped."""
    pairs: set[tuple[str, str]] = set()
    for first, end in answer.sentences:
        for i in range(first, end):
            if answer.words[i] in MARKERS:
                pairs |= _pairs_at(answer, mentions, i)
    return {(earlier, later) for earlier, later in pairs if earlier != later and (later, earlier) not in pairs}


def _pairs_at(answer: Answer, mentions: Sequence[Mention], marker: int) -> set[tuple[str, str]]:
    """Pairs (earlier event, later event) that the marker word at a position states."""
    word, (first, end) = answer.words[marker], answer.sentence_of(marker)
    breaks = answer.breaks(first, end)
    clause_start = max(
        (j for j in range(first, marker + 1) if breaks[j - first] or answer.words[j] in ("and", "then")), default=first
    )
    inside = [mention for mention in mentions if first <= mention.first < end]
    left = [mention for mention in inside if clause_start <= mention.first and mention.end <= marker]
    right = [mention for mention in inside if mention.first > marker]
    points_back = answer.words[marker + 1 : marker + 2] in (("that",), ("this",)) or (
        not POINTERS.isdisjoint(answer.words[marker + 1 : marker + 4]) and not (right and right[0].first < marker + 4)
    )
    if points_back:  # "before that, ..."
        told_before = [mention for mention in mentions if mention.end <= marker]
        return {(right[0].name, mention.name) for mention in told_before if word in EARLIER and right}
    if left and right and word in LATER and (joined := _joined(answer, right)):  # "falls after running and jumping"
        return {(mention.name, left[-1].name) for mention in joined}
    if left and right:  # "... after ..."
        is_later = word in LATER or word == "follows"
        return {(right[0].name, left[-1].name) if is_later else (left[-1].name, right[0].name)}
    opening = answer.words[clause_start:marker]
    if opening and len(right) == 1 and BEFORE_MARKER.issuperset(opening):  # "..., but only after ..."
        told_before = [mention for mention in inside if mention.end <= clause_start]
        is_later = word in LATER or "not" in opening  # "not before" he runs
        return {(right[0].name, mention.name) for mention in told_before[-1:] if is_later}
    if len(right) > 1 and word in EARLIER | LATER:  # "after ..., ..."
        return {(right[1].name, right[0].name) if word in EARLIER else (right[0].name, right[1].name)}
    return set()


def _joined(answer: Answer, mentions: Sequence[Mention]) -> list[Mention]:
    """The first of the mentions and those that an "and" or a comma joins to it, all of them -ing forms; [] for a single one."""
    joined = list(mentions[:1])
    for mention in mentions[1:]:
        between = answer.words[joined[-1].end : mention.first]
        forms = {answer.words[joined[0].first][-3:], answer.words[mention.first][-3:]}
        if forms != {"ing"} or any(word not in ("and", "then") for word in between):
            break
        joined.append(mention)
    return joined if len(joined) > 1 else []


def _ranks(answer: Answer, mentions: Sequence[Mention]) -> dict[str, int]:
    """-1 for an event whose clause says "first", 1 for "last", else 0."""
    ranks: dict[str, int] = {}
    for name, start, stop in mentions:
        first, end = answer.sentence_of(start)
        breaks = answer.breaks(first, end)
        clause_start = max((j for j in range(first, start + 1) if breaks[j - first] or answer.words[j] == "and"), default=first)
        clause_end = min((j for j in range(stop, end) if breaks[j - first] or answer.words[j] in ("and", "then")), default=end)
        clause = answer.words[clause_start:clause_end]
        if not LAST.isdisjoint(clause):
            ranks.setdefault(name, 1)
        elif any(word in FIRST and (not i or clause[i - 1] not in NOT_FIRST) for i, word in enumerate(clause)):
            ranks.setdefault(name, -1)
        else:
            ranks.setdefault(name, 0)
    return ranks
