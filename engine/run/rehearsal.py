"""Three optimizer steps of a configuration's training on a shrunk model, on this machine's CPU, before a GPU is asked for.

The ranks run the code of real training: its DeepSpeed section, its worker, its checkpoints. Only the videos are synthetic, and the
model is a few megabytes of random weights in the architecture of model.base. No Ray is started: ranks are processes of this machine.
"""

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pyarrow as pa

from engine.config import Mixture, RunConfig, Train
from engine.flow import Row
from engine.rows import EXAMPLES, Example
from engine.run.work import decoding_of
from engine.store.files import Store
from engine.train.backends import load_backend
from engine.train.feed import blank_video
from engine.train.job import Rank, StepRecord, TrainJob
from models.base import Device, FrameSpec, ModelSpec, Sampling, Video
from models.registry import load
import models.registry as _r

shrink = getattr(_r, "shrink", None)  # TEMP

STEPS, CHECKPOINT_STEP = 3, 2
ACCUMULATED = 2
"""Micro-batches of a rank's optimizer step at most: two are enough to add gradients up."""
TIMEOUT_S = 240.0
DEVICE = Device("cpu", "bfloat16")
"""The precision of a GPU, where everybody has one."""


@dataclass(frozen=True)
class Outcome:
    """What came of one rehearsal."""

    name: str
    losses: list[float] = field(default_factory=list)
    answer: str = ""
    """What the model with the new adapter says in bfloat16."""
    problem: str = ""
    """One line; "" where all went well."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the ranks are given."""

    name: str
    model: ModelSpec
    train: Train
    store: Store


def rehearse(config: RunConfig, timeout_s: float = TIMEOUT_S) -> Iterator[Outcome]:
    """With one rank, then with two. Leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="starloop-rehearsal-") as folder:
        spec = shrink(config.spec(config.model.base), Path(folder) / "base", config.run.seed)
        for world_size in (1, 2):
            case = Case(
                name=_name(config.train, world_size),
                model=spec,
                train=rehearsed(config.train, world_size),
                store=Store(f"{folder}/{world_size}"),
            )
            yield from run_cases([case], world_size, timeout_s)


def _name(train: Train, world_size: int) -> str:
    parts = [f"{world_size} worker{'s' if world_size > 1 else ''}", f"ZeRO stage {train.zero_stage}", DEVICE.dtype]
    parts += ["offload"] if train.offload else []
    parts += ["gradient checkpointing"] if train.gradient_checkpointing else []
    return ", ".join(parts)


def rehearsed(train: Train, world_size: int) -> Train:
    """The section for so few workers and steps; what DeepSpeed is told besides stays as it is.

    >>> train = rehearsed(Train(num_workers=8, batch_rows=128, micro_batch_rows=4, zero_stage=3), 2)
    >>> train.batch_rows, train.micro_batch_rows, train.zero_stage
    (16, 4, 3)
    """
    at_once = train.micro_batch_rows * world_size
    accumulated = min(ACCUMULATED, train.batch_rows // (train.micro_batch_rows * train.num_workers))
    return train.model_copy(
        update={
            "num_workers": world_size,
            "batch_rows": at_once * accumulated,
            "epochs": 1.0,
            "checkpoint_every_steps": CHECKPOINT_STEP,
        }
    )


def run_cases(cases: list[Case], world_size: int, timeout_s: float) -> Iterator[Outcome]:
    """One after another in the same processes: importing torch and DeepSpeed takes longer than a case."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        receiver, sender = context.Pipe(duplex=False)
        ranks = [Rank(number, world_size, number) for number in range(world_size)]
        processes = [context.Process(target=_run_rank, args=(rank, cases, folder, sender), daemon=True) for rank in ranks]
        for process in processes:
            process.start()
        sender.close()
        try:
            yield from _outcomes(cases, receiver, processes, time.monotonic() + timeout_s)
        finally:
            for process in processes:
                process.kill()
                process.join()


def _outcomes(cases: list[Case], receiver: Connection, processes: list[BaseProcess], deadline: float) -> Iterator[Outcome]:
    for case in cases:
        if not receiver.poll(max(0.0, deadline - time.monotonic())):
            yield Outcome(case.name, problem="the ranks were still busy when the time was up; they may wait for each other")
            return
        try:
            outcome: Outcome = receiver.recv()
        except EOFError:
            codes = ", ".join(str(process.exitcode) for process in processes)
            yield Outcome(case.name, problem=f"a rank died without a word; exit codes {codes}")
            return
        yield outcome
        if outcome.problem:
            return


def _run_rank(rank: Rank, cases: list[Case], folder: str, sender: Connection) -> None:
    """A rank's process."""
    os.environ.update(load_backend("deepspeed").environment(DEVICE))
    os.environ.update(RANK=str(rank.rank), WORLD_SIZE=str(rank.world_size), LOCAL_RANK=str(rank.local_rank))
    with open(f"{folder}/log-{rank.rank}", "w") as log:  # DeepSpeed and torch print
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
    import torch.distributed

    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank.rank, world_size=rank.world_size
    )
    for case in cases:
        try:
            outcome = _run_case(case, rank)
        except Exception as error:  # of any kind: finding out is what a rehearsal is for
            outcome = Outcome(case.name, problem=_one_line(error))
        if rank.rank == 0 or outcome.problem:
            sender.send(outcome)
        if outcome.problem:
            return


def _one_line(error: Exception) -> str:
    message = " ".join(str(error).split()) or "no message"
    return message if isinstance(error, ValueError) else f"{type(error).__name__}: {message[:300]}"


class _Records:
    """A Listener that keeps what it is told."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.notes: list[str] = []

    def record(self, record: StepRecord) -> None:
        self.losses.append(record.loss)

    def note(self, line: str) -> None:
        self.notes.append(line)


def _run_case(case: Case, rank: Rank) -> Outcome:
    """Train three steps; then continue from the checkpoint of the second one, as after a crash; then answer with the adapter."""
    import torch.distributed

    from engine.train.worker import finetune_rank

    if rank.rank == 0:
        _write_examples(case)
    torch.distributed.barrier()
    job = _job(case)
    first, again = _Records(), _Records()
    finetune_rank(job, rank, _synthetic, first)
    torch.distributed.barrier()
    finetune_rank(job, rank, _synthetic, again)
    if rank.rank > 0:
        return Outcome(case.name)
    if len(first.losses) != STEPS or first.losses[CHECKPOINT_STEP:] != again.losses:
        return Outcome(
            case.name,
            first.losses,
            problem=f"resumed from step {CHECKPOINT_STEP} the loss is {again.losses}, and was {first.losses}",
        )
    if not all(np.isfinite(first.losses)):
        return Outcome(case.name, first.losses, problem=f"the loss is not a number: {first.losses}")
    return Outcome(case.name, first.losses, answer=_answer(replace(case.model, adapter=case.store.url(f"{job.out}/model"))))


def _answer(spec: ModelSpec) -> str:
    model = load(spec, DEVICE)
    watched = model.watch([_random_video(model.frames, seed=0)])
    reply = watched.ask(0, "What happens?", seed=0, sampling=Sampling(temperature=0.0, max_tokens=4))
    watched.leave(0)
    return reply.result().text


def _write_examples(case: Case) -> None:
    rows = [
        Example(
            example_id=f"example-{number}",
            clip_id=f"clip-{number}",
            video=f"clip-{number}.mp4",
            start_s=None,
            end_s=None,
            prompt="What happens?",
            answer=f"It is clip {number}.",
            source="star",
            cycle=0,
            mode="direct",
            seed=0,
            model="",
            etag="",
        ).to_row()
        for number in range(STEPS * case.train.batch_rows)
    ]
    case.store.write_table("examples.parquet", pa.Table.from_pylist(rows, schema=EXAMPLES))


def _job(case: Case) -> TrainJob:
    return TrainJob(
        identity="rehearsal",
        device=DEVICE,
        model=case.model,
        train=case.train,
        store=case.store,
        examples=case.store.describe(["examples.parquet"])[0],
        episodes=None,
        mixture=Mixture(),
        loss_on="query",
        out="train",
        seed=0,
        decoding=decoding_of(RunConfig()),  # for the storage options of the model's files, which are local
        decode_cpus=1.0,
    )


def _synthetic(rows: Iterable[Row], frames: FrameSpec) -> Iterator[tuple[Row, list[Video | None]]]:
    """In place of decoded videos: noise, the same for the same window."""
    for row in rows:
        yield row, [_random_video(frames, seed) for seed in json.loads(row["jitter_seeds"])]


def _random_video(spec: FrameSpec, seed: int) -> Video:
    blank = blank_video(spec)
    noise = np.random.default_rng(seed).integers(0, 256, blank.frames.shape, np.uint8)
    return Video(noise, blank.times_s)
