"""vLLM's loader for our checkpoints: each weight is merged with the adapters on its way into the model.

So a cycle's model takes no disk, and vLLM loads what the built-in engine loads. With tensor parallelism each worker reads all files
and keeps its share, as with vLLM's own loader.
"""

from functools import cache
from typing import Any, cast

from torch import nn
from vllm.config import ModelConfig
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.base_loader import BaseModelLoader

from models.base import ModelSpec
from models.vllm.served import serving


@cache
def register(load_format: str) -> None:
    """Make the loader known to vLLM under a name."""
    register_model_loader(load_format)(MergingLoader)


class MergingLoader(BaseModelLoader):
    """vLLM's model_loader_extra_config is {"spec": ModelSpec(...)}."""

    def download_model(self, model_config: ModelConfig) -> None:
        """The files are here: engine/store/weights.py fetched them."""

    def load_weights(self, model: nn.Module, model_config: ModelConfig) -> None:
        extra: Any = self.load_config.model_loader_extra_config
        spec: ModelSpec = extra["spec"]
        dtype = str(model_config.dtype).removeprefix("torch.")
        loaded: set[str] = cast(Any, model).load_weights(serving(spec).weights(dtype))
        if missing := {name for name, _ in model.named_parameters()} - loaded:
            raise ValueError(f"{spec.base_name} lacks {', '.join(sorted(missing)[:3])}, which vLLM needs; is it complete?")
