"""DeepSpeed: ZeRO stages 0 to 3 (arXiv 1910.02054). Its dictionary and its engine do not leave this file.

deepspeed reads DS_ACCELERATOR when it is imported, so it is imported inside functions, in a process that has `environment`.
"""

import os
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engine.config import Train
from engine.train.backends.base import Cut, Session
from engine.train.decay import groups_of
from models.base import Device

if TYPE_CHECKING:
    from torch import Tensor

FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""Environment variable of torch.load (torch/serialization.py)."""


def environment(device: Device) -> dict[str, str]:
    variables: dict[str, str] = {"DS_ACCELERATOR": device.kind}
    return variables if device.kind == "cuda" else variables | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def join(device: Device) -> None:
    import deepspeed

    if device.kind == "cpu":
        # compiled when a process group starts; a worker killed meanwhile leaves a lock that the next one waits for, for ever
        deepspeed.ops.__compatible_ops__.pop("deepspeed_shm_comm", None)
    deepspeed.init_distributed(dist_backend="nccl" if device.kind == "cuda" else "gloo", verbose=False)


@contextmanager
def building(train: Train, device: Device, rank: int) -> Iterator[bool]:
    """With ZeRO-3 transformers partitions what it builds while an HfDeepSpeedConfig lives; rank 0 sends the others their part.

    Eight processes that read a 34B model each would want half a terabyte of their machine.
    """
    if train.zero_stage < 3:
        yield True
        return
    from transformers.integrations import HfDeepSpeedConfig

    living = HfDeepSpeedConfig(deepspeed_config(train, device.dtype))
    yield rank == 0
    del living


def start(module: Any, train: Train, device: Device) -> Session:
    import deepspeed

    refuse_other_dtypes(module, device.dtype)
    engine, *_ = deepspeed.initialize(
        model=module,
        model_parameters=groups_of(((name, own) for name, own in module.named_parameters() if own.requires_grad), train),
        config=deepspeed_config(train, device.dtype),
    )
    _restart_adam(engine)
    engine.train()
    return DeepSpeedSession(engine, train)


def _restart_adam(engine: Any) -> None:
    """Without ZeRO, in bfloat16, DeepSpeed 0.19.8 takes a step without gradients to allocate states, and Adam counts it.

    The bias corrections would make the first update .74 of what it is with ZeRO.
    """
    for state in engine.basic_optimizer.state.values():
        if "step" in state:
            state["step"].zero_()


def refusal(saved: Cut, now: Cut) -> str:
    """Micro-batches are not part of a checkpoint, stages 1 and 2 write the same files, and stage 0 does not partition.

    DeepSpeed 0.19.8 raises for other changes after it has begun to load: a ZeRORuntimeException for another world size; between
    stage 0, stages 1 and 2, and stage 3 a FileNotFoundError, TypeError or assertion without words. Optimizer states in another
    place do load on a CPU; on GPUs, where the places really differ, that was not tried, so it is not done.
    """
    stages = {saved.zero_stage, now.zero_stage}
    alike = {"world_size": stages == {0}, "zero_stage": stages == {1, 2}}
    changes = [
        f"{name} was {getattr(saved, name)} and is {getattr(now, name)}"
        for name in ("backend", "dtype", "world_size", "zero_stage", "offload")
        if getattr(saved, name) != getattr(now, name) and not alike.get(name)
    ]
    return " and ".join(changes)


def deepspeed_config(train: Train, dtype: Literal["float32", "bfloat16"]) -> dict[str, Any]:
    """The train section as DeepSpeed's dictionary. torch_adam: the fused CPU Adam would be compiled at run time.

    With ZeRO-2 and ZeRO-3 gradients add up in float32: in bfloat16 a sum stops growing at 256 times its addend. DeepSpeed 0.19.8
    refuses that without ZeRO, and with ZeRO-1 it brings another optimizer, which writes other files.
    """
    zero: dict[str, Any] = {"stage": train.zero_stage}
    if train.offload:
        zero["offload_optimizer"] = {"device": "cpu"}
    return {
        "train_batch_size": train.batch_rows,
        "train_micro_batch_size_per_gpu": train.micro_batch_rows,
        "gradient_accumulation_steps": train.batch_rows // (train.micro_batch_rows * train.num_workers),
        "gradient_clipping": train.max_grad_norm,
        "zero_optimization": zero,
        "bf16": {"enabled": dtype == "bfloat16"},
        "optimizer": {
            "type": "AdamW",
            "params": {"lr": train.lr, "betas": [0.9, 0.999], "weight_decay": train.weight_decay, "torch_adam": True},
        },
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000,
    } | ({"data_types": {"grad_accum_dtype": "fp32"}} if train.accumulates_float32(dtype) else {})


def refuse_other_dtypes(module: Any, dtype: str) -> None:
    """Raises ValueError naming the first floating parameter of another dtype.

    ZeRO-3 asserts one dtype among the trained parameters, without naming one, after the model has been loaded.
    """
    for name, parameter in module.named_parameters():
        if parameter.is_floating_point() and str(parameter.dtype) != f"torch.{dtype}":
            raise ValueError(
                f"{name} is {str(parameter.dtype).removeprefix('torch.')} and the finetune computes in {dtype}; "
                "the model's family must build all parameters in one dtype"
            )


@contextmanager
def only_data_is_unpickled() -> Iterator[None]:
    """torch.load as with weights_only=True, whatever its caller says; DeepSpeed 0.19.8 says False, which runs a file's code.

    Of its checkpoints only the optimizer's part holds more than tensors and plain values: three classes without code of their own.
    """
    import torch
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    before = os.environ.get(FORCED)
    os.environ[FORCED] = "1"
    try:
        with torch.serialization.safe_globals([LossScaler, ZeroStageEnum, fragment_address]):
            yield
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())
        match = re.search(r"Unsupported global: GLOBAL (\S+)", reason)
        holds = f"it holds {match[1]}" if match else reason[:160]
        raise ValueError(
            f"the checkpoint is not loaded, because it may run code: {holds}; delete resume.json of the step"
        ) from None
    finally:
        os.environ.pop(FORCED)
        if before is not None:
            os.environ[FORCED] = before


class DeepSpeedSession:
    def __init__(self, engine: Any, train: Train) -> None:
        self._engine, self._train = engine, train
        self._summed = train.batch_rows // train.micro_batch_rows
        """Micro-batches of an optimizer step, of all ranks."""

    @property
    def device(self) -> Any:
        return self._engine.device

    def logits(self, batch: dict[str, Any]) -> "Tensor":
        logits: Tensor = self._engine(**batch).logits
        return logits

    def backward(self, summed_loss: "Tensor", divide_by: float, last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(last)
        # DeepSpeed divides by the number of micro-batches and averages over ranks; undo both
        self._engine.backward(summed_loss * (self._summed / divide_by))
        if not last:
            self._engine.step()  # counts the micro-batch

    def step(self, learning_rate: float) -> float:
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        norm = self._plain_gradient_norm()  # before the step clears them
        self._engine.step()
        return float(norm if norm is not None else self._engine.get_global_grad_norm() or 0.0)

    def _plain_gradient_norm(self) -> float | None:
        """In float32 without ZeRO the optimizer is torch's own, and nobody else computes a norm."""
        import torch

        if hasattr(self._engine.optimizer, "_global_grad_norm"):
            return None
        gradients = [parameter.grad for parameter in self._engine.module.parameters() if parameter.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        self._engine.save_checkpoint(folder, tag="checkpoint", client_state=dict(state), exclude_frozen_parameters=True)

    def loads(self, name: str) -> bool:
        """Each rank writes a part of the optimizer, and with ZeRO-3 of the weights, that no other rank reads."""
        part = re.search(r"zero_pp_rank_(\d+)_", name)
        return part is None or int(part[1]) == self._engine.global_rank

    def load(self, folder: Path) -> dict[str, Any]:
        """Raises ValueError where a file holds more than data: the run's folder may be open to others."""
        with only_data_is_unpickled():
            path, state = self._engine.load_checkpoint(folder, tag="checkpoint", load_module_strict=False)
        assert path is not None, f"DeepSpeed found no checkpoint in {folder}"
        return dict(state)

    def weights(self) -> Iterator[tuple[str, "Tensor"]]:
        import deepspeed

        partitioned = self._train.zero_stage == 3
        for name, parameter in self._engine.module.named_parameters():
            if parameter.requires_grad:
                with deepspeed.zero.GatheredParameters([parameter], modifier_rank=None, enabled=partitioned):
                    yield name, parameter
