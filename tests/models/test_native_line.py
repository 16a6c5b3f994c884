"""Pins one line each, before a model is loaded: a processor that needs more packages, and a model without video."""

import importlib.util
import json
from pathlib import Path

import pytest

from models import registry
from models.base import Device, FinetuneSpec, ModelSpec


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is here")
def test_without_torchvision(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3_vl"}))
    spec = ModelSpec(base=str(tmp_path))
    finetune = FinetuneSpec(rank=4, alpha=4.0, dropout=0.0)
    for call in (
        lambda: registry.check(spec),
        lambda: registry.size(spec, finetune),
        lambda: registry.frame_spec(spec),
        lambda: registry.load(spec, Device("cpu", "float32")),
    ):
        with pytest.raises(ValueError, match=r"its processor needs torchvision; pip install 'starloop\[native\]'$"):
            call()


@pytest.mark.parametrize("kind", ["bert", "gemma3", "no_such_model"])
def test_a_model_without_video(tmp_path: Path, kind: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ValueError, match=rf"is a '{kind}' checkpoint, a model without video; docs/models.md lists what is read$"):
        registry.frame_spec(ModelSpec(base=str(tmp_path)))
