"""Checkpoints of random weights for vLLM on a CPU."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from models.base import ModelSpec

os.environ.update(VLLM_LOGGING_LEVEL="ERROR", TOKENIZERS_PARALLELISM="false")
LLM = {"hidden_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024}
"""Heads of 32: vLLM's smallest on a CPU."""


@pytest.fixture(scope="session")
def pllava(tmp_path_factory: pytest.TempPathFactory) -> "ModelSpec":
    """A LLaVA with four frames, of random weights that are large enough for answers that differ."""
    import torch
    from transformers import LlamaConfig

    from llavas import TEXT, write_stock
    from models.base import ModelSpec

    folder = Path(tmp_path_factory.mktemp("pllava"))
    torch.manual_seed(0)
    write_stock(folder, llm=LlamaConfig(**TEXT | LLM | {"initializer_range": 0.3}))
    return ModelSpec(base=str(folder), num_frames=4, pooling_shape=(4, 4, 4))
