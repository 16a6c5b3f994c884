"""Pins that what generates is what was trained, in bfloat16 too: a LoRA's small numbers are not rounded away.

The finetune computes W x + scale * B (A x). Rounded to the nearest, the sum of weight and LoRA keeps a quarter of such an update.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForImageTextToText

from models.base import Device, FinetuneSpec, ModelSpec, Turn, Video
from models.folders import fetch
from models.lora import LoraLinear, merged, rounded
from models.native import shrink
from models.native.loading import config_of
from models.pllava import convert, loading
from models.pllava.adapters import Delta, open_adapter
from models.pllava.layouts import StoredTensor, open_weights, stock_name
from models.registry import trainee
from models.vllm import pllava as vllm_pllava
from models.vllm.native import NativeServed

FINETUNE = FinetuneSpec(rank=64, alpha=16.0, dropout=0.0, projector=False)
UPDATE = 2e-4
"""Root mean square of B after a short finetune at the default learning rate."""


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSpec, Any]:
    """A base whose file is in bfloat16, with an adapter of small numbers; and the model under training that has it."""
    folder = tmp_path_factory.mktemp("bfloat16")
    shutil.copytree(fetch("tiny"), folder / "base")
    cast_files(folder / "base", torch.bfloat16)
    student: Any = trainee(ModelSpec(base=str(folder / "base")), FINETUNE, 0, Device("cpu", "bfloat16"))
    torch.manual_seed(1)
    for name, parameter in student.module.named_parameters():
        if "lora_B" in name:
            parameter.data = UPDATE * torch.randn_like(parameter)
    student.save(folder / "adapter", {n: p.detach() for n, p in student.module.named_parameters() if p.requires_grad})
    student.module.eval()
    return ModelSpec(base=str(folder / "base"), adapter=str(folder / "adapter")), student


def cast_files(folder: Path, dtype: torch.dtype) -> None:
    """Write the weights of a checkpoint in another dtype."""
    for path in folder.glob("*.safetensors"):
        save_file({name: tensor.to(dtype) for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})


def kept(spec: ModelSpec, after: Mapping[str, Tensor]) -> Iterator[float]:
    """The share of each weight's update that these weights in bfloat16, by stock names, have: 1 for all of it."""
    assert spec.adapter
    before = open_weights(Path(spec.base)).tensors
    for name, delta in open_adapter(Path(spec.adapter)).deltas.items():
        assert after[name].dtype == torch.bfloat16
        update = delta.scale * (delta.b.load().float() @ delta.a.load().float())
        yield float((update * (after[name].float() - before[name].load().bfloat16().float())).sum() / update.square().sum())


def test_a_model_in_bfloat16_computes_bit_by_bit_what_its_finetune_computes(tuned: tuple[ModelSpec, Any]) -> None:
    spec, student = tuned
    num_frames, size = student.frames.choose.num_frames, student.frames.size.size_px
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, size, size, 3), np.uint8)
    batch = student.batch([Video(frames, tuple(map(float, range(num_frames))))], [[Turn(0, "What is it?", "The circle rises.")]])
    del batch["labels"]
    model, _ = loading.load(spec, "bfloat16")
    base, _ = loading.load(ModelSpec(base=spec.base), "bfloat16")
    with torch.no_grad():
        trained, loaded, before = (own(**batch).logits for own in (student.module, model, base))
    assert torch.equal(loaded, trained)
    assert not torch.equal(loaded, before)


def test_the_lora_is_beside_the_weights_below_float32_alone(tuned: tuple[ModelSpec, Any]) -> None:
    half, exact = (loading.load(tuned[0], dtype)[0] for dtype in ("bfloat16", "float32"))
    count = [sum(isinstance(module, LoraLinear) for module in model.modules()) for model in (half, exact)]
    assert count == [2 * half.config.text_config.num_hidden_layers, 0]
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in half.parameters())


def test_an_export_in_bfloat16_has_the_whole_update(tuned: tuple[ModelSpec, Any], tmp_path: Path) -> None:
    convert.export(tuned[0], tmp_path / "out", lambda line: None)
    convert.export(tuned[0], tmp_path / "again", lambda line: None)
    shares = list(kept(tuned[0], {name: stored.load() for name, stored in open_weights(tmp_path / "out").tensors.items()}))
    assert len(shares) == 8
    assert np.mean(shares) == pytest.approx(1.0, abs=0.1)  # rounded to the nearest: .26
    for path in (tmp_path / "out").glob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    """A model of transformers whose file is in bfloat16, without a processor, with an adapter of small numbers."""
    folder = tmp_path_factory.mktemp("native")
    (folder / "base").mkdir()
    shrink.write(folder / "base", shrink.small(shrink.default_config("qwen3_vl")), seed=0)
    cast_files(folder / "base", torch.bfloat16)
    config = LoraConfig(r=FINETUNE.rank, lora_alpha=16, target_modules=r".*language_model\.layers\.\d+\.self_attn\.(q_proj|v_proj)")
    adapted = get_peft_model(AutoModelForImageTextToText.from_pretrained(folder / "base"), config)  # type: ignore[arg-type]
    torch.manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data = UPDATE * torch.randn_like(parameter)
    adapted.save_pretrained(str(folder / "adapter"))
    return ModelSpec(base=str(folder / "base"), adapter=str(folder / "adapter"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("family", ["pllava", "native"])
def test_what_vllm_loads_in_bfloat16_has_the_whole_update_whatever_the_dtype_of_the_files(
    family: str, dtype: torch.dtype, tuned: tuple[ModelSpec, Any], native: ModelSpec, tmp_path: Path
) -> None:
    spec = tuned[0] if family == "pllava" else native
    shutil.copytree(spec.base, tmp_path / "base")
    cast_files(tmp_path / "base", dtype)
    spec = replace(spec, base=str(tmp_path / "base"))
    served = vllm_pllava.serve(spec) if family == "pllava" else NativeServed(spec, config_of(spec), processor=cast(Any, None))
    shares = list(kept(spec, {stock_name(name): weight for name, weight in served.weights("bfloat16")}))
    assert len(shares) >= 4
    assert np.mean(shares) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    "weight", ["language_model.model.layers.0.mlp.experts.0.up_proj.weight", "language_model.model.norm.weight"]
)
def test_a_lora_of_no_linear_layer_is_refused(weight: str) -> None:
    """Transformers may keep in one parameter what a file keeps as several weights, such as a mixture's experts."""
    model = torch.nn.Module()
    model.language_model = torch.nn.ModuleDict({"norm": torch.nn.LayerNorm(4)})
    half = StoredTensor(path=Path("adapter_model.safetensors"), key="lora_A", shape=(2, 4), dtype="F32")
    with pytest.raises(ValueError, match=r"adapter_model.safetensors: lora_A is of no linear layer; merge the adapter with PEFT"):
        loading.put_beside(model, {weight: Delta(a=half, b=half, scale=1.0)})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_number_is_rounded_up_as_often_as_it_lies_near_the_upper_one(dtype: torch.dtype) -> None:
    step = torch.finfo(dtype).eps
    for exact in (1.0, -0.375, 0.0):
        assert torch.equal(rounded(torch.full((1000,), exact), dtype, "x"), torch.full((1000,), exact, dtype=dtype))
    for sign in (1.0, -1.0):
        values = rounded(torch.full((100_000,), sign * (1 + 0.2 * step)), dtype, "x").double()
        assert {*values.tolist()} == {sign, sign * (1 + step)}
        assert float((values != sign).double().mean()) == pytest.approx(0.2, abs=0.01)


def test_in_float32_nothing_is_rounded() -> None:
    torch.manual_seed(0)
    weight, a, b = torch.randn(8, 6), torch.randn(2, 6), torch.randn(8, 2)
    assert torch.equal(merged(weight, a, b, 0.25, "x"), weight + 0.25 * (b @ a))
