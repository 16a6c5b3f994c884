"""A rank's micro-batches: rows of windows go out, are decoded beside the rank, and come back in order as what the model takes."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.generate.seeds import derive_seed
from engine.train.batches import Material
from engine.train.job import Fed, TrainJob
from engine.train.mixture import share
from models.base import Evenly, FrameSpec, Square, Trainee, Turn, Video

Row = dict[str, Any]
Decode = Callable[[Iterable[Row], FrameSpec], Iterator[tuple[Row, list[Video | None]]]]
"""Rows of windows -> the same rows in order, each with one video for each of its windows; None where there is no usable one."""


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


def micro_batches(
    job: TrainJob, material: Material, work: Share, steps: Sequence[int], student: Trainee, decode: Decode
) -> Iterator[tuple[dict[str, Any], Fed]]:
    """The rank's micro-batches of these steps, in order, each with the counts of what it consists of.

    A sample whose query's video has gone since it was generated keeps its place, as black frames without loss: every rank must run
    the same modules each step, or ZeRO-3 waits for ever. A shot whose video has gone is left out.
    """
    for row, videos in decode(_window_rows(job.seed, material, work, steps), student.frames):
        samples = [[Turn(**turn) for turn in sample] for sample in json.loads(row["samples"])]
        usable = [video is not None for video in videos]
        kept = [[turn for turn in sample if usable[turn.clip] or turn is sample[-1]] for sample in samples]
        blank = blank_video(student.frames)
        batch = student.batch([video or blank for video in videos], kept, job.loss_on)
        lost = [not usable[sample[-1].clip] for sample in samples]
        batch["labels"][lost] = -100
        shown = sum(map(len, kept))
        yield (
            batch,
            Fed(
                undecodable=sum(lost),
                shots_lost=sum(map(len, samples)) - shown,
                shown=shown,
                encoded=len({turn.clip for sample in kept for turn in sample}),
            ),
        )


def _window_rows(seed: int, material: Material, work: Share, steps: Sequence[int]) -> Iterator[Row]:
    """What decode_windows takes; "samples" travels along. Values are JSON: Ray Data keeps rows as Arrow."""
    for step in steps:
        for rows in work.micro_batches(step):
            micro_batch = material.micro_batch(rows)
            seeds = [None if name is None else derive_seed(seed, step, name, "direct") for name in micro_batch.jitter_ids]
            yield {
                "windows": json.dumps([asdict(window) for window in micro_batch.windows]),
                "jitter_seeds": json.dumps(seeds),
                "samples": json.dumps([[asdict(turn) for turn in sample] for sample in micro_batch.samples]),
            }


def blank_video(spec: FrameSpec) -> Video:
    """Black frames, as few and as small as the model watches.

    >>> from models.base import KeepAspect, PerSecond
    >>> blank_video(FrameSpec(choose=Evenly(2), size=Square(4))).frames.shape
    (2, 4, 4, 3)
    >>> choose = PerSecond(rate=2, min_frames=3, max_frames=9, multiple=2)
    >>> video = blank_video(FrameSpec(choose=choose, size=KeepAspect(min_pixels=900, max_pixels=9000, multiple_px=28)))
    >>> video.frames.shape, video.times_s
    ((4, 56, 56, 3), (0.0, 0.5, 1.0, 1.5))
    """
    choose, size = spec.choose, spec.size
    if isinstance(choose, Evenly):
        num_frames, rate = choose.num_frames, 1.0
    else:
        num_frames, rate = -(-choose.min_frames // choose.multiple) * choose.multiple, choose.rate
    if isinstance(size, Square):
        side_px = size.size_px
    else:
        side_px = math.ceil(math.sqrt(size.min_pixels) / size.multiple_px) * size.multiple_px
    frames = np.zeros((num_frames, side_px, side_px, 3), np.uint8)
    return Video(frames, tuple(number / rate for number in range(num_frames)))
