"""A seeded random sample of the attempts of a step, by strata of known sizes, so that shares of all attempts follow from it. Pure.

A stratum is an outcome and a mode. Half of the sample is kept answers and half dropped ones, each half shared out by the sizes of
its modes: with as many drawn at random from all attempts, the rarer outcome would have too few to say anything about it.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.ingest.hashes import hash_of
from engine.rows import Attempt, Clip, Trace

AT_LEAST = 2
"""Rows of each stratum, where it has as many: a mode of a few attempts must not go unread."""
KEPT, DROPPED = "kept", "dropped"


def stratum_of(attempt: Attempt | Trace) -> str:
    """
    >>> from dataclasses import replace
    >>> a = Attempt(piece_id="", clip_id="a", cycle=0, mode="direct", outcome="rejected", reason="", detail="", score=0.0,
    ...             judgements=(), prompt="", text="", num_tokens=0, seed=0, model="", etag="", in_order=False)
    >>> stratum_of(a), stratum_of(replace(a, outcome="kept", mode="rationalized"))
    ('dropped direct', 'kept rationalized')
    """
    return f"{KEPT if attempt.outcome == 'kept' else DROPPED} {attempt.mode}"


@dataclass(frozen=True, order=True, slots=True)
class Drawn:
    """Drawn(-93106, Clip(...), Trace(...))"""

    rank: int
    """The negative of a hash with the sample's seed: of a stratum, the attempts of the smallest hashes are drawn."""
    clip: Clip = field(compare=False)
    attempt: Trace = field(compare=False)


@dataclass
class Strata:
    """strata = Strata(size=50, seed=1); strata.add(clips, attempts) piece by piece; strata.drawn()

    It holds `size` attempts of each stratum.
    """

    size: int
    seed: int
    sizes: Counter[str] = field(default_factory=Counter)
    """Attempts of each stratum, drawn or not. Failed clips have no answer, and are in none."""
    _heaps: dict[str, list[Drawn]] = field(default_factory=dict)

    def add(self, clips: Iterable[Clip], attempts: Sequence[Trace]) -> None:
        by_id = {clip.clip_id: clip for clip in clips}
        for attempt in attempts:
            if attempt.outcome == "failed":
                continue
            name = stratum_of(attempt)
            self.sizes[name] += 1
            rank = -hash_of(f"{self.seed} {attempt.clip_id} {attempt.cycle} {attempt.mode} {attempt.seed}")
            heap = self._heaps.setdefault(name, [])
            if len(heap) < self.size:
                heapq.heappush(heap, Drawn(rank, by_id[attempt.clip_id], attempt))
            elif rank > heap[0].rank:
                heapq.heapreplace(heap, Drawn(rank, by_id[attempt.clip_id], attempt))

    def drawn(self) -> list[tuple[Clip, Trace]]:
        """The sample, in random order: whoever reads the first rows only has read a random sample too."""
        rows = [
            row
            for name, count in allocated(self.size, self.sizes).items()
            for row in sorted(self._heaps.get(name, []), reverse=True)[:count]
        ]
        return [(row.clip, row.attempt) for row in sorted(rows, reverse=True)]


def allocated(size: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """How many rows of each stratum are drawn; `size` in all, or all that there are.

    >>> allocated(50, {"kept direct": 900, "kept rationalized": 100, "dropped direct": 30, "dropped rationalized": 5})
    {'kept direct': 23, 'kept rationalized': 2, 'dropped direct': 21, 'dropped rationalized': 4}
    >>> allocated(50, {"kept direct": 900, "dropped direct": 3})
    {'kept direct': 47, 'dropped direct': 3}
    """
    total = {outcome: sum(count for name, count in sizes.items() if name.startswith(outcome)) for outcome in (KEPT, DROPPED)}
    kept = min(total[KEPT], max((size + 1) // 2, size - total[DROPPED]))
    halves = {KEPT: kept, DROPPED: min(total[DROPPED], size - kept)}
    counts: dict[str, int] = {}
    for outcome, half in halves.items():
        left, left_size = half, total[outcome]
        for name, count in sorted(((name, count) for name, count in sizes.items() if name.startswith(outcome)), key=_smallest):
            counts[name] = min(count, left, max(AT_LEAST, round(left * count / left_size)))
            left, left_size = left - counts[name], left_size - count
    return {name: counts[name] for name in sizes}


def _smallest(stratum: tuple[str, int]) -> tuple[int, str]:
    """First the small ones, so that what they need is not spent."""
    return stratum[1], stratum[0]
