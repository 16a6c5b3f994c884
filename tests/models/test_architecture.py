"""Pins that config.json read as JSON says what transformers builds of it: the shapes of all weights, the names of activations."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers.activations import ACT2FN

from llavas import write_released, write_stock
from models.base import ModelSpec
from models.folders import TINY
from models.pllava import checkpoints
from models.pllava.architecture import ACTIVATIONS, check_config, read_architecture
from models.pllava.loading import shapes_on_meta
from models.pllava.published import CONFIGS

BIASED = {"text_config": {"attention_bias": True, "mlp_bias": True}, "multimodal_projector_bias": False}
TIED = {"tie_word_embeddings": True}
WIDE_HEADS = {"text_config": {"head_dim": 24, "num_key_value_heads": 1}}
LATE_PATCHES = {"vision_config": {"image_size": 50, "patch_size": 7}}


@pytest.mark.parametrize("changes", [{}, BIASED, TIED, WIDE_HEADS, LATE_PATCHES], ids=str)
def test_weights_have_the_shapes_that_transformers_gives_them(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_stock(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for name, value in changes.items():
        config[name] = config[name] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(config))
    architecture, processor = checkpoints.describe(ModelSpec(base=str(tmp_path)))
    assert architecture.is_plain
    assert dict(architecture.weight_shapes) == shapes_on_meta(architecture, processor)


def test_the_tiny_model_s_weights_have_them_too() -> None:
    architecture, processor = checkpoints.describe(ModelSpec(base="tiny"))
    assert dict(architecture.weight_shapes) == shapes_on_meta(architecture, processor)


def test_another_llm_s_shapes_come_from_transformers(tmp_path: Path) -> None:
    write_stock(tmp_path, chatml=True)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["text_config"]["model_type"] = "qwen2"
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"lacks language_model\.model\.layers\.0\.self_attn\.q_proj\.bias"):
        checkpoints.open_checkpoint(ModelSpec(base=str(tmp_path)))


def test_activations_are_those_of_transformers() -> None:
    assert frozenset(ACT2FN.keys()) == ACTIVATIONS


def test_a_released_pllava_is_told_from_an_export_and_from_ours(tmp_path: Path) -> None:
    write_released(tmp_path / "released")
    write_stock(tmp_path / "stock")
    architectures = [read_architecture(folder) for folder in (tmp_path / "released", tmp_path / "stock", TINY)]
    assert [(a.is_released, a.is_pllava) for a in architectures] == [(True, True), (False, False), (False, True)]


@pytest.mark.parametrize("name", CONFIGS)
def test_published_configurations_are_read(name: str) -> None:
    architecture = check_config(Path(name) / "config.json", CONFIGS[name])
    assert architecture.video_shape(ModelSpec(base=name)).pooled == ((16, 14, 14) if "onevision" in name else (16, 12, 12))
    assert architecture.config["image_token_index"] < architecture.text["vocab_size"]


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("text_config", "num_attention_heads", 5, "text_config.hidden_size = 64 is not a multiple of num_attention_heads = 5"),
        ("vision_config", "num_attention_heads", 7, "vision_config.hidden_size = 64 is not a multiple"),
        ("text_config", "hidden_act", ["silu"], r"text_config.hidden_act = \['silu'\] is not an activation"),
        ("text_config", "pad_token_id", -2, "pad_token_id = "),
    ],
)
def test_sizes_that_no_model_has_are_named(tmp_path: Path, part: str, key: str, value: Any, message: str) -> None:
    write_stock(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config[part][key] = value
    with pytest.raises(ValueError, match=message):
        check_config(tmp_path / "config.json", config)
