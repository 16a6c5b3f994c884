"""What every training worker runs: DeepSpeed over the examples, in an order that is a pure function of (seed, step, rank).

Shapes: B examples of a micro-batch, L tokens, V vocabulary.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
import torch
import torch.distributed
from torch import Tensor
from torch.nn import functional as F

from engine import flow
from engine.config import Train
from engine.data.decode import Backend
from engine.data.decoder import decode_row, frames_of
from engine.generate.generator import derive_seed
from engine.rows import Example
from engine.store import Store
from engine.train.deepspeed_config import deepspeed_config, learning_rate
from engine.train.mixture import order, share
from models.base import LoraSpec, ModelSpec, Trainee, trainee

LOSSES = "losses.json"


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """What to finetune, on what, and where the adapter goes."""

    model: ModelSpec
    train: Train
    store: Store
    examples: str
    """Path of the examples table in the store."""
    out: str
    """Folder in the store: model/ for the adapter, losses.json."""
    seed: int
    decoder: Backend
    decode_cpus: float
    meter: Any
    """Actor handle that is told of every step: progress only."""


def train_worker(job: TrainJob) -> None:
    """The train loop of one rank. Rank 0 leaves the adapter and losses.json: {"losses": one per step, "undecodable": examples}."""
    import deepspeed  # reads DS_ACCELERATOR when it is imported, so not before Ray has set the worker's environment

    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    examples = [Example.from_row(row) for row in job.store.read_table(job.examples).to_pylist()]
    steps = order(len(examples), job.train.epochs, job.train.batch_rows, job.seed)
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        # compiled when a process group starts; a worker killed meanwhile leaves a lock that the next one waits for, for ever
        deepspeed.ops.__compatible_ops__.pop("deepspeed_shm_comm", None)
    deepspeed.init_distributed(dist_backend="nccl" if on_gpu else "gloo", verbose=False)
    lora = LoraSpec(rank=job.train.lora_rank, alpha=job.train.lora_alpha, dropout=job.train.lora_dropout)
    student = trainee(job.model, lora, job.seed)
    engine, *_ = deepspeed.initialize(
        model=student.module,
        model_parameters=[p for p in student.module.parameters() if p.requires_grad],
        config=deepspeed_config(job.train, on_gpu),
    )
    engine.train()
    state = _resume(engine)
    todo = list(range(len(state["losses"]), len(steps)))
    stream = _micro_batches(job, examples, steps, todo, rank, world_size, student)
    for step in todo:
        for group in engine.optimizer.param_groups:
            group["lr"] = learning_rate(step, len(steps), job.train)
        torch.manual_seed(derive_seed(job.seed, step, f"rank-{rank}", "direct"))  # dropout, the same on a resumed run
        micro_batches = [next(stream) for _ in share(steps[step], rank, world_size, job.train.micro_batch_rows)]
        state["losses"].append(_optimizer_step(engine, [batch for batch, _ in micro_batches], world_size))
        state["undecodable"] += sum(undecodable for _, undecodable in micro_batches)
        if rank == 0:
            job.meter.tell.remote(step + 1, len(steps), state["losses"][-1])
        if (step + 1) % job.train.checkpoint_every_steps == 0 and step + 1 < len(steps):
            _checkpoint(engine, step + 1, state)
    _save(engine, student, job, rank)
    if rank == 0:
        job.store.write(f"{job.out}/{LOSSES}", json.dumps(state).encode())


def _optimizer_step(engine: Any, batches: list[dict[str, Tensor]], world_size: int) -> float:
    """One optimizer step over the rank's micro-batches: the mean over all answer tokens of all ranks. Returns that loss."""
    device = engine.device
    counts = torch.tensor(float(sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches)), device=device)
    torch.distributed.all_reduce(counts)
    num_tokens = max(1.0, counts.item())
    total = torch.zeros((), device=device)
    for index, batch in enumerate(batches):
        labels = batch.pop("labels").to(device)
        logits = engine(**{name: tensor.to(device) for name, tensor in batch.items()}).logits
        summed = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100, reduction="sum")
        engine.set_gradient_accumulation_boundary(index == len(batches) - 1)
        # DeepSpeed divides by the number of micro-batches and averages over ranks; undo both, then divide by the tokens
        engine.backward(summed * (len(batches) * world_size / num_tokens))
        engine.step()
        total += summed.detach()
    torch.distributed.all_reduce(total)
    return total.item() / num_tokens


def _micro_batches(
    job: TrainJob, examples: list[Example], steps: list[list[int]], todo: list[int], rank: int, world_size: int, student: Trainee
) -> Iterator[tuple[dict[str, Tensor], int]]:
    """The rank's micro-batches from step todo[0] on, in order, decoded beside it; and how many examples had no usable video.

    An example whose video has gone since it was generated keeps its place, as black frames without loss: every rank must run the
    same modules each step, or ZeRO-3 waits for ever.
    """
    rows = []
    for step in todo:
        for micro in share(steps[step], rank, world_size, job.train.micro_batch_rows):
            seeds = [derive_seed(job.seed, step, examples[i].example_id, "direct") for i in micro]
            picked = [examples[i].to_row() for i in micro]
            rows.append({"examples": json.dumps(picked), "jitter_seeds": json.dumps(seeds)})
    args = {"spec": student.frames, "backend": job.decoder, "jitter": True}
    decode = flow.Stage(name="decode", work=decode_row, args=args, cpus=job.decode_cpus)
    for row in flow.run(rows, [decode], ordered=True):
        batch_of = [Example.from_row(value) for value in json.loads(row["examples"])]
        seen, failures = frames_of(row, student.frames)
        frames = torch.zeros(len(batch_of), *seen.shape[1:], dtype=torch.uint8).numpy()
        usable = [failure is None for failure in failures]
        frames[usable] = seen
        batch = student.batch(frames, [e.prompt for e in batch_of], [e.answer for e in batch_of])
        batch["labels"][[not ok for ok in usable]] = -100
        yield batch, usable.count(False)


def _resume(engine: Any) -> dict[str, Any]:
    """Load the run's latest checkpoint, if there is one; returns the losses so far, whose number is the number of steps done."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return {"losses": [], "undecodable": 0}
    with checkpoint.as_directory() as folder:
        _, client_state = engine.load_checkpoint(folder, load_module_strict=False)
    return {"losses": list(client_state["losses"]), "undecodable": client_state["undecodable"]}


def _checkpoint(engine: Any, step: int, state: dict[str, Any]) -> None:
    """All ranks write their part, Ray Train merges the parts into one checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        engine.save_checkpoint(folder, tag=f"step-{step:08d}", client_state=dict(state), exclude_frozen_parameters=True)
        checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report({"step": step}, checkpoint=checkpoint, checkpoint_dir_name=f"step-{step:08d}")


def _save(engine: Any, student: Trainee, job: TrainJob, rank: int) -> None:
    """Rank 0 publishes the adapter; with ZeRO-3 all ranks help to gather it."""
    import deepspeed

    trained = {name: p for name, p in student.module.named_parameters() if p.requires_grad}
    with deepspeed.zero.GatheredParameters(list(trained.values()), modifier_rank=None, enabled=job.train.zero_stage == 3):
        if rank == 0:
            with tempfile.TemporaryDirectory() as folder:
                student.save(Path(folder), {name: p.detach().cpu().clone() for name, p in trained.items()})
                job.store.put_folder(folder, f"{job.out}/model")


def worker_environment(on_gpu: bool) -> dict[str, str]:
    """What the workers' processes need before they import DeepSpeed."""
    return {} if on_gpu else {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
