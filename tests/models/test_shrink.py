"""Pins that a shrunk checkpoint is the recipe's architecture and layout, a few MB small, and loads, trains and answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.presets import load_config
from llavas import stock_tensors, write_released, write_stock
from models.base import Device, Evenly, FinetuneSpec, ModelSpec, PoolingName, Sampling, Square, Stretch, Turn
from models.pllava import checkpoints, loading
from models.pllava.layouts import open_weights
from models.registry import check, frame_spec, load, shrink, trainee
from watching import replies, videos_of

RECIPES = sorted(path for path in Path("jobs/configs").glob("*pllava-*.toml"))
HALF = Device("cpu", "bfloat16")


def config_of(spec: ModelSpec) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((Path(spec.base) / "config.json").read_text())
    return config


def spec_of(recipe: Path) -> ModelSpec:
    section = load_config(recipe, []).model
    return ModelSpec(base=section.base, num_frames=section.num_frames, pooling_shape=section.pooling_shape)


def test_there_are_recipes() -> None:
    assert len(RECIPES) == 5


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_rehearsed_in_bfloat16(recipe: Path, tmp_path: Path) -> None:
    small = shrink(spec_of(recipe), tmp_path / "small", seed=0)
    check(small)
    assert sum(path.stat().st_size for path in (tmp_path / "small").iterdir()) < 4_000_000
    assert frame_spec(small) == trainee(small, FinetuneSpec(rank=4, alpha=8.0, dropout=0.0), 0, HALF).frames
    assert small.pooling_shape == (4, 2, 2)
    videos = videos_of(np.random.default_rng(0).integers(0, 256, (2, 4, 56, 56, 3), dtype=np.uint8))
    answers = replies(load(small, HALF), videos, ["What happens?"] * 2, [0, 1], Sampling(temperature=1.0, max_tokens=8))
    assert all(answer.num_tokens for answer in answers)
    student = trainee(small, FinetuneSpec(rank=4, alpha=8.0, dropout=0.0, gradient_checkpointing=True), 0, HALF)
    student.module.train()
    student.module(**student.batch(videos, [[Turn(0, "What?", "It is so.")]])).loss.backward()
    gradients = [p.grad for p in student.module.parameters() if p.requires_grad]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)


def test_the_34b_s_own_ways_are_kept(tmp_path: Path) -> None:
    small = shrink(ModelSpec(base="llava-hf/llava-v1.6-34b-hf"), tmp_path, seed=0)
    config = config_of(small)
    text = config["text_config"]
    assert (config["model_type"], text["rope_theta"], text["rms_norm_eps"]) == ("llava_next", 5_000_000.0, 1e-5)
    assert (text["num_attention_heads"], text["num_key_value_heads"]) == (14, 2), "56 and 8 in the 34B"
    assert text["max_position_embeddings"] == 4096
    _, processor = checkpoints.describe(small)
    assert processor.chat("q").startswith("<s><|im_start|>user\n")
    assert "image_newline" in stock_tensors(tmp_path)


def test_the_7b_shares_no_heads_and_speaks_as_vicuna(tmp_path: Path) -> None:
    small = shrink(ModelSpec(base="llava-hf/llava-v1.6-vicuna-7b-hf"), tmp_path, seed=0)
    assert config_of(small)["text_config"]["num_attention_heads"] == config_of(small)["text_config"]["num_key_value_heads"] == 2
    _, processor = checkpoints.describe(small)
    assert processor.chat("q") == "<s>USER: <video>\nq ASSISTANT:"


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    spec = ModelSpec(base="llava-hf/llava-v1.6-vicuna-7b-hf")
    first, same, other = (stock_tensors(Path(shrink(spec, tmp_path / str(i), seed).base)) for i, seed in enumerate((5, 5, 6)))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["image_newline"], other["image_newline"])


@pytest.mark.parametrize("pooling", ["pllava", "llava_onevision", "llava_next_video"])
def test_llava_onevision_is_rehearsed_with_a_pool(tmp_path: Path, pooling: PoolingName) -> None:
    """Of its published sizes, without the hub; and a folder's own kind, tower and LLM stay what they are."""
    spec = ModelSpec(base="llava-hf/llava-onevision-qwen2-7b-ov-hf", num_frames=16, pooling=pooling)
    small = shrink(spec, tmp_path / "small", seed=0)
    config = config_of(small)
    kinds = (config["model_type"], config["vision_config"]["model_type"], config["text_config"]["model_type"])
    assert kinds == ("llava_onevision", "siglip_vision_model", "qwen2")
    shape = (4, 1, 1) if pooling == "llava_next_video" else (4, 2, 2)
    assert (small.pooling, small.pooling_shape, frame_spec(small).size) == (pooling, shape, Stretch(height_px=56, width_px=56))
    videos = videos_of(np.random.default_rng(0).integers(0, 256, (2, 4, 56, 56, 3), dtype=np.uint8))
    assert len(replies(load(small, HALF), videos, ["What happens?"] * 2, [0, 1], Sampling(temperature=1.0, max_tokens=4))) == 2
    student = trainee(small, FinetuneSpec(rank=4, alpha=8.0, dropout=0.0), 0, HALF)
    student.module(**student.batch(videos, [[Turn(0, "What?", "It is so.")]])).loss.backward()
    again = shrink(small, tmp_path / "again", seed=0)
    assert config_of(again)["vision_config"] == config["vision_config"]


@pytest.mark.parametrize("layout", ["stock", "next", "released", "pllava"])
def test_every_layout_stays_what_it_is(tmp_path: Path, layout: str) -> None:
    source = tmp_path / "source"
    if layout == "released":
        write_released(source)
    elif layout != "pllava":
        write_stock(source, next_gen=layout == "next", chatml=layout == "stock")
    large = ModelSpec(base="tiny" if layout == "pllava" else str(source))
    small = shrink(large, tmp_path / "small", seed=0)
    weights, source_weights = open_weights(Path(small.base)), open_weights(checkpoints.fetch(large.base))
    assert bool(weights.lora) == bool(source_weights.lora) == (layout == "released")
    kinds = [
        {name.replace(".2.", ".1.") for name in names if ".3." not in name} for names in (weights.tensors, source_weights.tensors)
    ]
    assert kinds[0] == kinds[1]
    assert ("image_newline" in stock_tensors(Path(small.base))) == (layout == "next")
    _, processor = loading.load(small)
    _, its_processor = checkpoints.describe(large)
    assert processor.chat("q", "a") == its_processor.chat("q", "a"), "the source's own tokenizer is at hand"
    spec = frame_spec(small)
    assert spec.choose == Evenly(4)
    assert isinstance(spec.size, Square)


def test_biases_ties_and_activations_are_kept(tmp_path: Path) -> None:
    write_stock(tmp_path / "source")
    path = tmp_path / "source" / "config.json"
    config = json.loads(path.read_text())
    config |= {"tie_word_embeddings": True, "projector_hidden_act": "relu", "multimodal_projector_bias": False}
    config["text_config"] |= {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu", "rms_norm_eps": 0.25}
    path.write_text(json.dumps(config))
    model, _ = loading.load(shrink(ModelSpec(base=str(tmp_path / "source")), tmp_path / "small", seed=0))
    names = {name for name, _ in model.named_parameters()}
    assert {name.rpartition(".")[2] for name in names if "linear_1" in name} == {"weight"}
    assert any(name.endswith("self_attn.o_proj.bias") for name in names)
    assert any(name.endswith("mlp.down_proj.bias") for name in names)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    text = model.config.text_config
    assert (text.hidden_act, text.rms_norm_eps, model.config.projector_hidden_act) == ("gelu", 0.25, "relu")


def test_another_llm_is_one_line(tmp_path: Path) -> None:
    write_stock(tmp_path / "source")
    path = tmp_path / "source" / "config.json"
    config = json.loads(path.read_text())
    config["text_config"]["model_type"] = "phi3"
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="a 'phi3' LLM cannot be rehearsed; those that can are llama, mistral, qwen2, gemma"):
        shrink(ModelSpec(base=str(tmp_path / "source")), tmp_path / "small", seed=0)
