"""Pins that each recipe's budget is computed without the hub, and that the head of its file says what the budget says."""

import importlib.util

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

from engine.config import Train
from engine.presets import load_config
from engine.run.costs import gpu_hours, learning, watching
from engine.run.resources import afford
from models.base import FinetuneSpec, ModelSpec
from models.native.published import PUBLISHED
from models.native.shrink import published_config
from models.registry import check_finetune, size
from recipes import CONFIGS, NATIVE, PLLAVA, assert_head_is_true

LORA = FinetuneSpec(rank=128, alpha=32.0, dropout=0.05)
PARAMS = {
    "Qwen/Qwen3-VL-8B-Instruct": 8_767_123_696,
    "OpenGVLab/InternVL3_5-8B-HF": 8_528_318_464,
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": 8_030_807_584,
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": 2_246_784_880,
}
"""On the hub: 8.77, 8.53, 8.03 and 2.25 billion."""


def test_each_recipe_is_in_one_of_the_lists() -> None:
    assert sorted(path.stem for path in CONFIGS.glob("*.toml")) == sorted([*PLLAVA, *NATIVE, "demo", "icl"])


@pytest.mark.parametrize("recipe", PLLAVA)
def test_a_recipe_s_budget_needs_no_hub(recipe: str) -> None:
    lines = afford(load_config(CONFIGS / f"{recipe}.toml", []))
    assert any("16 frames become 2304 visual tokens" in line for line in lines)
    assert any(": generate: " in line for line in lines)
    assert any(": train: " in line for line in lines)


def test_the_head_of_the_pooled_recipe_is_true() -> None:
    assert_head_is_true("llava-onevision-7b-pooled")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_are_those_of_the_hub(name: str) -> None:
    config = published_config(name)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(CONFIG_MAPPING[config["model_type"]].from_dict(config))
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMS[name]


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is here")
@pytest.mark.parametrize("recipe", NATIVE)
def test_a_native_recipe_without_torchvision_is_one_line(recipe: str) -> None:
    with pytest.raises(ValueError, match=r"^\S+/\S+: its processor needs torchvision; pip install 'starloop\[native\]'$"):
        afford(load_config(CONFIGS / f"{recipe}.toml", []))


def test_a_pllava_is_not_finetuned_in_full_and_another_model_s_evaluation_goes_on() -> None:
    full = load_config(CONFIGS / "videostar-pllava-7b.toml", ["train.method=full"])
    with pytest.raises(
        ValueError, match=r"^llava-hf/llava-v1.6-vicuna-7b-hf: train.method = 'full' is not for PLLaVA and LLaVA; set"
    ):
        afford(full)
    lines = afford(full, trains=False)
    assert lines[0] == "llava-hf/llava-v1.6-vicuna-7b-hf: 7.06 B parameters"
    assert not any("train: " in line for line in lines)


def test_a_model_that_only_generates_first_needs_no_memory_for_training() -> None:
    config = load_config(CONFIGS / "pllava-7b.toml", ["model.instruct=llava-hf/llava-v1.6-34b-hf", "generate.piece_clips=6"])
    lines = afford(config)
    assert [line.partition(":")[0] for line in lines if ": train: " in line] == ["llava-hf/llava-v1.6-vicuna-7b-hf"]


def test_operations_of_a_clip_are_those_of_its_matrices() -> None:
    spec = ModelSpec(base="llava-hf/llava-v1.6-vicuna-7b-hf", num_frames=16, pooling_shape=(16, 12, 12))
    check_finetune(spec, LORA)
    seven = size(spec, LORA)
    tower = 2 * (303_507_456 + 20_979_712) * 16 * 576
    forward, attention = 2 * 6_738_939_904, 2 * 32 * 4096
    assert watching(seven) == tower + forward * 2304 + attention * 2304**2
    assert learning(seven, Train()) == tower + 2 * forward * 2560 + 3 * attention * 2560**2
    checkpointed = Train(gradient_checkpointing=True, method="full")
    assert learning(seven, checkpointed) == tower + 4 * forward * 2560 + 4 * attention * 2560**2
    assert gpu_hours(400e12, 3600) == 1.0
