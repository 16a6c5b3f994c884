"""Small random checkpoints of transformers' video models that vLLM knows too."""

from pathlib import Path

import pytest

from models.base import ModelSpec
from models.native import shrink
from models.native.published import PUBLISHED

HEAD = 32
"""vLLM's smallest on a CPU."""


def a_checkpoint(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    """Random weights of a kind, with the names of tokens that vLLM's code writes for it."""
    if kind == "qwen3_vl":
        names = {"video_token": "<|video_pad|>", "image_token": "<|image_pad|>"}
        monkeypatch.setattr(shrink, "NAMED", shrink.NAMED | names)
        image = "{% elif part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}"
        chat = shrink.CHAT.replace("@video@", "<|vision_start|>@video@<|vision_end|>").replace("{% else %}", image)
        monkeypatch.setattr(shrink, "CHAT", chat)
    monkeypatch.setattr(shrink, "HEAD", HEAD)
    monkeypatch.setattr(shrink, "TEXT", shrink.TEXT | {"head_dim": HEAD, "global_head_dim": HEAD, "hidden_size": 128})
    monkeypatch.setattr(shrink, "TOWER", shrink.TOWER | {"out_hidden_size": 128, "hidden_size": 64})
    name = next(name for name, published in PUBLISHED.items() if published == kind)
    return shrink.shrink(ModelSpec(base=name, num_frames=4), folder, seed=0)
