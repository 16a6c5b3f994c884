"""Encoding saved by sharing: how many of the clips shown in a micro-batch of episodes the tower encodes, and the time that saves.

PYTHONPATH=.:tests .venv/bin/python tests/bench/sharing.py
"""

import random
import time
from collections.abc import Sequence

import numpy as np
import torch

from builders import a_clip
from engine.config import Episodes
from engine.episodes.build import Maker, shot_of
from engine.rows import Clip, Episode
from models.base import Device, FinetuneSpec, ModelSpec, Sample, Trainee, Turn, Video
from models.registry import trainee
from worlds import narrators, shapes

ROWS = (8, 32, 128)


def narrated_world() -> list[Clip]:
    """The clips of `make icl` before its split: 600 videos, 300 of them narrated by each of 32 narrators."""
    scenes = narrators.scenes(0, 600)
    clips = []
    for number in range(32):
        for index in random.Random(f"0/told/{number}").sample(range(600), 300):
            verb, noun = shapes.ACTIONS[scenes[index].name][0], f"{scenes[index].colour} {scenes[index].noun}"
            clips.append(a_clip(f"{index}/{number}", video=f"{index}.mp4", verb=verb, noun=noun, narrator=str(number)))
    return clips


def archive() -> list[Clip]:
    """100,000 clips of one narrator, with a long tail of 100 verbs and 500 nouns."""
    rng = random.Random(0)
    weights = [[1 / (rank + 1) for rank in range(number)] for number in (100, 500)]
    drawn = (rng.choices(range(len(weight)), weight, k=100_000) for weight in weights)
    return [a_clip(str(i), verb=f"v{verb}", noun=f"n{noun}") for i, (verb, noun) in enumerate(zip(*drawn, strict=True))]


def samples_of(episodes: Sequence[Episode], video_of: dict[str, str], shared: bool) -> tuple[list[Sample], int]:
    """Samples, and the number of clips to encode: each clip once (`shared`), or each time that it is shown."""
    numbers: dict[tuple[str, int], int] = {}
    samples: list[Sample] = []
    for episode in episodes:
        names = [name.removesuffix("/narration") for name in (*episode.context, episode.query)]
        keys = [(video_of[name], 0 if shared else len(numbers) + i) for i, name in enumerate(names)]
        samples.append([Turn(numbers.setdefault(key, len(numbers)), "What happens?", "The dax zups.") for key in keys])
    return samples, len(numbers)


def seconds(student: Trainee, samples: Sequence[Sample], clips: int) -> float:
    videos = [Video(np.zeros((8, 48, 48, 3), np.uint8), (0.0,) * 8)] * clips
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        batch = student.batch(videos, samples)
        del batch["labels"]
        student.module(**batch).logits.float().mean().backward()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    torch.set_num_threads(1)
    spec = ModelSpec(base="tiny", shot_frames=4, shot_shape=(2, 1, 1))
    student = trainee(spec, FinetuneSpec(rank=8, alpha=8, dropout=0), 0, Device("cpu", "float32"))
    print("clips encoded / clips shown, and the time of a forward and backward pass of the tiny model, shared / not")
    for name, clips in (("narrated world", narrated_world()), ("archive", archive())):
        video_of = {clip.clip_id: clip.video for clip in clips}
        for shots in ((16,), (0, 1, 2, 4, 8, 16)):
            episodes = list(Maker([shot_of(clip) for clip in clips], Episodes(shots=shots), 0).epoch(0))
            random.Random(0).shuffle(episodes)
            for rows in ROWS:
                shown = encoded = 0
                for start in range(0, min(len(episodes), rows * 20), rows):
                    batch = episodes[start : start + rows]
                    shown += samples_of(batch, video_of, shared=False)[1]
                    encoded += samples_of(batch, video_of, shared=True)[1]
                what = "16 shots" if len(shots) == 1 else "mixed shots"
                line = f"{name:15} {what:12} micro-batch {rows:4}: {encoded:6} / {shown:6} = {encoded / shown:.3f}"
                if rows == 8:
                    once, each = (seconds(student, *samples_of(episodes[:rows], video_of, shared)) for shared in (True, False))
                    line += f"   {once:.2f} s / {each:.2f} s = {once / each:.2f}"
                print(line, flush=True)


if __name__ == "__main__":
    main()
