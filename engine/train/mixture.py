"""Which examples a finetune sees, and in which order: pure functions."""

import hashlib
import math
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from engine.rows import Attempt, Clip, Example, Mode


def select(clips: Sequence[Clip], attempts: Sequence[Attempt], modes: frozenset[Mode], train_prompt: str) -> list[Example]:
    """One example per clip with a kept attempt: the latest cycle's, a direct one before a rationalized one; in the clips' order."""
    kept: dict[str, Attempt] = {}
    for attempt in attempts:
        if attempt.outcome == "kept" and attempt.mode in modes:
            kept[attempt.clip_id] = max(
                attempt, kept.get(attempt.clip_id, attempt), key=lambda one: (one.cycle, one.mode == "direct")
            )
    return [_example(clip, kept[clip.clip_id], train_prompt) for clip in clips if clip.clip_id in kept]


def _example(clip: Clip, attempt: Attempt, train_prompt: str) -> Example:
    return Example(
        example_id=f"{clip.clip_id}/{attempt.cycle}/{attempt.mode}",
        clip_id=clip.clip_id,
        video=clip.video,
        start_s=clip.start_s,
        end_s=clip.end_s,
        prompt=train_prompt.replace("{question}", clip.question),
        answer=attempt.text,
        source="star",
        cycle=attempt.cycle,
        mode=attempt.mode,
        seed=attempt.seed,
        model=attempt.model,
        etag=attempt.etag,
    )


def from_template(clips: Sequence[Clip], template: str, train_prompt: str) -> list[Example]:
    """Every label in a fixed sentence: plain finetuning, the baseline."""
    return [
        Example(
            example_id=f"{clip.clip_id}/template",
            clip_id=clip.clip_id,
            video=clip.video,
            start_s=clip.start_s,
            end_s=clip.end_s,
            prompt=train_prompt.replace("{question}", clip.question),
            answer=template.replace("{label}", clip.label.text),
            source="template",
        )
        for clip in clips
    ]


class Limit:
    """Which examples stay where a label may have so many at most: those of the smallest hash with the seed. 16 bytes each."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._labels, self._ranks = array("Q"), array("Q")
        self._last: dict[int, int] = {}
        """The highest rank that stays, by label."""

    def add(self, label: str, clip_id: str) -> None:
        self._labels.append(_hash(label))
        self._ranks.append(_hash(f"{self._seed}/{clip_id}"))

    def settle(self, max_per_label: int | None, balance: bool) -> None:
        labels, ranks = np.frombuffer(self._labels, np.uint64), np.frombuffer(self._ranks, np.uint64)
        order = np.lexsort((ranks, labels))
        found, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
        most = min(max_per_label or len(labels), math.ceil(float(np.median(sizes))) if balance and len(sizes) else len(labels))
        self._last = {
            int(label): int(ranks[order[start + min(most, size) - 1]])
            for label, start, size in zip(found, starts, sizes, strict=True)
        }

    def keeps(self, label: str, clip_id: str) -> bool:
        return _hash(f"{self._seed}/{clip_id}") <= self._last[_hash(label)]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True)
class Stream:
    """One source of the mixture: Stream(weight=0.5, passes=[[0, 1, 2]]).

    A row is its number among all that a finetune may be fed. Where a source differs from pass to pass, as episodes do, each pass
    has its own rows, as many as the others; after the last comes the first.
    """

    weight: float
    """How often each row is seen in an epoch."""
    passes: Sequence[Sequence[int]]


def order(streams: Sequence[Stream], epochs: float, batch_rows: int, seed: int) -> list[list[int]]:
    """Rows of each optimizer step: shuffled epochs, end to end, cut into full batches; at least one step.

    In an epoch each stream gives weight x rows: its passes are shuffled one by one and laid end to end, and an epoch goes on where
    the last one stopped. A pure function of its arguments; the last step is filled up from the next epoch.

    >>> [len(step) for step in order([Stream(1.0, [range(10)])], 2.0, 4, seed=0)]
    [4, 4, 4, 4, 4]
    >>> sorted(order([Stream(1.0, [[0, 1]]), Stream(2.0, [[7], [8]])], 1.0, 4, seed=0)[0])
    [0, 1, 7, 8]
    """
    streams = [stream for stream in streams if stream.weight and stream.passes and len(stream.passes[0])]
    num_rows = sum(stream.weight * len(stream.passes[0]) for stream in streams)
    num_steps = max(1, -(-round(epochs * num_rows) // batch_rows))
    sources = [_endless(stream, f"{seed}/{number}") for number, stream in enumerate(streams)]
    fed: list[int] = []
    epoch = 0
    while len(fed) < num_steps * batch_rows:
        rows: list[int] = []
        for stream, source in zip(streams, sources, strict=True):
            share_of_epoch = stream.weight * len(stream.passes[0])
            rows += islice(source, int(share_of_epoch * (epoch + 1)) - int(share_of_epoch * epoch))
        random.Random(f"{seed}/{epoch}").shuffle(rows)
        fed += rows
        epoch += 1
    return [fed[i * batch_rows : (i + 1) * batch_rows] for i in range(num_steps)]


def _endless(stream: Stream, seed: str) -> Iterator[int]:
    for number in count():
        rows = list(stream.passes[number % len(stream.passes)])
        random.Random(f"{seed}/{number}").shuffle(rows)
        yield from rows


def share(step: Sequence[int], rank: int, world_size: int, micro_batch_rows: int) -> list[list[int]]:
    """A rank's micro-batches of a step: every world_size-th row.

    >>> share([5, 6, 7, 8], rank=1, world_size=2, micro_batch_rows=1)
    [[6], [8]]
    """
    mine = list(step[rank::world_size])
    return [mine[i : i + micro_batch_rows] for i in range(0, len(mine), micro_batch_rows)]
