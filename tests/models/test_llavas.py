"""Pins that a LLaVA of any kind, tower and LLM becomes a PLLaVA: it loads, answers, learns, and is exported without a change."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    SiglipVisionConfig,
)

from llavas import SIGLIP, TEXT, VISION, stock_tensors, write_llava
from models import registry
from models.base import Device, FinetuneSpec, ModelSpec, Sampling, Square, Stretch, Turn
from models.pllava import convert, loading
from models.pllava.architecture import read_architecture
from models.pllava.layouts import open_weights
from models.pllava.loading import shapes_on_meta
from models.pllava.pictures import CLIP_MEAN
from models.pllava.video_llm import PllavaVideoLLM
from watching import replies, videos_of

CPU = Device("cpu", "float32")
GREEDY = Sampling(temperature=0.0, max_tokens=6)
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
CLIP, SIGLIP_TOWER = CLIPVisionConfig(**VISION), SiglipVisionConfig(**SIGLIP)
HEADED = SiglipVisionConfig(**SIGLIP | {"vision_use_head": True})
LLAMA, MISTRAL, QWEN2 = LlamaConfig(**TEXT), MistralConfig(**TEXT, sliding_window=None), Qwen2Config(**TEXT)
GEMMA = GemmaConfig(**TEXT, head_dim=24)


@dataclass(frozen=True)
class Case:
    kind: str
    tower: Any
    llm: Any
    fields: dict[str, Any] = field(default_factory=dict)
    """Of the checkpoint's configuration."""
    pool: dict[str, Any] = field(default_factory=dict)
    """Of the ModelSpec."""


FULL: dict[str, Any] = {"vision_feature_layer": -1, "vision_feature_select_strategy": "full"}
CASES = {
    "llava-1.5": Case("llava", CLIP, LLAMA),
    "llava-next, mistral": Case("llava_next", CLIP, MISTRAL, {"image_grid_pinpoints": [[48, 96]]}, {"pooling": "pllava"}),
    "llava-interleave": Case("llava", SIGLIP_TOWER, QWEN2, FULL),
    "gemma, with the class token": Case("llava", CLIP, GEMMA, FULL),
    "siglip with a head, as clip": Case("llava", HEADED, LLAMA, {"vision_feature_select_strategy": "default"}),
    "several layers": Case("llava", CLIP, LLAMA, {"vision_feature_layer": [-3, 1, -1]}, {"pooling_method": "bilinear"}),
    "onevision as pllava": Case("llava_onevision", SIGLIP_TOWER, QWEN2, {}, {"pooling": "pllava"}),
    "onevision, clip": Case(
        "llava_onevision", CLIP, LLAMA, {"vision_feature_layer": [-2, -1]} | {"vision_feature_select_strategy": "default"},
        {"pooling": "perception_lm"},
    ),
    "onevision's own pool": Case("llava_onevision", SIGLIP_TOWER, QWEN2, {}, {"pooling": "llava_onevision"}),
    "next-video's own pool": Case("llava_next_video", CLIP, LLAMA, {}, {"pooling": "llava_next_video"}),
}  # fmt: skip


def a_spec(folder: Path, case: Case, **fields: Any) -> ModelSpec:
    return ModelSpec(base=str(folder), **{"num_frames": 4} | case.pool | fields)


def some_videos(spec: ModelSpec, count: int = 2) -> list[Any]:
    size = registry.frame_spec(spec).size
    side = size.size_px if isinstance(size, Square) else size.height_px  # type: ignore[union-attr]
    return videos_of(np.random.default_rng(0).integers(0, 256, (count, 4, side, side, 3), np.uint8))


def tokens_of(llm: PllavaVideoLLM, videos: list[Any]) -> torch.Tensor:
    frames = torch.from_numpy(np.stack([video.frames for video in videos]))
    with torch.no_grad():
        features: torch.Tensor = llm.model.get_video_features(llm.processor.pixels(frames)).pooler_output
    return features


@pytest.fixture(scope="module", params=CASES)
def stock(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Path, Any]:
    case, folder = CASES[request.param], tmp_path_factory.mktemp("stock")
    return case, folder, write_llava(folder, case.kind, case.tower, case.llm, **case.fields)


def test_it_answers_as_its_files_say(stock: tuple[Case, Path, Any]) -> None:
    case, folder, model = stock
    spec = a_spec(folder, case)
    registry.check(spec)
    llm = registry.load(spec, CPU)
    assert isinstance(llm, PllavaVideoLLM)
    videos = some_videos(spec)
    together = replies(llm, videos, ["what?", "what is the action in this video?"], [0, 0], GREEDY)
    assert together == [
        replies(llm, [video], [question], [0], GREEDY)[0]
        for video, question in zip(videos, ["what?", "what is the action in this video?"], strict=True)
    ]
    size = registry.size(spec, FinetuneSpec(rank=4, alpha=8.0, dropout=0.0))
    assert size.video_tokens == llm.processor.tokens_per_video == tokens_of(llm, videos).shape[1]
    assert size.params == sum(p.numel() for n, p in llm.model.named_parameters() if n != "model.image_newline")
    ours, theirs = llm.model.state_dict(), model.state_dict()
    assert ours.keys() == theirs.keys() - ({"model.image_newline"} - ours.keys())
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert dict(read_architecture(folder).weight_shapes).keys() == open_weights(folder).tensors.keys()


def test_images_take_llava_s_own_path(stock: tuple[Case, Path, Any]) -> None:
    case, folder, model = stock
    ours, processor = loading.load(a_spec(folder, case))
    pixels = torch.randn(2, 3, case.tower.image_size, case.tower.image_size)
    with torch.no_grad():
        own = torch.stack(ours.model.get_image_features(pixels).pooler_output)
        if case.kind == "llava":
            torch.testing.assert_close(own, torch.stack(model.get_image_features(pixels, return_dict=True).pooler_output), **CLOSE)
    assert own.shape[1] == processor.tokens_per_image


def test_it_learns_and_is_exported_without_a_change(stock: tuple[Case, Path, Any], tmp_path: Path) -> None:
    case, folder, _ = stock
    spec = a_spec(folder, case)
    student = registry.trainee(spec, FinetuneSpec(rank=4, alpha=8.0, dropout=0.0), 0, CPU)
    videos = some_videos(spec)
    optimizer = torch.optim.SGD([p for p in student.module.parameters() if p.requires_grad], lr=0.5)
    losses = []
    for _ in range(2):
        loss = student.module(**student.batch(videos, [[Turn(0, "what?", "it is rising.")], [Turn(1, "what?", "so it is.")]])).loss
        losses.append(float(loss.detach()))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[1] < losses[0]
    trained = {name for name, p in student.module.named_parameters() if p.requires_grad}
    assert not any("vision_tower" in name or "newline" in name for name in trained)
    student.save(tmp_path / "adapter", {name: p.detach() for name, p in student.module.named_parameters() if p.requires_grad})
    tuned = a_spec(folder, case, adapter=str(tmp_path / "adapter"))
    convert.export(tuned, tmp_path / "export", lambda line: None)
    convert.convert(spec, tmp_path / "ours", lambda line: None)
    before, base, after = (
        registry.load(tuned, CPU),
        registry.load(spec, CPU),
        registry.load(ModelSpec(base=str(tmp_path / "export")), CPU),
    )
    assert isinstance(after, PllavaVideoLLM)
    assert (after.processor.video, after.frames) == (before.processor.video, before.frames)  # type: ignore[attr-defined]
    own = registry.load(ModelSpec(base=str(tmp_path / "ours" / "base")), CPU)
    questions = ["what?", "is it?"]
    assert replies(after, videos, questions, [0, 0], GREEDY) == replies(before, videos, questions, [0, 0], GREEDY)
    assert replies(own, videos, questions, [0, 0], GREEDY) == replies(base, videos, questions, [0, 0], GREEDY)
    torch.testing.assert_close(tokens_of(after, videos), tokens_of(before, videos), **CLOSE)  # type: ignore[arg-type]
    assert own.frames == before.frames


def test_an_export_is_a_stock_llava_that_says_how_to_pool(stock: tuple[Case, Path, Any], tmp_path: Path) -> None:
    """The card's own lines of Python, run on the model that transformers loads, give the tokens of our model."""
    case, folder, _ = stock
    llm = registry.load(a_spec(folder, case), CPU)
    assert isinstance(llm, PllavaVideoLLM)
    convert.export(a_spec(folder, case), tmp_path / "out", lambda line: None)
    model, report = AutoModelForImageTextToText.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(report.values()), report
    config, video = AutoConfig.from_pretrained(tmp_path / "out"), llm.processor.video
    assert (config.num_frames, tuple(config.pooling_shape)) == (4, video.pooled)
    assert (config.pooling_method, config.pooling_place) == (video.pooling.method, video.pooling.place)
    assert type(config).__name__ == ("LlavaOnevisionConfig" if video.pooling.newline else "LlavaConfig")
    videos = some_videos(ModelSpec(base=str(tmp_path / "out")), 1)
    names = {"torch": torch, "model": model, "frames": llm.processor.pixels(torch.from_numpy(videos[0].frames[None]))[0]}
    with torch.no_grad():
        exec((tmp_path / "out" / "README.md").read_text().split("```python\n")[1].split("```")[0], names)
    torch.testing.assert_close(names["video"], tokens_of(llm, videos)[0], **CLOSE)


def test_a_tower_without_a_crop_watches_the_whole_picture(tmp_path: Path) -> None:
    write_llava(tmp_path / "a", "llava", SIGLIP_TOWER, QWEN2, **FULL)
    _, processor = loading.load(ModelSpec(base=str(tmp_path / "a")))
    assert (
        processor.frame_spec.size
        == registry.frame_spec(ModelSpec(base=str(tmp_path / "a"))).size
        == Stretch(height_px=45, width_px=45)
    )
    assert processor.image_mean == processor.image_std == (0.5, 0.5, 0.5)
    wide = torch.zeros(1, 1, 45, 90, 3, dtype=torch.uint8)
    wide[:, :, :, :30] = 255
    pixels = processor.pixels(wide)
    assert pixels.shape == (1, 1, 3, 45, 45)
    assert float(pixels[0, 0, :, :, :13].min()) > 0.9 > -0.9 > float(pixels[0, 0, :, :, 17:].max())
    write_llava(tmp_path / "b", "llava_onevision", SIGLIP_TOWER, QWEN2)
    video = {"video_processor_type": "LlavaOnevisionVideoProcessor", "size": {"height": 45, "width": 45}}
    (tmp_path / "b" / "video_preprocessor_config.json").write_text(json.dumps(video))
    _, processor = loading.load(ModelSpec(base=str(tmp_path / "b"), pooling="pllava"))
    assert (processor.image_mean, processor.frame_spec.size) == (CLIP_MEAN, Stretch(height_px=45, width_px=45)), (
        "those of videos count"
    )


@pytest.mark.parametrize("apart", [False, True])
def test_a_head_in_the_files_is_read_whatever_the_configuration_says(tmp_path: Path, apart: bool) -> None:
    """transformers ties a head that equals the embedding, and keeps another one."""
    write_llava(tmp_path, "llava", CLIP, GEMMA, **FULL)
    path = sorted(tmp_path.glob("*.safetensors"))[0]
    tensors = stock_tensors(tmp_path)
    head = tensors["language_model.model.embed_tokens.weight"].clone() + (1.0 if apart else 0.0)
    save_file(load_file(path) | {"language_model.lm_head.weight": head}, path, metadata={"format": "pt"})
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    index["weight_map"]["language_model.lm_head.weight"] = path.name
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    model, _ = loading.load(ModelSpec(base=str(tmp_path)))
    theirs = AutoModelForImageTextToText.from_pretrained(tmp_path)
    torch.testing.assert_close(model.lm_head.weight, theirs.lm_head.weight, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        ("llava_onevision", {"pooling_shape": (4, 4, 4)}, 'model.pooling_shape: .* needs a pool by its name too, such as'),
        ("qwen3_vl", {"pooling": "pllava"}, "model.pooling: .* a 'qwen3_vl' checkpoint, and a pool is for the kinds pllava, llava"),
        ("internvl", {"pooling_place": "before"}, "model.pooling_place: .* is a 'internvl' checkpoint"),
    ],
)  # fmt: skip
def test_a_pool_for_another_model_is_one_line(tmp_path: Path, kind: str, fields: dict[str, Any], reason: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    for look in (registry.check, registry.frame_spec, registry.version):
        with pytest.raises(ValueError, match=reason) as caught:
            look(ModelSpec(base=str(tmp_path), **fields))
        assert len(str(caught.value).splitlines()) == 1


def test_shapes_are_transformers_own_for_each_llm(tmp_path: Path) -> None:
    for number, (tower, llm) in enumerate([(HEADED, QWEN2), (SIGLIP_TOWER, GEMMA), (CLIP, MISTRAL)]):
        folder = tmp_path / str(number)
        write_llava(folder, "llava", tower, llm, **FULL)
        _, processor = loading.load(ModelSpec(base=str(folder)))
        architecture = read_architecture(folder)
        assert dict(architecture.weight_shapes) == shapes_on_meta(architecture, processor)
