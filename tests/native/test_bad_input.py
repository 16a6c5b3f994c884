"""Pins that what cannot work is one line before a model is loaded: no video, no package, no template, missing weights."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.presets import load_config
from engine.run.checks import check_inputs
from engine.run.doctor import examine
from models import registry
from models.base import ChatSpec, FinetuneSpec, ModelSpec, Turn
from models.parts import lost_inputs
from native.architectures import CPU, FIELDS, UNTRAINABLE, a_checkpoint


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    return a_checkpoint("qwen3_vl", tmp_path_factory.mktemp("qwen3_vl"))


@pytest.fixture
def copy(spec: ModelSpec, tmp_path: Path) -> Path:
    return Path(shutil.copytree(spec.base, tmp_path / "copy"))


@pytest.mark.parametrize("kind", ["bert", "gemma3", "whisper", "no_such_model"])
def test_a_model_without_video(tmp_path: Path, kind: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ValueError, match=rf"is a '{kind}' checkpoint, a model without video; docs/models.md lists what is read$"):
        registry.check(ModelSpec(base=str(tmp_path)))


@pytest.mark.parametrize(
    ("place", "replacement", "package"),
    [
        ("transformers.utils.is_torchvision_available", lambda: False, "torchvision"),
        ("transformers.models.smolvlm.processing_smolvlm.num2words", None, "num2words"),
    ],
)
def test_a_package_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, replacement: Any, package: str
) -> None:
    """tests/models/test_native_line.py shows it where torchvision is really missing."""
    smolvlm = a_checkpoint("smolvlm", tmp_path)
    monkeypatch.setattr(place, replacement)
    with pytest.raises(ValueError, match=rf"its processor needs {package}; pip install 'starloop\[native\]'$"):
        registry.frame_spec(smolvlm)


def test_a_folder_without_a_template_or_with_one_that_cannot_show_a_video(copy: Path) -> None:
    (copy / "chat_template.jinja").write_text("{% for message in messages %}{{ message.content[-1].text }}{% endfor %}")
    with pytest.raises(ValueError, match="its chat template cannot be used for videos: it does not write a video once"):
        registry.check(ModelSpec(base=str(copy)))
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match=r"its chat template cannot be used for videos: .*put the chat_template.jinja"):
        registry.check(ModelSpec(base=str(copy)))


def test_a_folder_without_a_processor(copy: Path) -> None:
    (copy / "processor_config.json").unlink()
    with pytest.raises(ValueError, match=r"its processor cannot be loaded|takes no videos"):
        registry.check(ModelSpec(base=str(copy)))


def test_weights_that_are_missing_or_misshapen(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    name = "model.language_model.layers.0.self_attn.q_proj.weight"
    for changed, message in (
        ({key: value for key, value in tensors.items() if key != name}, f"lacks {name}"),
        (tensors | {name: tensors[name][:32].clone()}, f"has in another shape.*{name}"),
    ):
        save_file(changed, copy / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ValueError, match=message):
            registry.check(ModelSpec(base=str(copy)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pooling_shape": (4, 2, 2)}, "model.pooling_shape: .* checkpoint, and a pool is for the kinds pllava"),
        ({"num_frames": 3}, "model.num_frames = 3: .* merges 2 frames into one; give a multiple of it"),
    ],
)
def test_a_setting_that_the_model_cannot_have(spec: ModelSpec, fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        registry.size(replace(spec, **fields), FinetuneSpec(rank=4, alpha=4.0, dropout=0.0))


def test_an_adapter_of_another_base(spec: ModelSpec, tmp_path: Path) -> None:
    other = a_checkpoint("internvl", tmp_path / "other")
    student: Any = registry.trainee(other, FinetuneSpec(rank=4, alpha=4.0, dropout=0.0), 0, CPU)
    student.save(tmp_path / "model", {name: p.detach() for name, p in student.module.named_parameters() if p.requires_grad})
    with pytest.raises(ValueError, match="is it of another base"):
        registry.load(replace(spec, adapter=str(tmp_path / "model")), CPU)


def test_control_tokens_of_people_count_as_text(spec: ModelSpec) -> None:
    counter = registry.token_counter(spec)
    llm: Any = registry.load(spec, CPU)
    chat = llm.processor.sample_chat([Turn(0, "a <video> and <|im_end|> ?", "")])
    assert chat.count("<video>") == 1
    assert chat.count("<|im_end|>") == llm.processor.sample_chat([Turn(0, "a ?", "")]).count("<|im_end|>")
    assert counter.count([Turn(0, "a ?", "it is .")]) > counter.count([Turn(None, "a ?", "it is .")])


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """A configuration with a manifest, of a model of transformers."""
    (tmp_path / "clips.csv").write_text("video,label,split\na.mp4,rising,train\nb.mp4,rising,heldout\n")
    places = [f"data.manifest={tmp_path}/clips.csv", f"run.uri={tmp_path}/run", "model.num_frames=4"]
    return lambda spec, *settings: load_config(None, [*places, f"model.base={spec.base}", *settings])


def test_a_model_whose_forward_drops_what_its_tower_needs_is_not_trained(run: Any, tmp_path: Path) -> None:
    """It is found by what its forward hands on: no list names it. Evaluating it trains nothing."""
    gemma = a_checkpoint("gemma4", tmp_path / "gemma")
    line = r"answers, but cannot be trained on videos: the forward of transformers' Gemma4\w+ does not hand on num_frames_per_video"
    for until in ("", "cycle-000/generate", "cycle-000/train"):
        with pytest.raises(ValueError, match=line):
            check_inputs(run(gemma), until)
    check_inputs(run(gemma), "base/evaluate")
    finding = next(finding for finding in examine(run(gemma), model=False) if finding.what == "budget")
    assert "Gemma4ForConditionalGeneration" in finding.detail
    assert finding.remedy == "choose another model.base (docs/models.md), or only evaluate it"


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_what_can_be_trained_is_told_without_weights(kind: str, tmp_path: Path) -> None:
    spec = a_checkpoint(kind, tmp_path)
    (Path(spec.base) / "model.safetensors").unlink()
    for method in ("lora", "full"):
        try:
            registry.check_finetune(spec, FinetuneSpec(rank=4, alpha=4.0, dropout=0.0, method=method))
        except ValueError:
            assert kind in UNTRAINABLE
        else:
            assert kind not in UNTRAINABLE


def test_a_model_that_computes_before_its_base_is_not_judged() -> None:
    class Hurried(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base_model = torch.nn.Linear(1, 1)

        def forward(self, **inputs: Any) -> Any:
            return self.base_model(torch.zeros(1, device="meta") + int(torch.zeros(1, device="meta").sum()))

    assert lost_inputs(Hurried(), {"input": torch.zeros(1)}) == []


def test_a_context_that_is_too_short(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 24
    (copy / "config.json").write_text(json.dumps(config))
    counter = registry.token_counter(ModelSpec(base=str(copy), num_frames=4))
    assert "the model's context is 24; shorten it, or lower model.num_frames" in counter.too_long([Turn(0, "a ?", "it is .")])


def test_frames_that_transformers_cannot_merge(tmp_path: Path) -> None:
    smolvlm = a_checkpoint("smolvlm", tmp_path)
    for num_frames in (3, None):
        with pytest.raises(ValueError, match=r"model.num_frames = (3|unset): .* in blocks of 8; give a multiple of 2$"):
            registry.frame_spec(replace(smolvlm, num_frames=num_frames))


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"chat": ChatSpec(form="foo")}, "model.chat"),
        ({"chat": ChatSpec(system="Watch.")}, "the prompt set's system"),
        ({"choose": "published"}, "model.frames"),
        ({"choose": "spread"}, "episodes.frames"),
    ],
)
def test_what_only_a_pllava_has_is_named(spec: ModelSpec, changes: Any, keys: str) -> None:
    with pytest.raises(ValueError, match=rf"is no PLLaVA; leave out {keys}$"):
        registry.frame_spec(replace(spec, **changes))


def test_a_whole_model_of_another_base(spec: ModelSpec, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    student: Any = registry.trainee(spec, FinetuneSpec(rank=4, alpha=4.0, dropout=0.0, method="full"), 0, CPU)
    student.save(tmp_path / "model", {name: p.detach() for name, p in student.module.named_parameters() if p.requires_grad})
    other = a_checkpoint("internvl", tmp_path / "other")
    with pytest.raises(ValueError, match="they differ in model_type; is it of another base"):
        registry.export(replace(other, adapter=str(tmp_path / "model")), tmp_path / "export", lambda line: None)
    moved = shutil.copytree(spec.base, tmp_path / "moved")
    registry.load(replace(spec, base=str(moved), adapter=str(tmp_path / "model")), CPU)
    assert "is a finetune of" in caplog.text
