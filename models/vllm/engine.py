"""generate.engine = "vllm": what models/registry.py calls. A checkpoint in vLLM's asynchronous engine, with its processes."""

import os
import sys
from dataclasses import fields
from typing import Any

from models.base import Device, EngineSpec, ModelSpec
from models.vllm import plugin
from models.vllm.arguments import ENCODED_SHARE, arguments
from models.vllm.client import Client
from models.vllm.installed import architectures, installed_version
from models.vllm.served import Served, serving
from models.vllm.video_llm import VllmVideoLLM

SCORES = True
"""Whether it gives the likelihoods of texts: by prompt_logprobs."""
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else each engine of a machine would take its first cores
}
"""Environment variables of vLLM's processes, where they are not set."""


def version() -> str:
    """The engine as digests name it: "vllm-0.32.0"; "vllm" where it is not installed beside this Python."""
    number = installed_version()
    return f"vllm-{number}" if number else "vllm"


def check(spec: ModelSpec, engine: EngineSpec) -> None:
    """Raises ValueError for a model that vLLM does not know or cannot spread over so many GPUs, or a context that is too short."""
    served, gpus = serving(spec), max(1, round(engine.gpus))
    known = architectures()
    for name in served.architectures:
        if known and name not in known:
            raise ValueError(
                f"{spec.base_name}: {version()} does not know the architecture {name}; use generate.engine = 'builtin'"
            )
    for part, heads in served.heads.items():
        if heads % gpus:
            fitting = ", ".join(str(count) for count in range(1, heads + 1) if heads % count == 0 and count <= 16)
            raise ValueError(
                f"cluster.generator_gpus = {gpus}: {spec.base_name} has {heads} attention heads in its {part}, which vLLM cannot "
                f"share out evenly; give one of {fitting}"
            )
    longest = engine.options.get("max_model_len")
    if longest and longest > served.context_tokens:
        raise ValueError(
            f"generate.vllm.max_model_len = {longest} is more than the context of {spec.base_name}, which is "
            f"{served.context_tokens}; lower it"
        )
    if longest and longest <= served.max_video_tokens:
        raise ValueError(
            f"generate.vllm.max_model_len = {longest} does not hold a video of {served.max_video_tokens} tokens with a question "
            "and an answer; raise it, or leave it out"
        )


def load(spec: ModelSpec, device: Device, engine: EngineSpec) -> VllmVideoLLM:
    """Raises ValueError in one line where vLLM is not here, does not know the model, or does not start."""
    if not (number := installed_version()):
        raise ValueError(
            f"generate.engine = 'vllm', and {sys.executable} has no vLLM; pip install -e '.[vllm]', or name a Python that has it "
            "as cluster.generator_python"
        )
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
    if engine.options.get("batch_invariant"):
        os.environ["VLLM_BATCH_INVARIANT"] = "1"
    plugin.announce()
    check(spec, engine)
    served = serving(spec)
    refuse_other_platform(device)
    config = config_of(served, arguments(str(served.folder()), spec, device, engine), device)
    keep_encoded(config, engine.clips * served.max_video_tokens, device)
    try:
        client = Client(config)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"vLLM's engine did not start: {first_reason(error)}; its lines in this actor's log say why") from None
    context = min(served.context_tokens, client.engine.vllm_config.model_config.max_model_len)
    return VllmVideoLLM(served, client, f"{served.digest}+vllm-{number}", context)


def refuse_other_platform(device: Device) -> None:
    """Raises ValueError where vLLM computes on another kind of device than the configuration names."""
    from vllm.platforms import current_platform

    if current_platform.device_type != device.kind:
        raise ValueError(
            f"the model is to run on {device.kind!r}, and this vLLM runs on {current_platform.device_type or 'nothing'!r}; install "
            "vLLM's build for it, give the process a GPU, or change cluster.generator_gpus"
        )


def config_of(served: Served, values: dict[str, Any], device: Device) -> Any:
    """vLLM's VllmConfig. Raises ValueError for an argument that vLLM does not have, or a value that it refuses."""
    from vllm import AsyncEngineArgs

    known = {field.name for field in fields(AsyncEngineArgs)}
    if unknown := [name for name in values if name not in known]:
        raise ValueError(f"generate.vllm.engine_args.{unknown[0]}: vLLM has no such argument")
    try:
        return AsyncEngineArgs(**values).create_engine_config()
    except (ValueError, TypeError, AssertionError) as error:
        raise ValueError(f"vLLM refuses {served.name}: {first_reason(error)}") from None


def keep_encoded(config: Any, tokens: int, device: Device) -> None:
    """Let vLLM keep the encoded clips of all pieces in flight: a clip's second question needs what its first one encoded.

    By itself it keeps as many tokens as a step computes. It does not count what it keeps beyond, so that comes off its share.
    """
    more = tokens - config.scheduler_config.encoder_cache_size
    if more <= 0:
        return
    if device.kind == "cuda":
        from vllm.platforms import current_platform

        model = config.model_config
        token_share = model.get_hidden_size() * model.dtype.itemsize / current_platform.get_device_total_memory()
        more = min(more, int(ENCODED_SHARE / token_share))
        config.cache_config.gpu_memory_utilization -= more * token_share
    config.scheduler_config.encoder_cache_size += more


def first_reason(error: BaseException) -> str:
    """The line of an error that says why: pydantic's first line only counts them.

    >>> first_reason(ValueError("1 validation error for ModelConfig\\n  Value error, no such model [type=value_error]"))
    'no such model'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    reasons = [line for line in lines if "validation error" not in line]
    return (reasons or lines)[0].removeprefix("Value error, ").removeprefix("Assertion failed, ").partition(" [type=")[0]
