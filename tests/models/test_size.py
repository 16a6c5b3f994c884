"""Pins that sizes computed from config.json are those of the model itself, and that the budget's figures are the published ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.config import Cluster, Generate, RunConfig, Train
from engine.presets import load_config
from engine.run.resources import GIB, budget, generation
from llavas import write_stock
from models.base import FinetuneSpec, ModelSize, ModelSpec
from models.pllava import checkpoints, loading
from models.pllava.configuration import PllavaConfig
from models.pllava.modeling import PllavaForConditionalGeneration
from models.registry import published_size, size

VICUNA: dict[str, Any] = {"vocab_size": 32064, "max_position_embeddings": 4096}
SHAPES: dict[str, dict[str, Any]] = {
    "7b": VICUNA,
    "13b": VICUNA | {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40},
    "34b": {
        "vocab_size": 64064, "max_position_embeddings": 4096, "hidden_size": 7168, "intermediate_size": 20480,
        "num_hidden_layers": 60, "num_attention_heads": 56, "num_key_value_heads": 8,
    },
}  # fmt: skip
LORA_128 = FinetuneSpec(rank=128, alpha=32.0, dropout=0.05)
LORA = {"7b": 67.1, "13b": 104.9, "34b": 173.0}
"""Millions, r = 128 on q and v."""


def write_config(folder: Path, shape: str) -> Path:
    """config.json as the hub has it: what is default is left out."""
    vision = {"hidden_size": 1024, "image_size": 336, "intermediate_size": 4096, "num_attention_heads": 16, "patch_size": 14}
    vision |= {"num_hidden_layers": 24, "projection_dim": 768}
    (folder / "config.json").write_text(
        json.dumps({"model_type": "llava_next", "vision_config": vision, "text_config": SHAPES[shape]})
    )
    return folder


def on_meta(folder: Path) -> PllavaForConditionalGeneration:
    found = json.loads((folder / "config.json").read_text())
    with torch.device("meta"):
        return PllavaForConditionalGeneration(
            PllavaConfig(
                vision_config=found["vision_config"] | {"model_type": "clip_vision_model"},
                text_config=found["text_config"] | {"model_type": "llama"},
            )
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_sizes_are_those_of_the_model_on_the_meta_device(tmp_path: Path, shape: str) -> None:
    counted, model = size(ModelSpec(base=str(write_config(tmp_path, shape))), LORA_128), on_meta(tmp_path)
    parts = {
        "tower_params": model.model.vision_tower,
        "projector_params": model.model.multi_modal_projector,
        "llm_params": torch.nn.ModuleList([model.model.language_model, model.lm_head]),
    }
    assert {name: getattr(counted, name) for name in parts} == {n: sum(p.numel() for p in m.parameters()) for n, m in parts.items()}
    assert counted.params == sum(p.numel() for p in model.parameters())
    assert round(counted.lora_params / 1e6, 1) == LORA[shape]
    assert counted.video_tokens == 2304


def test_the_lora_is_peft_s(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    counted, model = size(ModelSpec(base=str(write_config(tmp_path, "34b"))), LORA_128), on_meta(tmp_path)
    with torch.device("meta"):
        peft = get_peft_model(model, LoraConfig(r=128, target_modules=checkpoints.LORA_TARGETS), low_cpu_mem_usage=True)
    assert counted.lora_params == sum(p.numel() for name, p in peft.named_parameters() if "lora_" in name)


def test_the_7b_budget_is_the_published_one(tmp_path: Path) -> None:
    seven = size(ModelSpec(base=str(write_config(tmp_path, "7b"))), LORA_128)
    assert (round(seven.params / 1e9, 2), round(seven.trained_params / 1e6, 1)) == (7.06, 88.1)
    assert (round(seven.lora_params / 1e6, 1), round(seven.projector_params / 1e6, 2)) == (67.1, 20.98)
    assert seven.kv_values_per_token * 2 == 524_288
    lines = budget(a_config(), seven).lines
    assert lines[0] == "7.06 B parameters, and 88.1 M that are trained (LoRA 67.1 M, projector 21.0 M)"
    assert lines[1].startswith("16 frames become 2304 visual tokens; with 256 of answer they leave 1536 of the context's 4096")
    assert generation(a_config(), seven).parts["keys and values of 16 clips"] == 16 * 2304 * 524_288


def a_config(**cluster: Any) -> RunConfig:
    return RunConfig(
        cluster=Cluster(**{"generator_gpus": 1.0, "train_gpus": 1.0} | cluster),
        generate=Generate(piece_clips=16),
        train=Train(num_workers=8, batch_rows=128, micro_batch_rows=4, gradient_checkpointing=True),
    )


def test_what_cannot_fit_is_refused_with_the_numbers(tmp_path: Path) -> None:
    seven = size(ModelSpec(base=str(write_config(tmp_path, "7b"))), LORA_128)
    assert budget(a_config(), seven).refusals == []
    (refusal,) = budget(a_config(gpu_memory_gib=40), seven).refusals
    assert "generate:" in refusal
    assert "and cluster.gpu_memory_gib is 40; generate.piece_clips = 9 fits" in refusal
    config = a_config(gpu_memory_gib=40)
    fitting = config.model_copy(update={"generate": Generate(piece_clips=9)})
    assert generation(fitting, seven).total <= 40 * GIB < generation(config, seven).total
    small = a_config(gpu_memory_gib=16)
    assert [refusal for refusal in budget(small, seven).refusals if "train:" in refusal and "try a smaller train.micro" in refusal]
    long = a_config().model_copy(update={"generate": Generate(max_tokens=1800)})
    assert budget(long, seven).refusals[0].startswith("2304 visual tokens and generate.max_tokens = 1800 fill the model's context")


def test_nothing_is_refused_for_memory_on_cpu(tmp_path: Path) -> None:
    large: ModelSize = size(ModelSpec(base=str(write_config(tmp_path, "34b"))), LORA_128)
    assert budget(a_config(generator_gpus=0.0, train_gpus=0.0, gpu_memory_gib=1), large).refusals == []


def test_a_stock_folder_and_the_tiny_one(tmp_path: Path) -> None:
    write_stock(tmp_path)
    for base in ("tiny", str(tmp_path)):
        model, _ = loading.load_base(ModelSpec(base=base))
        assert size(ModelSpec(base=base), LORA_128).params == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shipped_recipe_fits_its_model(tmp_path: Path, shape: str) -> None:
    there = size(ModelSpec(base=str(write_config(tmp_path, shape))), LORA_128)
    recipes = sorted(Path("jobs/configs").glob(f"*pllava-{shape}*.toml"))
    assert recipes
    for path in recipes:
        assert budget(load_config(path, []), there).refusals == [], path


def test_a_finetune_without_the_projector_trains_the_lora_alone_and_none_is_full(tmp_path: Path) -> None:
    spec = ModelSpec(base=str(write_config(tmp_path, "7b")))
    seven = size(spec, replace(LORA_128, projector=False))
    assert seven.trained_params == seven.lora_params == size(spec, LORA_128).trained_params - seven.projector_params
    with pytest.raises(ValueError, match=r"train.method = 'full' is not for PLLaVA and LLaVA"):
        size(spec, replace(LORA_128, method="full"))


@pytest.mark.parametrize(("base", "billions"), [("llava-hf/llava-v1.6-vicuna-7b-hf", 7.06), ("llava-hf/llava-v1.6-34b-hf", 34.75)])
def test_a_published_checkpoint_has_a_size_without_the_hub(base: str, billions: float) -> None:
    known = published_size(ModelSpec(base=base), FinetuneSpec(rank=128, alpha=32.0, dropout=0.0))
    assert known is not None
    assert round(known.params / 1e9, 2) == billions
    assert published_size(ModelSpec(base="owner/other"), FinetuneSpec(rank=128, alpha=32.0, dropout=0.0)) is None
