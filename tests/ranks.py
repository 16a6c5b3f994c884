"""What ranks do in tests of training without Ray: functions of a module, which a new process can find by name."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from builders import DECODING
from engine.config import Mixture
from engine.decode.stage import Decoded, decode_windows, videos_of
from engine.rows import Failure
from engine.run.rehearsal import DEVICE, STEPS, Case, Records, job_of, synthetic_videos, write_examples
from engine.train.backends import load_backend
from engine.train.checkpoint import State
from engine.train.feed import Row
from engine.train.job import Rank
from models.base import Device, FrameSpec, LoraSpec, Video
from models.registry import trainee


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
    lora = LoraSpec(rank=4, alpha=4.0, dropout=0.0)
    with backend.building(case.train, device, rank.rank) as read_weights:
        module: Any = trainee(case.model, lora, 0, device, read_weights).module
    backend.start(module, case.train, device)
    return {name: str(buffer.dtype) for name, buffer in module.named_buffers() if buffer.is_floating_point()}


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
