"""The loop in one process, without Ray and without files of videos: what experiments on made-up worlds consist of.

A clip's video is named by its scene, "shapes/WORLD/INDEX" or "narrated/WORLD/INDEX", and rendered where it is shown.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import torch
from transformers.utils.logging import disable_progress_bar

from builders import DECODING, a_train_job, an_attempt
from engine.config import Mixture, Train
from engine.decode.resize import square
from engine.generate import prompts
from engine.generate.grounding import Readings
from engine.generate.seeds import derive_seed
from engine.presets import load_config
from engine.rows import EXAMPLES, Answer, Attempt, Clip, Example, Mode, names_of
from engine.run.rehearsal import Records
from engine.store.files import Store
from engine.train.job import Rank, TrainJob
from engine.train.processes import run_ranks
from engine.train.worker import finetune_rank
from engine.verify.verdict import VerifySpec, verify
from models.base import Device, FrameSpec, ModelSpec, Sampling, Video, VideoLLM
from models.tiny.build import IMAGE_SIZE, NUM_FRAMES
from worlds import narrators, shapes

disable_progress_bar()
CPU, TINY = Device("cpu", "float32"), ModelSpec(base="tiny")
PIECE, COMPARED, TIMEOUT_S, NUM_NARRATED = 25, 4, 1800, 600
SAMPLING, WORDING = Sampling(temperature=0.0, max_tokens=48), prompts.STRICT
CONFIG = Path(__file__).parents[1] / "jobs" / "configs" / "demo.toml"
MOTIONS = {name: motion for name, (_, motion) in shapes.ACTIONS.items()}


def clips_of(world: int, count: int) -> list[Clip]:
    clips = [shapes.clip(shapes.scene(world, index), f"shapes/{world}/{index}", "train") for index in range(count)]
    return [replace(clip, clip_id=clip.video) for clip in clips]


@lru_cache(maxsize=4096)
def video_of(name: str, num_frames: int = NUM_FRAMES) -> Video:
    kind, world, index = name.split("/")
    scene = narrated_scenes(int(world))[int(index)] if kind == "narrated" else shapes.scene(int(world), int(index))
    times_s = tuple((number + 0.5) / num_frames for number in range(num_frames))
    shown = [av.VideoFrame.from_ndarray(shapes.render(scene, time_s), format="rgb24") for time_s in times_s]
    return Video(np.stack([square(frame, IMAGE_SIZE) for frame in shown]), times_s)


@cache
def narrated_scenes(world: int) -> list[shapes.Scene]:
    return narrators.scenes(world, NUM_NARRATED)


def verdict(clip: Clip, mode: Mode, text: str) -> str:
    return "kept" if verify(text, clip.question, clip.label, mode, True, VerifySpec(preset="strict")).keep else "rejected"


def answers_of(llm: VideoLLM, clips: Sequence[Clip], seed: int, hints: bool, reads: bool = True) -> list[Attempt]:
    """The attempts at clips, a piece after another; with `hints` where the direct one is rejected, with `reads` their grounding."""
    pieces = [clips[start : start + PIECE] for start in range(0, len(clips), PIECE)]
    return [attempt for piece in pieces for attempt in _of_piece(llm, piece, seed, ("direct", "rationalized")[: 1 + hints], reads)]


def _of_piece(llm: VideoLLM, clips: Sequence[Clip], seed: int, modes: Sequence[Mode], reads: bool) -> list[Attempt]:
    watched = llm.watch([video_of(clip.video, llm.frames.choose.num_frames) for clip in clips], reads)  # type: ignore[union-attr]
    attempts: list[list[Attempt]] = [[] for _ in clips]
    waiting: Sequence[int] = range(len(clips))
    for mode in modes:
        futures = []
        for number in waiting:
            clip = clips[number]
            direct = prompts.answer_prompt(WORDING, clip.question)
            prompt = direct if mode == "direct" else prompts.rationalize_prompt(WORDING, clip.question, clip.label)
            own = derive_seed(seed, 0, clip.clip_id, mode)
            futures.append((number, own, watched.ask(number, prompt, own, SAMPLING)))
        rejected = []
        for number, own, future in futures:
            text, clip = future.result().text, clips[number]
            outcome = verdict(clip, mode, text)
            attempts[number].append(an_attempt(clip.clip_id, mode=mode, text=text, outcome=outcome, seed=own))
            if outcome == "rejected" and mode != modes[-1]:
                rejected.append(number)
            else:
                watched.leave(number)
        waiting = rejected
    if reads:
        readings = Readings.of(clips, attempts, COMPARED, seed, WORDING)
        attempts = readings.grounded(watched.score(readings.passages))
    watched.close()
    return [attempt for of_clip in attempts for attempt in of_clip]


def as_answers(attempts: Iterable[Attempt]) -> list[Answer]:
    """What select reads of attempts."""
    return [Answer.from_row({name: attempt.to_row()[name] for name in names_of(Answer)}) for attempt in attempts]


def demo_settings() -> Train:
    """The demo's finetune."""
    return load_config(CONFIG, ["model.allow_tiny=true"]).train


def trained(examples: Sequence[Example], train: Train, seed: int, model: ModelSpec = TINY) -> ModelSpec:
    """The model with an adapter that a finetune of the examples made, in a process of its own."""
    store = a_store(examples)
    return finetuned(a_train_job(store, train, seed=seed, mixture=Mixture(), decoding=DECODING, model=model, out="train"))


def a_store(examples: Sequence[Example]) -> Store:
    store = Store(tempfile.mkdtemp(prefix="starloop-laboratory-"))
    store.write_table("examples.parquet", pa.Table.from_pylist([row.to_row() for row in examples], schema=EXAMPLES))
    return store


def finetuned(job: TrainJob) -> ModelSpec:
    list(run_ranks(1, CPU, _finetune, [job], TIMEOUT_S))
    return replace(job.model, adapter=job.store.url(f"{job.out}/model"))


def _finetune(rank: Rank, job: TrainJob) -> float | None:
    torch.set_num_threads(1)
    records = Records()
    finetune_rank(job, rank, _feed, records)  # type: ignore[arg-type]  # no row has a failure
    return records.losses[-1]


def _feed(rows: Iterable[dict[str, Any]], frames: FrameSpec) -> Iterator[tuple[dict[str, Any], list[Video]]]:
    """In place of decoding."""
    for row in rows:
        yield row, [video_of(window["video"], frames.choose.num_frames) for window in json.loads(row["windows"])]  # type: ignore[union-attr]
