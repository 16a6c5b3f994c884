"""A rank's micro-batches: rows of windows go out, are decoded beside the rank, and come back in order as what the model takes."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine.generate.seeds import derive_seed
from engine.rows import Failure, Unused
from engine.train.batches import Material
from engine.train.job import Fed, TrainJob
from engine.train.mixture import share
from models.base import FrameSpec, Trainee, Turn, Video

Row = dict[str, Any]
Decode = Callable[[Iterable[Row], FrameSpec], Iterator[tuple[Row, list[Video | Failure]]]]
"""Rows of windows -> the same rows in order, each with one video for each of its windows, or why there is none."""
NOTHING = [Turn(None, "?", ".", learned=False)]
"""In place of the samples of a micro-batch of which none can be used: the ranks have to run the same layers."""


@dataclass(frozen=True)
class Share:
    """What one rank does of a finetune: its micro-batches of each optimizer step."""

    steps: list[list[int]]
    """Rows of each optimizer step, over all ranks."""
    rank: int
    world_size: int
    micro_batch_rows: int

    def micro_batches(self, step: int) -> list[list[int]]:
        return share(self.steps[step], self.rank, self.world_size, self.micro_batch_rows)


@dataclass(frozen=True)
class Prepared:
    """A micro-batch as the model takes it, the counts of what it consists of, and what it had to leave out."""

    batch: dict[str, Any]
    fed: Fed
    unused: list[Unused]


def micro_batches(
    job: TrainJob, material: Material, work: Share, steps: Sequence[int], student: Trainee, decode: Decode
) -> Iterator[Prepared]:
    """The rank's micro-batches of these steps, in order.

    A sample whose query cannot be decoded, or that is too long, is left out, and a shot that cannot be decoded is left out of its
    sample. A micro-batch of which nothing is left still runs all layers, without loss: ZeRO-3 waits for ever otherwise.
    """
    for row, results in decode(_window_rows(job.seed, material, work, steps), student.frames):
        samples = [[Turn(**turn) for turn in sample] for sample in json.loads(row["samples"])]
        sieve = Sieve(student, results)
        for sample, example_ids in zip(samples, json.loads(row["example_ids"]), strict=True):
            sieve.add(sample, example_ids)
        yield Prepared(student.batch(sieve.videos, sieve.kept or [NOTHING]), sieve.fed(), sieve.unused)


@dataclass
class Sieve:
    """Keeps of a micro-batch's samples what can be shown to the model."""

    student: Trainee
    results: Sequence[Video | Failure]
    kept: list[list[Turn]] = field(default_factory=list)
    """Their turns name the clips by their place among `videos`."""
    unused: list[Unused] = field(default_factory=list)
    undecodable: int = 0
    too_long: int = 0
    shots_lost: int = 0

    def __post_init__(self) -> None:
        usable = [number for number, result in enumerate(self.results) if isinstance(result, Video)]
        self._places = {number: place for place, number in enumerate(usable)}
        self.videos = [result for result in self.results if isinstance(result, Video)]

    def add(self, sample: Sequence[Turn], example_ids: Sequence[str]) -> None:
        lost = [place for place, turn in enumerate(sample) if turn.clip is not None and turn.clip not in self._places]
        for place in lost:
            failure = self.results[sample[place].clip or 0]
            assert isinstance(failure, Failure)
            self.unused.append(Unused(example_id=example_ids[place], reason=failure.kind, detail=failure.detail))
        last_shown = max((place for place, turn in enumerate(sample) if turn.clip is not None), default=-1)
        if last_shown in lost:
            self.undecodable += 1
            return
        self.shots_lost += len(lost)
        turns = [
            replace(turn, clip=None if turn.clip is None else self._places[turn.clip])
            for place, turn in enumerate(sample)
            if place not in lost
        ]
        if reason := self.student.too_long(self.videos, turns):
            self.too_long += 1
            self.unused.append(Unused(example_id=example_ids[-1], reason="too_long", detail=reason))
            return
        self.kept.append(turns)

    def fed(self) -> Fed:
        clips = [turn.clip for sample in self.kept for turn in sample if turn.clip is not None]
        return Fed(
            undecodable=self.undecodable,
            shots_lost=self.shots_lost,
            shown=len(clips),
            encoded=len({*clips}),
            too_long=self.too_long,
        )


def _window_rows(seed: int, material: Material, work: Share, steps: Sequence[int]) -> Iterator[Row]:
    """What decode_windows takes; "samples" and "example_ids" travel along. Values are JSON: Ray Data keeps rows as Arrow."""
    for step in steps:
        for rows in work.micro_batches(step):
            micro_batch = material.micro_batch(rows)
            seeds = [None if name is None else derive_seed(seed, step, name, "direct") for name in micro_batch.jitter_ids]
            yield {
                "windows": json.dumps([asdict(window) for window in micro_batch.windows]),
                "jitter_seeds": json.dumps(seeds),
                "samples": json.dumps([[asdict(turn) for turn in sample] for sample in micro_batch.samples]),
                "example_ids": json.dumps(micro_batch.example_ids),
            }
