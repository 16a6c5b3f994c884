"""Pools of clips that contexts are drawn from: each clip is drawn at most once, and a draw costs O(log clips).

A pool is a list of runs, which are stretches of sorted clip numbers that may have holes. Drawing without replacement is a
Fisher-Yates shuffle that remembers only the places it swapped.
"""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence


class Run:
    """The clip numbers order[start:end] without those at the places in `holes`, which are sorted.

    >>> run = Run([70, 71, 72, 73, 74], 1, 5, holes=[0, 2, 3])
    >>> run.size, [run.clip_at(index) for index in range(run.size)]
    (2, [71, 74])
    """

    __slots__ = ("_first_hole", "_holes", "num_holes", "order", "size", "start")

    def __init__(self, order: Sequence[int], start: int, end: int, holes: Sequence[int] = ()) -> None:
        self.order, self.start, self._holes = order, start, holes
        self._first_hole = self.num_holes = 0
        if holes:
            self._first_hole = bisect_left(holes, start)
            self.num_holes = bisect_left(holes, end, self._first_hole) - self._first_hole
        self.size = end - start - self.num_holes

    def clip_at(self, index: int) -> int:
        """The clip number at 0 <= index < size."""
        place = self.start + index
        if self.num_holes:
            # hole h, counted from 0, is skipped if its place less the h holes before it is at most `place`
            holes, first = self._holes, self._first_hole
            place += bisect_right(range(self.num_holes), place, key=lambda hole: holes[first + hole] - hole)
        return self.order[place]


def total_size(runs: Iterable[Run]) -> int:
    size = 0
    for run in runs:  # faster than sum() of a generator over one or two runs
        size += run.size
    return size


class Pool:
    """Clips to draw from, without replacement."""

    __slots__ = ("_runs", "_swapped", "_usable", "left")

    def __init__(self, runs: Sequence[Run], usable: Callable[[int], bool] | None = None) -> None:
        """`usable`: a clip for which it is false leaves the pool when it is drawn, but is not returned."""
        self._runs, self._usable = runs, usable
        self._swapped: dict[int, int] = {}
        self.left = total_size(runs)

    def take(self, count: int, rng: random.Random) -> list[int]:
        """Up to `count` usable clip numbers, uniform over those left; fewer if the pool has no more."""
        runs, usable, swapped, uniform = self._runs, self._usable, self._swapped, rng.random
        taken: list[int] = []
        while self.left and len(taken) < count:
            picked = int(uniform() * self.left)
            self.left = last = self.left - 1
            index = swapped.get(picked, picked)
            swapped[picked] = swapped.pop(last, last)
            for run in runs:
                if index < run.size:
                    break
                index -= run.size
            number = run.clip_at(index) if run.num_holes else run.order[run.start + index]  # most runs have no holes
            if usable is None or usable(number):
                taken.append(number)
        return taken


def stretches(start: int, end: int, holes: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What disjoint, sorted holes leave of start..end.

    >>> list(stretches(0, 9, [(0, 2), (4, 4), (5, 6)]))
    [(2, 4), (4, 5), (6, 9)]
    """
    for hole_start, hole_end in holes:
        if start < hole_start:
            yield start, hole_start
        start = max(start, hole_end)
    if start < end:
        yield start, end
