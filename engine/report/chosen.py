"""Which clips the report shows, where a run has more than fit: a seeded sample in which what is rare is shown whole. Pure."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.ingest.hashes import hash_of
from engine.rows import Clip


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A clip with its rank: Place(-93106, 3, Clip(...), "dropped label_missing > kept direct"). The highest ranks are shown."""

    rank: int
    """The negative of a hash of the seed and the clip's id."""
    part: int = field(compare=False)
    """The number of the part of its split that it is in."""
    clip: Clip = field(compare=False)
    fate: str = field(compare=False)
    """How it ended in the first step that asked about it and, where that is another one, in the last."""


@dataclass
class Chosen:
    """chosen = Chosen(most=1500, seed=0); chosen.add(3, clips, fates) part by part; chosen.places(). Holds `most` of each fate."""

    most: int
    seed: int
    sizes: Counter[str] = field(default_factory=Counter)
    """fate -> clips, shown or not."""
    _heaps: dict[str, list[Place]] = field(default_factory=dict)

    def add(self, part: int, clips: Sequence[Clip], fates: Mapping[str, str]) -> None:
        for clip in clips:
            if (fate := fates.get(clip.clip_id)) is None:
                continue
            self.sizes[fate] += 1
            place = Place(-hash_of(f"{self.seed} {clip.clip_id}"), part, clip, fate)
            heap = self._heaps.setdefault(fate, [])
            (heapq.heappush if len(heap) < self.most else heapq.heappushpop)(heap, place)

    def places(self) -> list[Place]:
        """The clips that are shown: first the first of each fate, then the second of each, and so on, the rarest fate first."""
        quotas = shared_out(self.most, self.sizes)
        order = {fate: number for number, fate in enumerate(sorted(self.sizes, key=lambda fate: (self.sizes[fate], fate)))}
        ranked = [
            (number, order[fate], place)
            for fate, quota in quotas.items()
            for number, place in enumerate(sorted(self._heaps[fate], reverse=True)[:quota])
        ]
        return [place for _, _, place in sorted(ranked)]


def shared_out(most: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """Equal shares of `most`; what a small one does not need goes to the others.

    >>> shared_out(10, {"kept": 900, "dropped": 30, "failed": 2})
    {'failed': 2, 'dropped': 4, 'kept': 4}
    """
    quotas: dict[str, int] = {}
    left = most
    for number, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: (item[1], item[0]))):
        quotas[name] = min(size, left // (len(sizes) - number))
        left -= quotas[name]
    return quotas
