"""What ranks do in tests of training without Ray: functions of a module, which a new process can find by name."""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import torch

from builders import DECODING
from engine.config import Mixture
from engine.decode.stage import Decoded, decode_windows, videos_of
from engine.rows import Failure
from engine.run.rehearsal import DEVICE, STEPS, Case, Records, job_of, synthetic_videos, write_examples
from engine.train.backends import load_backend
from engine.train.checkpoint import State
from engine.train.feed import Row
from engine.train.job import Rank
from models.base import Device, FinetuneSpec, FrameSpec, Turn, Video
from models.registry import trainee


def each(rank: Rank, task: tuple[Callable[[Rank, Any], Any], Any]) -> Any:
    """What one function gives for its case: so that several tests share ranks, which take seconds to start."""
    function, case = task
    return function(rank, case)


def train_once(rank: Rank, case: Case, device: Device = DEVICE) -> tuple[list[float], list[str]]:
    """Losses and notes of one call of the worker. The case's store may hold what an earlier call left: then it continues."""
    import torch.distributed

    from engine.train.worker import finetune_rank

    if rank.rank == 0 and case.store.read("examples.parquet") is None:
        write_examples(case.store, STEPS * case.train.batch_rows)
    torch.distributed.barrier()
    records = Records()
    finetune_rank(replace(job_of(case), device=device), rank, synthetic_videos, records)
    torch.distributed.barrier()
    return records.losses, records.notes


def train_on_a_gpu_node(rank: Rank, case: Case) -> tuple[list[float], list[str]]:
    """The same in float32, where torch sees GPUs that belong to other processes."""
    import torch

    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 8
    return train_once(rank, case, Device("cpu", "float32"))


def buffer_dtypes(rank: Rank, case: Case) -> dict[str, str]:
    """Of the floating buffers of a model under training."""
    device, backend = DEVICE, load_backend("deepspeed")
    backend.join(device)
    lora = FinetuneSpec(rank=4, alpha=4.0, dropout=0.0)
    with backend.building(case.train, device, rank.rank) as read_weights:
        module: Any = trainee(case.model, lora, 0, device, read_weights).module
    backend.start(module, case.train, device)
    return {name: str(buffer.dtype) for name, buffer in module.named_buffers() if buffer.is_floating_point()}


def kept_by_decay(rank: Rank, case: Case) -> dict[str, float]:
    """What an optimizer step without a gradient leaves of each trained parameter, as a share, in float32; by name."""
    device, backend, lora = Device("cpu", "float32"), load_backend("deepspeed"), FinetuneSpec(rank=4, alpha=4.0, dropout=0.0)
    backend.join(device)
    with backend.building(case.train, device, rank.rank) as read_weights:
        student = trainee(case.model, lora, 0, device, read_weights)
    session = backend.start(student.module, case.train, device)
    before = {name: parameter.detach().clone() for name, parameter in session.weights()}
    batch = student.batch([], [[Turn(None, "What?", "It.")]])
    del batch["labels"]
    session.backward(session.logits(batch).sum() * 0, 1.0, last=True)
    session.step(0.1)
    return {name: float(parameter.norm() / before[name].norm()) for name, parameter in session.weights() if before[name].any()}


class OneBadRank:
    """A Session whose model gives NaN on rank 1, and whose gradient norm is infinite where it is told so."""

    device = "cpu"

    def __init__(self, rank: Rank, norm: float) -> None:
        self._value, self._norm, self.stepped = 1.0 if rank.rank == 0 or norm else float("nan"), norm or 1.0, False

    def logits(self, batch: dict[str, Any]) -> Any:
        return batch["input_ids"][:, batch["logits_to_keep"]].unsqueeze(-1) * torch.tensor([self._value, 0.5])

    def backward(self, summed_loss: Any, divide_by: float, last: bool) -> None: ...

    def step(self, learning_rate: float) -> float:
        self.stepped = True
        return self._norm


def stopped_by(rank: Rank, norm: float) -> tuple[str, bool]:
    """The error of one optimizer step of two ranks, as rank 0 raises it, and whether the weights were changed before."""
    from engine.train.feed import Prepared
    from engine.train.job import Fed
    from engine.train.worker import Watch, _optimizer_step

    batch = {"input_ids": torch.ones(2, 3), "labels": torch.ones(2, 3, dtype=torch.int64)}
    session: Any = OneBadRank(rank, norm)
    watch = Watch("train: step 7", 3e-4, [[f"clip-{rank.rank}-{number}" for number in range(2)]])
    try:
        _optimizer_step(session, [Prepared(batch=batch, fed=Fed(), unused=[])], 3e-4, watch, lambda *_: None)
    except ValueError as error:
        return str(error), session.stepped
    return "", session.stepped


def unused_after_a_resume(rank: Rank, case: Case) -> list[str]:
    """The ids in unused.parquet of a finetune whose ranks had each left one example out before its last checkpoint."""
    from engine.train.checkpoint import Checkpoints, write_unused

    if rank.rank == 0:
        write_examples(case.store, 1)
    torch.distributed.barrier()
    job, backend = job_of(case), load_backend("deepspeed")
    backend.join(DEVICE)
    with backend.building(case.train, DEVICE, rank.rank) as read_weights:
        module: Any = trainee(case.model, FinetuneSpec(rank=4, alpha=4.0, dropout=0.0), 0, DEVICE, read_weights).module
    session = backend.start(module, case.train, DEVICE)
    state = State(losses=[1.0], unused={f"of rank {rank.rank}": ["missing", "no such file"]})
    checkpoints = Checkpoints(session, job, rank)
    checkpoints.write(state)
    write_unused(job, rank, checkpoints.resume(Records()))
    torch.distributed.barrier()
    return [str(row["example_id"]) for row in case.store.read_table("train/unused.parquet").to_pylist()]


class Evil:
    """What pickle runs when it is loaded."""

    def __init__(self, marker: str) -> None:
        self._marker = marker

    def __reduce__(self) -> Any:
        return open, (self._marker, "w")


def resume_from_a_poisoned_checkpoint(rank: Rank, case: Case) -> str:
    """The error with which a finetune ends whose checkpoint somebody else has written, records and all."""
    train_once(rank, case)
    latest = json.loads(case.store.read("train/resume.json") or b"")
    for record in latest["files"]:
        if record["path"].endswith(".pt"):
            data = io.BytesIO()
            torch.save({"module": Evil(case.store.url("marker"))}, data)
            case.store.write(record["path"], data.getvalue())
            record |= asdict(case.store.describe([record["path"]])[0])
    case.store.write("train/resume.json", json.dumps(latest).encode())
    try:
        train_once(rank, case)
    except ValueError as error:
        return str(error)
    return ""


def train_on_files(rank: Rank, case: Case) -> State:
    """Train on the case's conversations in float32; their files are decoded in the rank. What losses.json holds, from rank 0."""
    import torch.distributed

    from engine.train.worker import finetune_rank

    torch.distributed.barrier()
    job = replace(job_of(case), device=Device("cpu", "float32"), mixture=Mixture(instruct=1.0))
    finetune_rank(job, rank, decoded_here, Records())
    torch.distributed.barrier()
    written = json.loads(case.store.read(f"{job.out}/losses.json") or b"")
    return State(losses=written["losses"], fed=written["fed"])


def decoded_here(rows: Iterable[Row], frames: FrameSpec) -> Iterator[tuple[Row, list[Video | Failure]]]:
    """As the flow beside a rank decodes them, in the rank's own process."""
    for row in rows:
        decoded = videos_of(decode_windows(row, frames, DECODING))
        yield row, [result.video if isinstance(result, Decoded) else result for result in decoded]


def summed_gradient_norm(rank: Rank, case: Case) -> float:
    """Of 512 micro-batches that each have a gradient of 1 / 512 in one weight, in bfloat16."""
    backend = load_backend("deepspeed")
    backend.join(DEVICE)
    module = torch.nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    module.forward = lambda x: SimpleNamespace(logits=torch.nn.functional.linear(x, module.weight))  # type: ignore[method-assign]
    session = backend.start(module, case.train, DEVICE)
    micro_batches = case.train.batch_rows // rank.world_size
    for number in range(micro_batches):
        session.backward(
            session.logits({"x": torch.ones(1, 1, dtype=torch.bfloat16)}).sum(), micro_batches, number + 1 == micro_batches
        )
    return session.step(1e-3)
