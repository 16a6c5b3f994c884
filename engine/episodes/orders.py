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
        return cls(key, numbers, ranges(words), ranges([clips[i].action for i in numbers]))

    def places(self) -> list[int]:
        """The place of each clip number."""
        places = [0] * len(self.numbers)
        for place, number in enumerate(self.numbers):
            places[number] = place
        return places


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
        self._places_by_end: dict[Action | None, list[int]] = places_by(clips[i].action for i in self._by_end)
        self._places_by_start: dict[Action | None, list[int]] = places_by(clips[i].action for i in self._by_start)

    def apart_from(self, query: Footage, other_than: Action | None) -> list[Run]:
        """The clips that end before the query or start after it, and are not of the action `other_than`."""
        before, after = bisect_right(self._ends, query.first_s), bisect_left(self._starts, query.last_s)
        runs = []
        if before:
            runs.append(Run(self._by_end, 0, before, self._places_by_end.get(other_than, NO_PLACES)))
        if after < len(self._starts):
            runs.append(Run(self._by_start, after, len(self._starts), self._places_by_start.get(other_than, NO_PLACES)))
        return runs


class VideoIndex:
    """Where the clips of each video are in the orders; what is sorted for one query is kept for the next."""

    def __init__(self, clips: Sequence[Footage]) -> None:
        self._clips = clips
        self._numbers = places_by(clip.video for clip in clips)
        self._places_in: dict[str, list[int]] = {}
        """By key of an order: the place of each clip number."""
        self._places: dict[tuple[str, str], list[int]] = {}
        self._timelines: dict[tuple[str, str, Range], Timeline] = {}

    def num_clips(self, video: str) -> int:
        return len(self._numbers.get(video, NO_PLACES))

    def places(self, video: str, order: Order) -> list[int]:
        """The places of the video's clips in the order, sorted."""
        key = (video, order.key)
        if key not in self._places:
            if order.key not in self._places_in:
                self._places_in[order.key] = order.places()
            places_in = self._places_in[order.key]
            self._places[key] = sorted(places_in[number] for number in self._numbers.get(video, NO_PLACES))
        return self._places[key]

    def timeline(self, video: str, bucket: Bucket) -> Timeline:
        """Of the video's clips in the bucket's range."""
        order, (start, end) = bucket.order, bucket.range
        key = (video, order.key, bucket.range)
        if key not in self._timelines:
            places = self.places(video, order)
            in_range = places[bisect_left(places, start) : bisect_left(places, end)]
            self._timelines[key] = Timeline(self._clips, [order.numbers[place] for place in in_range])
        return self._timelines[key]


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
