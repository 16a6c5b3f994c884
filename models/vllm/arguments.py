"""What vLLM is started with: [generate.vllm] and what follows from the model. Pure: vLLM itself is not imported."""

from collections.abc import Mapping
from typing import Any

from models.base import Device, EngineSpec, ModelSpec
from models.vllm.plugin import LOAD_FORMAT

DECIDED = {
    "model": "model.base",
    "tokenizer": "model.base",
    "dtype": "model.dtype",
    "seed": "run.seed",
    "load_format": "model.base",
    "model_loader_extra_config": "model.base",
    "tensor_parallel_size": "cluster.generator_gpus",
    "distributed_executor_backend": "cluster.generator_gpus",
    "gpu_memory_utilization": "generate.vllm.memory_share",
    "max_model_len": "generate.vllm.max_model_len",
    "max_num_seqs": "generate.vllm.max_num_seqs",
    "enforce_eager": "generate.vllm.enforce_eager",
    "block_size": "generate.vllm.block_size",
    "skip_tokenizer_init": "generate.engine",
    "enable_prefix_caching": "generate.engine",
}
"""vLLM's arguments that a key of our configuration decides."""
FREE_SHARE = 0.1
"""Of a GPU, by default: for what CUDA and torch take outside of vLLM's account."""
ENCODED_SHARE = 0.1
"""Of a GPU's memory, at most, for encoded clips beyond those that vLLM keeps by itself: a few may have to be encoded twice."""
CPU_CACHE_BYTES = 2 << 30
"""Keys and values on a CPU, by default: vLLM would take nearly all of the machine's memory."""
CPU_BLOCK = 32
"""Tokens of a block on a CPU, by default: vLLM's is 128, and only whole blocks are shared between the questions about a clip."""


def refuse_decided(engine_args: Mapping[str, Any]) -> None:
    """Raises ValueError for an argument that another key decides."""
    for name in engine_args:
        if name in DECIDED:
            raise ValueError(f"generate.vllm.engine_args.{name}: set {DECIDED[name]} instead")


def memory_share(options: Mapping[str, Any], gpus: float) -> float:
    """Share of each GPU's memory that the engine takes.

    >>> memory_share({}, 0.5), memory_share({}, 2.0), memory_share({"memory_share": 0.7}, 1.0)
    (0.4, 0.9, 0.7)
    """
    return options.get("memory_share") or round(min(1.0, gpus or 1.0) - FREE_SHARE, 4)


def arguments(folder: str, spec: ModelSpec, device: Device, engine: EngineSpec) -> dict[str, Any]:
    """Keyword arguments of vLLM's AsyncEngineArgs."""
    options = engine.options
    given = dict(options.get("engine_args", {}))
    refuse_decided(given)
    gpus = max(1, round(engine.gpus))
    values: dict[str, Any] = {
        "model": folder,
        "dtype": device.dtype,
        "load_format": LOAD_FORMAT,
        "model_loader_extra_config": {"spec": spec},
        "tensor_parallel_size": gpus,
        "distributed_executor_backend": "mp" if gpus > 1 else "uni",
        "max_model_len": options.get("max_model_len") or -1,  # as much of the model's context as the memory holds
        "max_num_seqs": options.get("max_num_seqs") or engine.clips,
        "enforce_eager": options.get("enforce_eager", False),
        "block_size": options.get("block_size"),
        "enable_prefix_caching": True,
        "mm_device_do_normalize": False,  # on the device vLLM takes a picture's mean and deviation for a video's too
        "seed": 0,  # each request has its own
    }
    if device.kind == "cuda":
        values["gpu_memory_utilization"] = memory_share(options, engine.gpus)
    elif options.get("memory_share"):
        values["gpu_memory_utilization"] = options["memory_share"]  # vLLM's name for it on a CPU too
    else:
        values["kv_cache_memory_bytes"] = CPU_CACHE_BYTES
    if device.kind == "cpu":
        values["block_size"] = values["block_size"] or CPU_BLOCK
    return values | given
