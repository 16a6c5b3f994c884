"""Pins which LoRA adapters are merged: those that PEFT computes the same with; all others are refused by a key's name."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from llavas import stock_tensors, write_stock
from models.base import ModelSpec
from models.pllava import convert, loading
from models.pllava.checkpoints import LORA_TARGETS, PROJECTOR

SHAPE: dict[str, Any] = {"num_frames": 2, "pooling_shape": (2, 2, 2)}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "stock"
    write_stock(folder)
    return folder


def load(base: Path, adapter: Path | None = None, **fields: Any) -> tuple[Any, Any]:
    return loading.load(ModelSpec(base=str(base), adapter=str(adapter) if adapter else None, **SHAPE, **fields))


def write_adapter(base: Path, out: Path, **settings: Any) -> None:
    """A PEFT adapter with random weights, as training leaves one."""
    model, _ = load(base)
    config = LoraConfig(**{"r": 4, "lora_alpha": 24, "target_modules": LORA_TARGETS} | settings)
    adapted = get_peft_model(model, config)
    torch.manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn_like(parameter) / 8
        elif "modules_to_save" in name:
            parameter.data = parameter + torch.randn_like(parameter) / 8
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(str(out))


@pytest.fixture(scope="module")
def plain(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adapter") / "plain"
    write_adapter(base, out)
    return out


def change_config(adapter: Path, **changes: Any) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def logits(model: Any, processor: Any) -> torch.Tensor:
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 2, 48, 48, 3), dtype=np.uint8))
    with torch.no_grad():
        out: torch.Tensor = model(**processor([processor.chat("what is it?")], videos=frames)).logits
    return out


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"init_lora_weights": "orthogonal"},
        {"init_lora_weights": "gaussian", "modules_to_save": [PROJECTOR]},
        {
            "init_lora_weights": False,
            "layers_to_transform": [1],
            "target_modules": ["q_proj", "o_proj"],
            "layers_pattern": "layers",
        },
    ],
    ids=str,
)
def test_what_is_merged_is_what_peft_computes(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    write_adapter(base, tmp_path / "adapter", **settings)
    merged, processor = load(base, tmp_path / "adapter")
    plain, _ = load(base)
    theirs = PeftModel.from_pretrained(load(base)[0], str(tmp_path / "adapter")).eval()
    torch.testing.assert_close(logits(merged, processor), logits(theirs, processor), atol=1e-4, rtol=1e-4)
    assert (logits(merged, processor) - logits(plain, processor)).abs().max() > 1e-2, "the LoRA changes nothing"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("init_lora_weights", "pissa", "init_lora_weights = 'pissa'; only plain LoRA adapters are merged: merge it with PEFT"),
        ("init_lora_weights", "pissa_niter_16", "init_lora_weights = 'pissa_niter_16'"),
        ("init_lora_weights", "olora", "init_lora_weights = 'olora'"),
        ("init_lora_weights", "eva", "init_lora_weights = 'eva'"),
        ("init_lora_weights", "loftq", "init_lora_weights = 'loftq'"),
        ("init_lora_weights", "corda", "init_lora_weights = 'corda'"),
        ("init_lora_weights", "lora_ga", "init_lora_weights = 'lora_ga'"),
        ("init_lora_weights", "of tomorrow", "init_lora_weights = 'of tomorrow'"),
        ("alora_invocation_tokens", [1, 2], r"alora_invocation_tokens = \[1, 2\]"),
        ("corda_config", {"corda_method": "kpm"}, "corda_config = "),
        ("loftq_config", {"loftq_bits": 4}, "loftq_config = "),
        ("eva_config", {"rho": 2.0}, "eva_config = "),
        ("use_dora", True, "use_dora = True"),
        ("use_qalora", True, "use_qalora = True"),
        ("use_frob", True, "use_frob = True"),
        ("lora_bias", True, "lora_bias = True"),
        ("fan_in_fan_out", True, "fan_in_fan_out = True"),
        ("alpha_pattern", {".*": 8}, "alpha_pattern = "),
        ("rank_pattern", {"q_proj": 8}, "rank_pattern = "),
        ("trainable_token_indices", [3], "trainable_token_indices = "),
        ("target_parameters", ["mlp.gate_proj.weight"], "target_parameters = "),
        ("layer_replication", [[0, 2], [1, 3]], "layer_replication = "),
        ("megatron_config", {"a": 1}, "megatron_config = "),
        ("ensure_weight_tying", True, "ensure_weight_tying = True"),
        ("peft_type", "IA3", "peft_type = 'IA3'"),
        ("peft_type", None, "peft_type = None"),
        ("bias", "lora_only", "bias = 'lora_only'"),
        ("r", 999, "r = 999, and the weights beside it are of rank 4"),
        ("lora_alpha", float("nan"), "lora_alpha = nan is not a number above 0"),
        ("lora_alpha", None, "lora_alpha = None is not a number above 0"),
    ],
)
def test_an_adapter_that_means_something_else_is_refused(
    base: Path, plain: Path, tmp_path: Path, key: str, value: Any, message: str
) -> None:
    shutil.copytree(plain, tmp_path / "adapter")
    change_config(tmp_path / "adapter", **{key: value})
    with pytest.raises(ValueError, match=rf"adapter_config\.json: {message}") as caught:
        load(base, tmp_path / "adapter")
    assert len(str(caught.value).splitlines()) == 1


def test_a_key_that_is_off_is_no_reason(base: Path, plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "adapter")
    change_config(tmp_path / "adapter", use_frob=False, frob_config=None, task_type="CAUSAL_LM", init_lora_weights="True")
    load(base, tmp_path / "adapter")


def test_another_name_of_the_base_is_a_warning(base: Path, plain: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(plain, tmp_path / "adapter")
    load(base, tmp_path / "adapter")
    assert caplog.records == []
    change_config(tmp_path / "adapter", base_model_name_or_path="lmsys/vicuna-13b-v1.5")
    shutil.copytree(tmp_path / "adapter", tmp_path / "other")
    with caplog.at_level(logging.WARNING):
        load(base, tmp_path / "other")
    (line,) = [record.getMessage() for record in caplog.records]
    assert "was trained on lmsys/vicuna-13b-v1.5, and is merged into" in line


def spoil(folder: Path, part: str, value: float) -> str:
    """Puts a value into a weight with this part in its name; returns the weight's file."""
    for path in sorted(folder.glob("*.safetensors")):
        tensors = load_file(path)
        if names := [name for name in tensors if part in name]:
            tensors[names[0]].view(-1)[-1] = value
            save_file(tensors, path, metadata={"format": "pt"})
            return path.name
    raise AssertionError(part)


@pytest.mark.parametrize(("part", "value"), [("layers.1.mlp.up_proj", float("nan")), ("vision_tower", float("-inf"))])
def test_a_base_with_a_value_that_is_not_finite_is_refused(base: Path, tmp_path: Path, part: str, value: float) -> None:
    shutil.copytree(base, tmp_path / "base")
    file = spoil(tmp_path / "base", part, value)
    with pytest.raises(ValueError, match=rf"{file}: \S*{part}\S* holds NaN or infinite values"):
        load(tmp_path / "base")
    with pytest.raises(ValueError, match="holds NaN or infinite values"):
        convert.export(ModelSpec(base=str(tmp_path / "base")), tmp_path / "out", lambda line: None)
    assert not (tmp_path / "out").exists()


def test_what_is_not_used_of_a_checkpoint_may_hold_anything(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "base")
    save_file({"language_model.model.rotary_emb.inv_freq": torch.full((4,), float("nan"))}, tmp_path / "base" / "x.safetensors")
    index = tmp_path / "base" / "model.safetensors.index.json"
    listed = json.loads(index.read_text())
    listed["weight_map"]["language_model.model.rotary_emb.inv_freq"] = "x.safetensors"
    index.write_text(json.dumps(listed))
    load(tmp_path / "base")


@pytest.mark.parametrize("part", ["lora_A", "lora_B", PROJECTOR])
def test_an_adapter_with_a_value_that_is_not_finite_is_refused(base: Path, tmp_path: Path, part: str) -> None:
    write_adapter(base, tmp_path / "adapter", modules_to_save=[PROJECTOR])
    spoil(tmp_path / "adapter", part, float("nan"))
    with pytest.raises(ValueError, match=rf"adapter_model\.safetensors: \S*{part}\S* holds NaN or infinite values"):
        load(base, tmp_path / "adapter")


def test_a_merge_that_overflows_is_refused(base: Path, plain: Path, tmp_path: Path) -> None:
    """A base in float16, as many of the hub's are, has no values beyond 65,504."""
    shutil.copytree(base, tmp_path / "half")
    for path in (tmp_path / "half").glob("*.safetensors"):
        save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
    assert {tensor.dtype for tensor in stock_tensors(tmp_path / "half").values()} == {torch.float16}
    spec = ModelSpec(base=str(tmp_path / "half"), adapter=str(plain), alpha=1e8, **SHAPE)
    with pytest.raises(ValueError, match=r"merged with \S+lora_A\S+, language_model\S+ is not finite; lower the LoRA alpha"):
        convert.export(spec, tmp_path / "out", lambda line: None)
