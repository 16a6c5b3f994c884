"""EILEV's context sampler: half of the shots share the query's verb, half its noun, and none is the query's own action.

A draw costs O(shots), not a scan of buckets: clips are sorted by (verb, noun) and by (noun, verb), so that "same verb, another
noun" is a range with one hole, and drawing without replacement is a Fisher-Yates shuffle that remembers only what it moved.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.rows import Role

OTHER = "[other]"
"""Ego4D's verb for what has no class: it makes no bucket."""
Contexts = Literal["bursty", "random"]
Exclude = Literal["nothing", "overlap", "video"]
Drawn = list[tuple[int, Role]]
"""Numbers of clips, and why each was drawn."""


@dataclass(frozen=True, slots=True)
class Footage:
    """What the sampler knows of a clip: Footage("cut", "onion", "P01_03.mp4", 12.0, 20.0). The window is in seconds."""

    verb: str
    noun: str
    video: str
    start_s: float | None
    end_s: float | None

    def overlaps(self, other: "Footage") -> bool:
        """Whether both are of one video, with a moment in common; an open end reaches to the video's."""
        ends = [one.end_s if one.end_s is not None else float("inf") for one in (self, other)]
        return self.video == other.video and (self.start_s or 0.0) < ends[1] and (other.start_s or 0.0) < ends[0]


class Pool:
    """The clips at positions start..end of an order, less some holes; each is drawn once."""

    __slots__ = ("_holes", "_moved", "_order", "_start", "left")

    def __init__(self, order: Sequence[int], start: int, end: int, holes: Sequence[tuple[int, int]] = ()) -> None:
        """holes: disjoint ranges of positions within start..end, sorted."""
        self._order, self._start = order, start
        self._holes = [hole for hole in holes if hole[0] < hole[1]]
        self._moved: dict[int, int] = {}
        self.left = end - start - sum(b - a for a, b in self._holes)

    def draw(self, rng: random.Random) -> int:
        """A clip's number, uniform over those left, of which there must be one."""
        self.left -= 1
        picked, last = int(rng.random() * (self.left + 1)), self.left
        place = self._start + self._moved.get(picked, picked)
        self._moved[picked] = self._moved.pop(last, last)
        for hole_start, hole_end in self._holes:
            if place < hole_start:
                break
            place += hole_end - hole_start
        return self._order[place]


class Sampler:
    """Draws contexts from a fixed set of clips. Building it sorts them; a draw then looks at little more than what it returns."""

    def __init__(
        self,
        clips: Sequence[Footage],
        verb_noun_ratio: float = 0.5,
        contexts: Contexts = "bursty",
        exclude: Exclude = "nothing",
    ) -> None:
        """`exclude`: what of the query's own video is no context: nothing (published), what overlaps its window, or all of it."""
        self._clips, self._ratio, self._contexts, self._exclude = clips, verb_noun_ratio, contexts, exclude
        self._by_verb = sorted(range(len(clips)), key=lambda i: (clips[i].verb, clips[i].noun, i))
        self._by_noun = sorted(range(len(clips)), key=lambda i: (clips[i].noun, clips[i].verb, i))
        verb_keys = [(clips[i].verb, clips[i].noun) for i in self._by_verb]
        noun_keys = [(clips[i].noun, clips[i].verb) for i in self._by_noun]
        self._verbs, self._nouns = _ranges(verb_keys, 0), _ranges(noun_keys, 0)
        self._actions, self._actions_by_noun = _ranges(verb_keys, None), _ranges(noun_keys, None)
        self._place = [0] * len(clips)
        for place, number in enumerate(self._by_verb):
            self._place[number] = place

    def draw(self, query: Footage, shots: int, rng: random.Random, number: int | None = None) -> Drawn:
        """The context of a query, in random order; fewer than `shots` where there are not more.

        `number`: the query's own, where it is one of the sampler's clips.
        """
        bursty = self._contexts == "bursty"
        drawn = self._bursty(query, shots, rng) if bursty else self._random(query, shots, rng, number)
        rng.shuffle(drawn)
        return drawn

    def _usable(self, query: Footage) -> Callable[[int], bool] | None:
        if self._exclude == "nothing":
            return None
        clips = self._clips
        if self._exclude == "video":
            return lambda i: clips[i].video != query.video
        return lambda i: not query.overlaps(clips[i])

    def _random(self, query: Footage, shots: int, rng: random.Random, number: int | None) -> Drawn:
        """The ablation: any clips but the query, even of its own action."""
        own = [] if number is None else [(self._place[number], self._place[number] + 1)]
        everything = Pool(self._by_verb, 0, len(self._by_verb), own)
        return [(i, "random") for i in _take(everything, shots, rng, self._usable(query))]

    def _bursty(self, query: Footage, shots: int, rng: random.Random) -> Drawn:
        verb, noun, usable = query.verb, query.noun, self._usable(query)
        action = self._actions.get((verb, noun), (0, 0))
        same_verb = Pool(self._by_verb, *self._verbs.get(verb, (0, 0)), [action]) if verb not in ("", OTHER) else _EMPTY
        hole = self._actions_by_noun.get((noun, verb), (0, 0))
        same_noun = Pool(self._by_noun, *self._nouns.get(noun, (0, 0)), [hole]) if noun else _EMPTY
        drawn: Drawn = []
        need = shots
        while need > 0 and (same_verb.left or same_noun.left):
            both = same_verb.left and same_noun.left
            of_verb = int(need * self._ratio) if both else need if same_verb.left else 0
            verbs = _take(same_verb, of_verb, rng, usable)
            nouns = _take(same_noun, need - of_verb, rng, usable)
            drawn += [(i, "verb") for i in verbs]
            drawn += [(i, "noun") for i in nouns]
            need = shots - len(drawn)
        if need > 0:
            taken = sorted(self._place[i] for i, _ in drawn)
            holes = sorted([action, *((place, place + 1) for place in taken)])  # what was drawn is of another action: disjoint
            rest = Pool(self._by_verb, 0, len(self._by_verb), holes)
            drawn += [(i, "rest") for i in _take(rest, need, rng, usable)]
        return drawn


_EMPTY = Pool((), 0, 0)


def _take(pool: Pool, count: int, rng: random.Random, usable: Callable[[int], bool] | None) -> list[int]:
    """Up to `count` usable clips of the pool; the ones that are not are out of it too."""
    taken: list[int] = []
    while len(taken) < count and pool.left:
        number = pool.draw(rng)
        if usable is None or usable(number):
            taken.append(number)
    return taken


def _ranges(keys: Sequence[tuple[str, str]], part: int | None) -> dict[object, tuple[int, int]]:
    """Where each key, or the given part of it, begins and ends in a sorted sequence.

    >>> _ranges([("a", "x"), ("a", "y"), ("b", "x")], 0)
    {'a': (0, 2), 'b': (2, 3)}
    """
    found: dict[object, tuple[int, int]] = {}
    for place, key in enumerate(keys):
        name = key if part is None else key[part]
        start, _ = found.get(name, (place, place))
        found[name] = (start, place + 1)
    return found
