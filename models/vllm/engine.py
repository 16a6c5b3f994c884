"""generate.engine = "vllm": a checkpoint in vLLM's asynchronous engine, with its processes."""

import importlib.metadata
import logging
import os
import sys
from dataclasses import fields
from typing import Any

from models.base import Device, EngineSpec, ModelSpec
from models.vllm import plugin
from models.vllm.arguments import arguments
from models.vllm.client import Client
from models.vllm.served import Served, serving
from models.vllm.video_llm import VllmVideoLLM

log = logging.getLogger(__name__)

ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else each engine of a machine would take its first cores
}
"""Defaults of environment variables of vLLM's processes."""


def load(spec: ModelSpec, device: Device, engine: EngineSpec) -> VllmVideoLLM:
    """Raises ValueError in one line where vLLM is not here, does not know the model, or does not start."""
    version = installed_version()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    plugin.announce()
    served = serving(spec)
    folder = str(served.folder())
    refuse_other_platform(device)
    client = Client(config_of(served, arguments(folder, spec, device, engine), engine))
    context = min(served.context_tokens, client.engine.vllm_config.model_config.max_model_len)
    return VllmVideoLLM(served, client, f"{served.digest}+vllm-{version}", context)


def installed_version() -> str:
    """vLLM's version, as its package has it. Raises ValueError where it is not installed."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    raise ValueError(
        f"generate.engine = 'vllm', and {sys.executable} has no vLLM; pip install vllm, or name a Python that has it as "
        "cluster.generator_python"
    )


def refuse_other_platform(device: Device) -> None:
    """Raises ValueError where vLLM was built for another kind of device than the configuration names."""
    from vllm.platforms import current_platform

    if current_platform.device_type != device.kind:
        raise ValueError(
            f"the model is to run on {device.kind!r}, and this vLLM runs on {current_platform.device_type!r}; install the other "
            "one, or change cluster.generator_gpus"
        )


def config_of(served: Served, values: dict[str, Any], engine: EngineSpec) -> Any:
    """vLLM's VllmConfig. Raises ValueError for an argument that vLLM does not have, or a model that it does not know."""
    from vllm import AsyncEngineArgs

    known = {field.name for field in fields(AsyncEngineArgs)}
    for name in values:
        if name not in known:
            raise ValueError(f"generate.vllm.engine_args.{name}: vLLM has no such argument")
    try:
        config = AsyncEngineArgs(**values).create_engine_config()
    except (ValueError, TypeError, AssertionError) as error:
        raise ValueError(f"vLLM refuses its configuration: {first_reason(error)}") from None
    # room for the encoded clips of all pieces in flight: a clip's rationalization needs what its first question encoded
    config.scheduler_config.encoder_cache_size = max(
        config.scheduler_config.encoder_cache_size, engine.clips * served.max_video_tokens
    )
    return config


def first_reason(error: BaseException) -> str:
    """The line of an error that says why: pydantic's first line only counts them."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if "error" not in line[:25]] or lines or [type(error).__name__]
    return reasons[0].removeprefix("Value error, ").partition(" [type=")[0]
