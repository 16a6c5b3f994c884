"""Clips in sorted order, so that those of one verb, noun or action, or apart from a query's window, are ranges."""

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from engine.episodes.footage import Action, Footage
from engine.episodes.pools import Run, stretches

Key = TypeVar("Key", bound=Hashable)
Range = tuple[int, int]
"""Places start..end of an order."""
NO_PLACES: list[int] = []


@dataclass(frozen=True, slots=True)
class Order:
    """Clip numbers sorted by (verb, noun) or by (noun, verb), with the range of each key."""

    key: Literal["verb", "noun"]
    numbers: list[int]
    places: list[int]
    """Of each clip number."""
    words: dict[str, Range]
    """By verb or by noun, whichever comes first in the order."""
    actions: dict[Action, Range]

    @classmethod
    def by(cls, key: Literal["verb", "noun"], clips: Sequence[Footage]) -> "Order":
        if key == "verb":
            numbers = sorted(range(len(clips)), key=lambda i: (clips[i].verb, clips[i].noun, i))
        else:
            numbers = sorted(range(len(clips)), key=lambda i: (clips[i].noun, clips[i].verb, i))
        words = [clips[i].verb if key == "verb" else clips[i].noun for i in numbers]
        places = [0] * len(clips)
        for place, number in enumerate(numbers):
            places[number] = place
        return cls(key, numbers, places, ranges(words), ranges([clips[i].action for i in numbers]))


@dataclass(slots=True)
class Bucket:
    """A range of an order without some holes: for example all clips of a verb but those of the query's action."""

    order: Order
    range: Range
    holes: Sequence[Range]
    """Disjoint and sorted."""

    def runs(self, other_holes: Sequence[int] = ()) -> list[Run]:
        """The bucket's clips, but for those at the sorted places `other_holes`."""
        return [Run(self.order.numbers, start, end, other_holes) for start, end in stretches(*self.range, self.holes)]


class Timeline:
    """Clips of one video, sorted by end and by start, so that those that do not overlap a query are a prefix and a suffix."""

    def __init__(self, clips: Sequence[Footage], numbers: Iterable[int]) -> None:
        self._by_end = sorted(numbers, key=lambda i: (clips[i].last_s, i))
        self._by_start = sorted(self._by_end, key=lambda i: (clips[i].first_s, i))
        self._ends = [clips[i].last_s for i in self._by_end]
        self._starts = [clips[i].first_s for i in self._by_start]
        self._places_by_end = places_by(clips[i].action for i in self._by_end)
        self._places_by_start = places_by(clips[i].action for i in self._by_start)

    def apart_from(self, query: Footage, but: Action | None) -> list[Run]:
        """The clips that end before the query or start after it, and are not of the action `but`."""
        before, after = bisect_right(self._ends, query.first_s), bisect_left(self._starts, query.last_s)
        return [
            Run(self._by_end, 0, before, self._places_by_end.get(but, NO_PLACES) if but else NO_PLACES),
            Run(self._by_start, after, len(self._starts), self._places_by_start.get(but, NO_PLACES) if but else NO_PLACES),
        ]


def ranges(keys: Iterable[Key]) -> dict[Key, Range]:
    """Where each key begins and ends in a sorted sequence.

    >>> ranges(["cut", "cut", "wash"])
    {'cut': (0, 2), 'wash': (2, 3)}
    """
    range_of: dict[Key, Range] = {}
    for place, key in enumerate(keys):
        start, _ = range_of.get(key, (place, place))
        range_of[key] = (start, place + 1)
    return range_of


def places_by(keys: Iterable[Key]) -> dict[Key, list[int]]:
    """The places of each key, ascending.

    >>> places_by(["cut", "wash", "cut"])
    {'cut': [0, 2], 'wash': [1]}
    """
    places: dict[Key, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    return places
