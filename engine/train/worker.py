"""What every training worker runs: DeepSpeed over the examples, in an order that is a pure function of (seed, step, rank).

Shapes: B examples of a micro-batch, L tokens, V vocabulary.
"""

import json
import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
import torch
import torch.distributed
from torch import Tensor
from torch.nn import functional as F

from engine import flow
from engine.config import Mixture, Train
from engine.decode.stage import Decoding, Origin, decode_windows, frames_of
from engine.generate.seeds import derive_seed
from engine.run.work import CHECKPOINTS, RESUME
from engine.store.files import FileRecord, Store
from engine.store.filesystems import StorageError
from engine.store.weights import local
from engine.train.backends.deepspeed import deepspeed_config, learning_rate
from engine.train.batches import Material
from engine.train.mixture import order, share
from models.base import LoraSpec, LossOn, ModelSpec, Trainee, Turn
from models.registry import trainee

LOSSES = "losses.json"


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """What to finetune, on what, and where the adapter goes."""

    identity: str
    """Of the step: a checkpoint of another identity is not resumed from."""
    model: ModelSpec
    train: Train
    store: Store
    examples: FileRecord
    """The examples table, as select sealed it."""
    episodes: FileRecord | None
    """Likewise the episodes, where there are any."""
    mixture: Mixture
    loss_on: LossOn
    out: str
    """Folder in the store: model/ for the adapter, losses.json, and while it runs resume.json and checkpoints/."""
    seed: int
    decoding: Decoding
    decode_cpus: float
    meter: Any
    """Actor handle that is told of every step: progress only."""


@dataclass(frozen=True)
class Fed:
    """What some micro-batches were made of, counted."""

    undecodable: int = 0
    """Samples without a usable video, fed without loss."""
    shots_lost: int = 0
    """Shots left out of their samples for the same reason."""
    shown: int = 0
    """Clips that the samples show, each as often as it is shown."""
    encoded: int = 0
    """Clips that went through the tower for them: each once a micro-batch."""


def train_worker(job: TrainJob) -> None:
    """The train loop of one rank. Rank 0 leaves the adapter and losses.json: {"losses": one per step, "fed": the fields of Fed}."""
    try:
        _train(job)
    except (ValueError, StorageError, ChildProcessError) as error:
        ray.get(job.meter.give_up.remote(error))  # Ray Train would restart the workers over it, again and again
        raise


def _train(job: TrainJob) -> None:
    import deepspeed  # reads DS_ACCELERATOR when it is imported, so not before Ray has set the worker's environment

    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    material = Material(job.store.read_table(job.examples), job.store.read_table(job.episodes) if job.episodes else None)
    steps = order(material.streams(job.mixture), job.train.epochs, job.train.batch_rows, job.seed)
    # within a step the order does not matter: samples of a length go together, or most of a micro-batch would be padding
    steps = [sorted(step, key=material.shots) for step in steps]
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        # compiled when a process group starts; a worker killed meanwhile leaves a lock that the next one waits for, for ever
        deepspeed.ops.__compatible_ops__.pop("deepspeed_shm_comm", None)
    deepspeed.init_distributed(dist_backend="nccl" if on_gpu else "gloo", verbose=False)
    lora = LoraSpec(
        rank=job.train.lora_rank,
        alpha=job.train.lora_alpha,
        dropout=job.train.lora_dropout,
        gradient_checkpointing=job.train.gradient_checkpointing,
    )
    section = deepspeed_config(job.train, on_gpu)
    partition = section if job.train.zero_stage == 3 else None
    student = trainee(local(job.model, job.decoding.storage), lora, job.seed, partition)
    engine, *_ = deepspeed.initialize(
        model=student.module,
        model_parameters=[p for p in student.module.parameters() if p.requires_grad],
        config=section,
    )
    engine.train()
    state = _resume(engine, job)
    todo = list(range(len(state["losses"]), len(steps)))
    stream = _micro_batches(job, material, steps, todo, rank, world_size, student)
    for step in todo:
        for group in engine.optimizer.param_groups:
            group["lr"] = learning_rate(step, len(steps), job.train)
        torch.manual_seed(derive_seed(job.seed, step, f"rank-{rank}", "direct"))  # dropout, the same on a resumed run
        micro_batches = [next(stream) for _ in share(steps[step], rank, world_size, job.train.micro_batch_rows)]
        loss, fed = _optimizer_step(engine, micro_batches, world_size)
        state["losses"].append(loss)
        state["fed"] = [before + now for before, now in zip(state["fed"], fed, strict=True)]
        if rank == 0:
            job.meter.tell.remote(step + 1, len(steps), state["losses"][-1])
        if (step + 1) % job.train.checkpoint_every_steps == 0 and step + 1 < len(steps):
            _checkpoint(engine, job, step + 1, state, rank, world_size)
    _save(engine, student, job, rank)
    if rank == 0:
        job.store.write(f"{job.out}/{LOSSES}", json.dumps(state).encode())


def _optimizer_step(engine: Any, micro_batches: Sequence[tuple[dict[str, Any], Fed]], world_size: int) -> tuple[float, list[int]]:
    """One optimizer step over the rank's micro-batches: the mean over all answer tokens of all ranks.

    Returns that loss, and the fields of Fed over all ranks.
    """
    device, batches = engine.device, [batch for batch, _ in micro_batches]
    answered = float(sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches))
    fed = [float(sum(values)) for values in zip(*(astuple(one) for _, one in micro_batches), strict=True)]
    counts = torch.tensor([answered, *fed], dtype=torch.float64, device=device)
    torch.distributed.all_reduce(counts)
    num_tokens = max(1.0, counts[0].item())
    total = torch.zeros((), device=device)
    for index, batch in enumerate(batches):
        labels = batch.pop("labels").to(device)
        logits = engine(**{name: _moved(value, device) for name, value in batch.items()}).logits
        summed = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100, reduction="sum")
        engine.set_gradient_accumulation_boundary(index == len(batches) - 1)
        # DeepSpeed divides by the number of micro-batches and averages over ranks; undo both, then divide by the tokens
        engine.backward(summed * (len(batches) * world_size / num_tokens))
        engine.step()
        total += summed.detach()
    torch.distributed.all_reduce(total)
    return total.item() / num_tokens, [int(value) for value in counts[1:].tolist()]


def _moved(value: Any, device: Any) -> Any:
    """Tensors, and lists of them, to the device; what else a model takes as it is."""
    if isinstance(value, Tensor):
        return value.to(device)
    return [_moved(one, device) for one in value] if isinstance(value, list) else value


def _micro_batches(
    job: TrainJob, material: Material, steps: list[list[int]], todo: list[int], rank: int, world_size: int, student: Trainee
) -> Iterator[tuple[dict[str, Any], Fed]]:
    """The rank's micro-batches from step todo[0] on, in order, decoded beside it; and what they were made of.

    A sample whose query's video has gone since it was generated keeps its place, as black frames without loss: every rank must run
    the same modules each step, or ZeRO-3 waits for ever. A shot whose video has gone is left out.
    """

    def rows() -> Iterator[dict[str, Any]]:
        for step in todo:
            for micro in share(steps[step], rank, world_size, job.train.micro_batch_rows):
                made = material.micro_batch(micro)
                windows = [asdict(window) for window in made.windows]
                seeds = [None if moments is None else derive_seed(job.seed, step, moments, "direct") for moments in made.moments]
                samples = [[asdict(turn) for turn in sample] for sample in made.samples]
                yield {"windows": json.dumps(windows), "jitter_seeds": json.dumps(seeds), "samples": json.dumps(samples)}

    args = {"spec": student.frames, "decoding": job.decoding}
    decode = flow.Stage(name="decode", work=decode_windows, args=args, cpus=job.decode_cpus)
    for row in flow.run(rows(), [decode], ordered=True):
        seen, found = frames_of(row, student.frames)
        samples = [[Turn(**turn) for turn in sample] for sample in json.loads(row["samples"])]
        frames = np.zeros((len(found), *seen.shape[1:]), np.uint8)
        usable = [isinstance(one, Origin) for one in found]
        frames[usable] = seen
        whole = [[turn for turn in sample if usable[turn.clip] or turn is sample[-1]] for sample in samples]
        batch = student.batch(frames, whole, job.loss_on)
        lost = [not usable[sample[-1].clip] for sample in samples]
        batch["labels"][lost] = -100
        shown = sum(map(len, whole))
        fed = Fed(
            undecodable=sum(lost),
            shots_lost=sum(map(len, samples)) - shown,
            shown=shown,
            encoded=len({turn.clip for sample in whole for turn in sample}),
        )
        yield batch, fed


def _resume(engine: Any, job: TrainJob) -> dict[str, Any]:
    """Load the step's latest complete checkpoint, if there is one; returns the losses so far: as many as steps were done."""
    data = job.store.read(f"{job.out}/{RESUME}")
    if data is None:
        return _nothing_done()
    latest = json.loads(data)
    if latest["identity"] != job.identity:
        return _nothing_done()
    with tempfile.TemporaryDirectory() as folder:
        job.store.get_folder([FileRecord(**record) for record in latest["files"]], latest["folder"], Path(folder))
        _, client_state = engine.load_checkpoint(folder, load_module_strict=False)
    return {name: list(client_state[name]) for name in _nothing_done()}


def _nothing_done() -> dict[str, Any]:
    return {"losses": [], "fed": list(astuple(Fed()))}


def _checkpoint(engine: Any, job: TrainJob, step: int, state: dict[str, Any], rank: int, world_size: int) -> None:
    """All ranks publish their part; then rank 0 says that the checkpoint is the one to resume from, and takes the last one away.

    Ray Train could do this too, but its upload gives up after three tries and its record says which checkpoint is the latest, not
    that all parts of it are there and whole. A folder's name is used once, so two attempts never mix.
    """
    name = [f"{job.out}/{CHECKPOINTS}/{step:08d}-{uuid.uuid4().hex[:8]}"]
    torch.distributed.broadcast_object_list(name, src=0)
    with tempfile.TemporaryDirectory() as folder:
        engine.save_checkpoint(folder, tag=f"step-{step:08d}", client_state=dict(state), exclude_frozen_parameters=True)
        mine = [asdict(record) for record in job.store.put_folder(Path(folder), name[0])]
    parts: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(parts, mine)
    if rank == 0:
        before = job.store.read(f"{job.out}/{RESUME}")
        files = [record for part in parts for record in part]
        latest = {"identity": job.identity, "step": step, "folder": name[0], "files": files}
        job.store.write(f"{job.out}/{RESUME}", json.dumps(latest).encode())
        if before is not None:
            job.store.delete(json.loads(before)["folder"])


def _save(engine: Any, student: Trainee, job: TrainJob, rank: int) -> None:
    """Rank 0 publishes the adapter; with ZeRO-3 all ranks help to gather it."""
    import deepspeed

    trained = {name: p for name, p in student.module.named_parameters() if p.requires_grad}
    with deepspeed.zero.GatheredParameters(list(trained.values()), modifier_rank=None, enabled=job.train.zero_stage == 3):
        if rank == 0:
            with tempfile.TemporaryDirectory() as folder:
                student.save(Path(folder), {name: p.detach().cpu().clone() for name, p in trained.items()})
                job.store.put_folder(Path(folder), f"{job.out}/model")


def worker_environment(on_gpu: bool) -> dict[str, str]:
    """What the workers' processes need before they import DeepSpeed."""
    return {} if on_gpu else {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
