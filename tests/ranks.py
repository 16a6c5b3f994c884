"""What ranks do in tests of training without Ray: functions of a module, which a new process can find by name."""

from dataclasses import replace
from typing import Any

from engine.run.rehearsal import DEVICE, STEPS, Case, Records, job_of, synthetic_videos, write_examples
from engine.train.backends import load_backend
from engine.train.job import Rank
from models.base import Device, LoraSpec
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
