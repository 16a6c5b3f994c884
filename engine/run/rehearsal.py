"""Three optimizer steps of a configuration's training on a shrunk model, on this machine's CPU, before a GPU is asked for.

The ranks run the code of real training: its DeepSpeed section, its worker, its checkpoints. Only the videos are synthetic, and the
model is a few megabytes of random weights in the architecture of model.base. Ray is not started: ranks are processes of this
machine.
"""

import json
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from engine.config import Mixture, RunConfig, Train
from engine.rows import EXAMPLES, Example, Failure
from engine.run.work import decoding_of
from engine.store.files import Store
from engine.store.weights import local
from engine.train.feed import Row
from engine.train.job import Rank, StepRecord, TrainJob
from engine.train.processes import RankFailed, run_ranks
from models.base import Device, FrameSpec, ModelSpec, PerSecond, Sampling, Video
from models.folders import SMALL_FILES
from models.frames import smallest_shape
from models.registry import check_finetune, load, shrink

STEPS, CHECKPOINT_STEP = 3, 2
ACCUMULATED = 2
"""Most micro-batches of a rank in one optimizer step: two are enough to add gradients up."""
WORLD_SIZES = (1, 2)
TIMEOUT_S = 300.0
"""Of one world size. On two idle cores it takes a tenth of that."""
DEVICE = Device("cpu", "bfloat16")
"""The precision of a GPU, on what every machine has."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the ranks of one rehearsal train."""

    name: str
    model: ModelSpec
    train: Train
    store: Store


@dataclass(frozen=True)
class Outcome:
    """How one rehearsal went."""

    name: str
    losses: list[float] = field(default_factory=list)
    answer: str = ""
    """What the model with the new adapter says, in bfloat16."""
    problem: str = ""
    """One line; "" where nothing is wrong."""


def rehearse(config: RunConfig, world_sizes: Iterable[int] = WORLD_SIZES, timeout_s: float = TIMEOUT_S) -> Iterator[Outcome]:
    """With one rank, then with two. Leaves nothing behind.

    Raises ValueError where model.base has no architecture to be read, or cannot be finetuned so.
    """
    spec = local(config.spec(config.model.base), config.access(), SMALL_FILES)
    with tempfile.TemporaryDirectory(prefix="starloop-rehearsal-") as folder:
        shrunk = shrink(spec, Path(folder) / "base", config.run.seed)
        check_finetune(replace(shrunk, base_uri=spec.base_name), config.train.finetune())
        for world_size in world_sizes:
            train = rehearsed(config.train, world_size)
            case = Case(name=_name(train), model=shrunk, train=train, store=Store(f"{folder}/{world_size}"))
            try:
                yield from run_ranks(world_size, DEVICE, run_case, [case], timeout_s)
            except RankFailed as error:
                yield Outcome(case.name, problem=str(error))


def _name(train: Train) -> str:
    """
    >>> _name(Train(zero_stage=3, gradient_checkpointing=True))
    '1 worker, ZeRO stage 3, bfloat16, gradient checkpointing'
    """
    parts = [f"{train.num_workers} worker{'s' if train.num_workers > 1 else ''}", f"ZeRO stage {train.zero_stage}", DEVICE.dtype]
    parts += ["offload"] if train.offload else []
    parts += ["gradient checkpointing"] if train.gradient_checkpointing else []
    return ", ".join(parts)


def rehearsed(train: Train, world_size: int) -> Train:
    """The section for so few ranks and steps; the rest of what DeepSpeed is given stays as it is.

    >>> few = rehearsed(Train(num_workers=8, batch_rows=128, micro_batch_rows=4, zero_stage=3), 2)
    >>> few.batch_rows, few.micro_batch_rows, few.zero_stage
    (16, 4, 3)
    """
    accumulated = min(ACCUMULATED, train.batch_rows // (train.micro_batch_rows * train.num_workers))
    changes = {
        "num_workers": world_size,
        "batch_rows": train.micro_batch_rows * world_size * accumulated,
        "epochs": 1.0,
        "checkpoint_every_steps": CHECKPOINT_STEP,
    }
    return train.model_copy(update=changes)


class Records:
    """A Listener that keeps what it is given."""

    def __init__(self) -> None:
        self.steps: list[StepRecord] = []
        self.notes: list[str] = []

    @property
    def losses(self) -> list[float]:
        return [record.loss for record in self.steps if record.loss is not None]

    def record(self, record: StepRecord) -> None:
        self.steps.append(record)

    def is_preempted(self) -> bool:
        return False

    def note(self, line: str) -> None:
        self.notes.append(line)


def run_case(rank: Rank, case: Case) -> Outcome:
    """Train three steps; then continue from the checkpoint of the second one, as after a crash; then answer with the adapter."""
    import torch.distributed

    from engine.train.worker import finetune_rank

    if rank.rank == 0:
        write_examples(case.store, STEPS * case.train.batch_rows)
    torch.distributed.barrier()
    first, resumed = Records(), Records()
    for records in (first, resumed):
        finetune_rank(job_of(case), rank, synthetic_videos, records)
        torch.distributed.barrier()
    if rank.rank > 0:
        return Outcome(case.name)
    problem, answer = "", ""
    if first.losses[CHECKPOINT_STEP:] != resumed.losses:
        problem = f"resumed after step {CHECKPOINT_STEP}, the loss of step {STEPS} is {resumed.losses}"
    else:
        answer = _answer(replace(case.model, adapter=case.store.url("train/model")))
    return Outcome(case.name, first.losses, answer, problem)


def _answer(spec: ModelSpec) -> str:
    model = load(spec, DEVICE)
    watched = model.watch([random_video(model.frames, seed=0)])
    reply = watched.ask(0, "What happens?", seed=0, sampling=Sampling(temperature=0.0, max_tokens=4))
    watched.leave(0)
    return reply.result().text


def write_examples(store: Store, count: int) -> None:
    """A select step's table of examples whose videos nobody decodes."""
    fields = {"start_s": None, "end_s": None, "source": "star", "cycle": 0, "mode": "direct", "seed": 0, "model": "", "etag": ""}
    rows = [
        Example(
            example_id=f"example-{number}",
            clip_id=f"clip-{number}",
            video=f"clip-{number}.mp4",
            prompt="What happens?",
            answer=f"It is clip {number}.",
            **fields,  # type: ignore[arg-type]  # of several types
        ).to_row()
        for number in range(count)
    ]
    store.write_table("examples.parquet", pa.Table.from_pylist(rows, schema=EXAMPLES))


def job_of(case: Case) -> TrainJob:
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
        failure_rate=1.0,
        decoding=decoding_of(RunConfig()),
        decode_cpus=1.0,
    )


def synthetic_videos(rows: Iterable[Row], frames: FrameSpec) -> Iterator[tuple[Row, list[Video | Failure]]]:
    """In place of decoded videos: noise, the same for the same example and step; with fixed moments, for the same example."""
    for row in rows:
        windows, seeds = json.loads(row["windows"]), json.loads(row["jitter_seeds"])
        yield (
            row,
            [
                random_video(frames, zlib.crc32(window["video"].encode()) if seed is None else seed)
                for window, seed in zip(windows, seeds, strict=True)
            ],
        )


def random_video(spec: FrameSpec, seed: int) -> Video:
    """As short and as small as the model watches."""
    shape = smallest_shape(spec)
    rate = spec.choose.rate if isinstance(spec.choose, PerSecond) else 1.0
    frames = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    return Video(frames, tuple(number / rate for number in range(shape[0])))
