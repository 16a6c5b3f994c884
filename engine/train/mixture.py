"""In which order a finetune is fed its rows, and how often each: pure functions."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice


@dataclass(frozen=True)
class Stream:
    """One source of the mixture: Stream(weight=0.5, passes=[[0, 1, 2]]).

    A row is its number among all that a finetune may be fed. A source may differ from pass to pass, as episodes do: then each pass
    has its own rows, as many as the others; the first pass follows the last one.
    """

    weight: float
    """How often each row is fed in an epoch."""
    passes: Sequence[Sequence[int]]


def order(streams: Sequence[Stream], epochs: float, batch_rows: int, seed: int) -> list[list[int]]:
    """Rows of each optimizer step: shuffled epochs, end to end, cut into batches; the last one is what is left, at least one row.

    In an epoch each stream gives weight x rows: its passes are shuffled one by one and laid end to end, and an epoch continues
    where the last one stopped. A pure function of its arguments. Raises ValueError where no stream has a row and a weight.

    >>> [len(step) for step in order([Stream(1.0, [range(9)])], 2.0, 4, seed=0)]
    [4, 4, 4, 4, 2]
    >>> sorted(order([Stream(1.0, [[0, 1]]), Stream(2.0, [[7], [8]])], 1.0, 4, seed=0)[0])
    [0, 1, 7, 8]
    """
    streams = [stream for stream in streams if stream.weight and stream.passes and len(stream.passes[0])]
    if not streams:
        raise ValueError("all sources that [mixture] gives a weight above 0 are empty, so there is nothing to train on")
    num_rows = sum(stream.weight * len(stream.passes[0]) for stream in streams)
    total = max(1, round(epochs * num_rows))
    sources = [_endless(stream, f"{seed}/{number}") for number, stream in enumerate(streams)]
    fed: list[int] = []
    epoch = 0
    while len(fed) < total:
        rows: list[int] = []
        for stream, source in zip(streams, sources, strict=True):
            rows_per_epoch = stream.weight * len(stream.passes[0])
            rows += islice(source, int(rows_per_epoch * (epoch + 1)) - int(rows_per_epoch * epoch))
        random.Random(f"{seed}/{epoch}").shuffle(rows)
        fed += rows
        epoch += 1
    return [fed[start : min(start + batch_rows, total)] for start in range(0, total, batch_rows)]


def _endless(stream: Stream, seed: str) -> Iterator[int]:
    """The stream's passes, each shuffled, for ever."""
    for number in count():
        rows = list(stream.passes[number % len(stream.passes)])
        random.Random(f"{seed}/{number}").shuffle(rows)
        yield from rows


def share(step: Sequence[int], rank: int, world_size: int, micro_batch_rows: int) -> list[list[int]]:
    """A rank's micro-batches of a step: every world_size-th row. All ranks have as many, of which the last may be empty.

    >>> share([5, 6, 7, 8], rank=1, world_size=2, micro_batch_rows=1)
    [[6], [8]]
    >>> share([5, 6, 7], rank=1, world_size=2, micro_batch_rows=1)
    [[6], []]
    """
    rows_of_rank = list(step[rank::world_size])
    most = len(step[::world_size])  # of rank 0
    return [rows_of_rank[start : start + micro_batch_rows] for start in range(0, most, micro_batch_rows)]
