"""EILEV's context sampler: half of the shots share the query's verb, half its noun, and none is the query's own action.

A draw costs O(shots log clips), not a scan of buckets: clips are sorted by (verb, noun) and by (noun, verb), so that "same verb,
another noun" is a range with one hole. Clips of the query's own video are excluded by rejection where that is cheap, and else by
drawing from the others only: what rejection would return is uniform over the same clips.
"""

import random
from collections.abc import Sequence, Set
from functools import cached_property
from typing import Literal

from engine.episodes.footage import Footage
from engine.episodes.orders import Bucket, Order, VideoIndex
from engine.episodes.pools import Pool, total_size
from engine.rows import Role

OTHER = "[other]"
"""Ego4D's verb for clips that have no verb class: it is not a verb that two clips share."""
Contexts = Literal["bursty", "random"]
Exclude = Literal["nothing", "overlap", "video"]
Drawn = list[tuple[int, Role]]
"""Clip numbers, each with why it was drawn."""
MAX_DRAWS_PER_SHOT, SMALL_POOL = 8, 64
"""Clips are excluded by rejection where that takes at most so many draws per shot, on average, or where the pool is small."""


class Sampler:
    """Draws contexts from a fixed set of clips. Building it sorts them; a draw then looks at little more than what it returns."""

    def __init__(
        self,
        clips: Sequence[Footage],
        verb_noun_ratio: float = 0.5,
        contexts: Contexts = "bursty",
        exclude: Exclude = "nothing",
    ) -> None:
        """`exclude`: which clips of the query's own video cannot be shots: none (published), those that overlap it, or all."""
        self._clips, self._ratio, self._contexts, self._exclude = clips, verb_noun_ratio, contexts, exclude
        self._by_verb, self._by_noun = Order.by("verb", clips), Order.by("noun", clips)
        self._everything = 0, len(clips)
        self._place = self._by_verb.places()

    def draw(self, query: Footage, shots: int, rng: random.Random, number: int | None = None) -> Drawn:
        """The context of a query, in random order; shorter than `shots` if too few clips can be drawn.

        `number`: the query's own, if it is one of the sampler's clips.
        """
        bursty = self._contexts == "bursty"
        drawn = self._bursty(query, shots, rng) if bursty else self._random(query, shots, rng, number)
        rng.shuffle(drawn)
        return drawn

    def _random(self, query: Footage, shots: int, rng: random.Random, number: int | None) -> Drawn:
        """The ablation: any clips but the query, even of its own action."""
        own = [] if number is None else [(self._place[number], self._place[number] + 1)]
        pool = self._pool(query, Bucket(self._by_verb, self._everything, own), shots)
        return [(i, "random") for i in pool.take(shots, rng)]

    def _bursty(self, query: Footage, shots: int, rng: random.Random) -> Drawn:
        same_verb = same_noun = _EMPTY
        own_action = self._by_verb.actions.get(query.action, (0, 0))
        if query.verb not in ("", OTHER):
            same_verb = self._pool(query, Bucket(self._by_verb, self._by_verb.words.get(query.verb, (0, 0)), [own_action]), shots)
        if query.noun:
            hole = self._by_noun.actions.get(query.action, (0, 0))
            same_noun = self._pool(query, Bucket(self._by_noun, self._by_noun.words.get(query.noun, (0, 0)), [hole]), shots)
        drawn: Drawn = []
        need = shots
        while need > 0 and (same_verb.left or same_noun.left):
            both = same_verb.left and same_noun.left
            of_verb = int(need * self._ratio) if both else need if same_verb.left else 0
            verbs = same_verb.take(of_verb, rng)
            nouns = same_noun.take(need - of_verb, rng)
            drawn += [(i, "verb") for i in verbs]
            drawn += [(i, "noun") for i in nouns]
            need = shots - len(drawn)
        if need > 0:
            taken = {i for i, _ in drawn}
            places = ((self._place[i], self._place[i] + 1) for i in taken)  # outside of own_action: no clip of it is drawn
            rest = self._pool(query, Bucket(self._by_verb, self._everything, sorted([own_action, *places])), need, taken)
            drawn += [(i, "rest") for i in rest.take(need, rng)]
        return drawn

    def _pool(self, query: Footage, bucket: Bucket, shots: int, taken: Set[int] = frozenset()) -> Pool:
        """The clips of a bucket that can be shots, ready for `shots` draws. `taken`: clips that are in the context already.

        Rejecting each clip of the query's own video would scan the whole pool, for each query, if hardly any other clip is in it.
        """
        runs, clips = bucket.runs(), self._clips
        if self._exclude == "nothing":
            return Pool(runs)
        num_clips = total_size(runs)
        rejection_limit = num_clips / MAX_DRAWS_PER_SHOT
        if num_clips > SMALL_POOL and rejection_limit > shots and num_clips - self._videos.num_clips(query.video) < rejection_limit:
            usable_runs = bucket.runs(self._videos.places(query.video, bucket.order))
            if self._exclude == "overlap" and total_size(usable_runs) < rejection_limit:
                other_than = query.action if self._contexts == "bursty" else None
                usable_runs += self._videos.timeline(query.video, bucket).apart_from(query, other_than)
            if total_size(usable_runs) < rejection_limit:
                return Pool(usable_runs, lambda i: i not in taken)  # rejects len(taken) clips at most
        if self._exclude == "video":
            return Pool(runs, lambda i: clips[i].video != query.video)
        return Pool(runs, lambda i: not query.overlaps(clips[i]))

    @cached_property
    def _videos(self) -> VideoIndex:
        return VideoIndex(self._clips)


_EMPTY = Pool(())
