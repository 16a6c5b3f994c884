"""Pins that every layout loads as the same model, that conversions lose nothing, and that what is wrong with a file is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration, LlavaNextForConditionalGeneration

from llavas import RANK, stock_tensors, write_released, write_stock
from models import registry
from models.base import Device, FinetuneSpec, ModelSpec, Sampling, Turn
from models.pllava import checkpoints, convert, loading, video_llm
from models.pllava.forms import Exchange
from models.pllava.layouts import open_weights, stock_name
from models.pllava.processing import CLIP_MEAN, CLIP_STD
from models.pllava.trainee import trainee
from watching import replies, videos_of

CPU = Device("cpu", "float32")

Said = list[str]


def load(folder: Path, **fields: Any) -> tuple[Any, Any]:
    return loading.load(ModelSpec(base=str(folder), **fields))


def logits(model: Any, processor: Any) -> torch.Tensor:
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, processor.num_frames, 48, 48, 3), dtype=np.uint8))
    batch = processor([processor.chat("what is it?"), processor.chat("what is the action in this video?")], videos=frames)
    with torch.no_grad():
        out: torch.Tensor = model(**batch).logits
    return out


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    write_released(folder)
    return folder


@pytest.fixture(scope="module")
def converted(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("converted") / "out"
    convert.convert(ModelSpec(base=str(released)), out, lambda line: None)
    return out


@pytest.mark.parametrize("next_gen", [False, True])
def test_stock_folders_load_bit_equal(tmp_path: Path, next_gen: bool) -> None:
    stock = write_stock(tmp_path, next_gen)
    model, processor = load(tmp_path)
    ours, theirs = ({stock_name(n): t for n, t in m.state_dict().items()} for m in (model, stock))
    theirs.pop("image_newline", None)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (processor.num_frames, processor.video.pooled, processor.tokens_per_image) == (16, (16, 4, 4), 64)


def test_images_take_the_plain_path(tmp_path: Path) -> None:
    stock = write_stock(tmp_path)
    model, processor = load(tmp_path)
    images = torch.randint(0, 256, (3, 48, 48, 3), dtype=torch.uint8)
    batch = processor(["USER: <image>\nwhat? ASSISTANT:", "<image> and <image>"], images=images)
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, stock(**batch).logits, atol=1e-5, rtol=1e-5)


def test_a_video_of_one_still_is_the_image_pooled(tmp_path: Path) -> None:
    """Projector, then average pooling of the grid of patches: LLaVA's features of the frame, pooled afterwards."""
    stock = write_stock(tmp_path)
    model, processor = load(tmp_path, num_frames=1, pooling_shape=(1, 4, 4))
    frame = torch.randint(0, 256, (1, 1, 48, 48, 3), dtype=torch.uint8)
    pixels = processor.pixels(frame)
    with torch.no_grad():
        ours = model.get_video_features(pixels).pooler_output[0]
        theirs = stock.get_image_features(pixels[0], return_dict=True).pooler_output[0]
    pooled = torch.nn.functional.adaptive_avg_pool2d(theirs.T.unflatten(1, (8, 8)), (4, 4)).flatten(1).T
    torch.testing.assert_close(ours, pooled, atol=1e-5, rtol=1e-5)


def test_released_converted_merged_exported_and_loaded_by_others_is_one_model(
    released: Path, converted: Path, tmp_path: Path
) -> None:
    direct, processor = load(released)
    expected = logits(direct, processor)
    base, again = load(converted / "base")
    assert (again.num_frames, again.video.pooled) == (4, (4, 4, 4))
    assert (logits(base, again) - expected).abs().max() > 1e-2, "the LoRA changes nothing, so this test shows nothing"
    adapter = str(converted / "adapter")
    unmerged = PeftModel.from_pretrained(base, adapter).eval()
    torch.testing.assert_close(logits(unmerged, again), expected, atol=1e-4, rtol=1e-4)
    merged, _ = load(converted / "base", adapter=adapter)
    torch.testing.assert_close(logits(merged, again), expected, atol=1e-4, rtol=1e-4)
    out = tmp_path / "stock"
    convert.export(ModelSpec(base=str(converted / "base"), adapter=adapter), out, lambda line: None)
    stock, report = LlavaForConditionalGeneration.from_pretrained(out, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert stock_tensors(out).keys() == set(open_weights(released).tensors)
    # stock LLaVA watches through inputs_embeds: its own tower and projector, our pool
    frames = torch.randint(0, 256, (1, 4, 48, 48, 3), dtype=torch.uint8)
    batch = again([again.chat("what is it?")], videos=frames)
    with torch.no_grad():
        features = torch.stack(stock.get_image_features(batch["pixel_values_videos"][0], return_dict=True).pooler_output)
        pooled = torch.nn.functional.adaptive_avg_pool3d(features.unflatten(1, (8, 8)).permute(3, 0, 1, 2), (4, 4, 4))
        embeds = stock.get_input_embeddings()(batch["input_ids"].clamp(max=VOCAB_ROWS - 1))
        slots = (batch["input_ids"] == again.video_token_id).unsqueeze(-1)
        embeds = embeds.masked_scatter(slots, pooled.flatten(1).T.contiguous())
        theirs = stock(inputs_embeds=embeds, attention_mask=batch["attention_mask"]).logits
        torch.testing.assert_close(theirs, direct(**batch).logits, atol=1e-4, rtol=1e-4)
    ours, _ = load(out)
    torch.testing.assert_close(logits(ours, again), expected, atol=1e-4, rtol=1e-4)


VOCAB_ROWS = 448


def test_alpha_is_a_matter_of_inference(released: Path, converted: Path) -> None:
    adapter = str(converted / "adapter")
    seen = {}
    for alpha in (0.0, 4.0, 32.0):
        one, processor = load(released, alpha=alpha)
        two, _ = load(converted / "base", adapter=adapter, alpha=alpha)
        seen[alpha] = logits(one, processor)
        torch.testing.assert_close(logits(two, processor), seen[alpha], atol=1e-5, rtol=1e-5)
    base, processor = load(converted / "base")
    torch.testing.assert_close(seen[0.0], logits(base, processor), atol=1e-6, rtol=1e-6)
    assert (seen[4.0] - seen[0.0]).abs().max() < (seen[32.0] - seen[0.0]).abs().max()
    as_trained, _ = load(released)
    torch.testing.assert_close(seen[32.0], logits(as_trained, processor), atol=0, rtol=0)
    specs = [ModelSpec(base=str(released), alpha=alpha) for alpha in (None, 4.0, 32.0)]
    assert len({checkpoints.version(spec) for spec in specs}) == 3


def test_an_alpha_names_another_model_only_where_there_is_a_lora(tmp_path: Path) -> None:
    write_stock(tmp_path)
    assert len({checkpoints.version(ModelSpec(base=str(tmp_path), alpha=alpha)) for alpha in (None, 4.0, 32.0)}) == 1


def test_below_a_loop_s_adapter_a_released_lora_stays_as_trained(released: Path, tmp_path: Path) -> None:
    student = trainee(ModelSpec(base=str(released)), FinetuneSpec(rank=4, alpha=8.0, dropout=0.0), seed=1, device=CPU)
    torch.manual_seed(3)
    trained = {n: p.detach() for n, p in student.module.named_parameters() if p.requires_grad}
    student.save(tmp_path, {n: torch.randn_like(p) / 8 if "lora_" in n else p for n, p in trained.items()})
    as_trained, processor = load(released)
    off, _ = load(released, adapter=str(tmp_path), alpha=0.0)
    torch.testing.assert_close(logits(off, processor), logits(as_trained, processor), atol=1e-6, rtol=1e-6)
    on, _ = load(released, adapter=str(tmp_path), alpha=4.0)
    assert (logits(on, processor) - logits(off, processor)).abs().max() > 1e-3


def test_a_released_lora_is_merged_where_an_adapter_follows_as_its_finetune_sees_it(released: Path, tmp_path: Path) -> None:
    """In bfloat16 the adapter stays beside its weights, and only the last one does."""
    student = trainee(ModelSpec(base=str(released)), FinetuneSpec(rank=RANK, alpha=16.0, dropout=0.0), 0, Device("cpu", "bfloat16"))
    torch.manual_seed(3)
    for name, parameter in student.module.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn_like(parameter) / 8
    student.save(tmp_path, {n: p.detach() for n, p in student.module.named_parameters() if p.requires_grad})
    student.module.eval()
    tuned, processor = loading.load(ModelSpec(base=str(released), adapter=str(tmp_path)), "bfloat16")
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, processor.num_frames, 48, 48, 3), dtype=np.uint8))
    inputs = processor([processor.chat("what is it?")], videos=frames)
    inputs["pixel_values_videos"] = inputs["pixel_values_videos"].bfloat16()
    with torch.no_grad():
        assert torch.equal(tuned(**inputs).logits, student.module(**inputs).logits)


@pytest.mark.parametrize("chatml", [False, True])
def test_stock_tokenizers_get_a_chat(tmp_path: Path, chatml: bool) -> None:
    write_stock(tmp_path, chatml=chatml)
    model, processor = load(tmp_path, num_frames=2, pooling_shape=(2, 2, 2))
    before, after = processor.prompt_ids("what is it?")
    assert before[0] == processor.tokenizer.named_token_id("bos_token")
    assert before.count(processor.video_token_id) == 8
    ids, labels = processor.training_ids([Exchange("what is it?", "so it is.")])
    assert ids[: len(before + after)] == before + after
    answer = [label for label in labels if label != -100]
    closing = processor.tokenizer.token_id("<|im_end|>" if chatml else "</s>")
    assert answer[-1] == closing
    assert closing in model.generation_config.eos_token_id
    assert processor.tokenizer.decode(answer, skip_special_tokens=True).strip() == "so it is."
    llm = video_llm.PllavaVideoLLM(model, processor, "")
    videos = videos_of(np.zeros((1, 2, 48, 48, 3), np.uint8))
    (reply,) = replies(llm, videos, ["what?"], [0], Sampling(temperature=0, max_tokens=5))
    assert reply.num_tokens <= 5


def test_a_finetune_of_a_stock_folder_is_saved_loaded_and_exported(tmp_path: Path) -> None:
    write_stock(tmp_path / "stock")
    spec = ModelSpec(base=str(tmp_path / "stock"), num_frames=2, pooling_shape=(2, 2, 2))
    lora = FinetuneSpec(rank=RANK, alpha=16.0, dropout=0.0, gradient_checkpointing=True)
    student = trainee(spec, lora, seed=0, device=CPU)
    student.module.train()
    batch = student.batch(
        videos_of(np.zeros((2, 2, 48, 48, 3), np.uint8)),
        [[Turn(0, "what?", "so it is.")], [Turn(1, "what is it?", "the red circle")]],
    )
    optimizer = torch.optim.AdamW([p for p in student.module.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        student.module(**batch).loss.backward()
        optimizer.step()
    trained = {name: p.detach().clone() for name, p in student.module.named_parameters() if p.requires_grad}
    student.save(tmp_path / "adapter", trained)
    tuned = ModelSpec(base=spec.base, adapter=str(tmp_path / "adapter"), num_frames=2, pooling_shape=(2, 2, 2))
    model, processor = loading.load(tuned)
    student.module.eval()
    torch.testing.assert_close(logits(model, processor), logits(student.module, processor), atol=1e-5, rtol=1e-5)
    convert.export(tuned, tmp_path / "out", lambda line: None)
    again, processor = load(tmp_path / "out")
    torch.testing.assert_close(logits(again, processor), logits(model, processor), atol=1e-5, rtol=1e-5)


def test_gradient_checkpointing_changes_no_gradient(tmp_path: Path) -> None:
    write_stock(tmp_path)
    spec = ModelSpec(base=str(tmp_path), num_frames=2, pooling_shape=(2, 2, 2))
    gradients = []
    for kept in (False, True):
        lora = FinetuneSpec(rank=4, alpha=8.0, dropout=0.0, gradient_checkpointing=kept)
        student = trainee(spec, lora, seed=0, device=CPU)
        student.module.train()
        batch = student.batch(videos_of(np.ones((1, 2, 48, 48, 3), np.uint8)), [[Turn(0, "what?", "so it is.")]])
        student.module(**batch).loss.backward()
        gradients.append({name: p.grad for name, p in student.module.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert any("multi_modal_projector" in name for name in gradients[0])
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-5)


def lose_a_shard(folder: Path) -> None:
    (folder / "model-00002-of-00003.safetensors").unlink()


def be_a_page(folder: Path) -> None:
    (folder / "model-00002-of-00003.safetensors").write_text("<!DOCTYPE html><title>Not found</title>")


def be_cut(folder: Path) -> None:
    path = folder / "model-00001-of-00003.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def be_a_pickle(folder: Path) -> None:
    for path in folder.glob("model*"):
        path.unlink()
    torch.save({}, folder / "pytorch_model.bin")


def change(change_tensors: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "model-00001-of-00003.safetensors"
        tensors = load_file(path)
        change_tensors(tensors)
        save_file(tensors, path, metadata={"format": "pt"})

    return apply


NAME = "language_model.base_model.model.model.embed_tokens.weight"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lose_a_shard, r"lacks model-00002-of-00003\.safetensors, which model\.safetensors\.index\.json names"),
        (be_a_page, r"model-00002-of-00003\.safetensors is not a whole safetensors file: .*begins with b'<!DOCTYPE"),
        (be_cut, r"model-00001-of-00003\.safetensors is not a whole safetensors file"),
        (be_a_pickle, r"no \.safetensors file; other weight formats are not loaded; pytorch_model\.bin may run code"),
        (
            change(lambda t: t.pop(next(n for n in t if "lora_A" in n))),
            r"the LoRA of language_model\.model\.layers\.\S+ is not whole",
        ),
        (change(lambda t: t.pop(next(n for n in t if "mlp" in n))), r"lacks language_model\.model\.layers\.\S+mlp"),
        (change(lambda t: t.update(extra=torch.zeros(2))), r"has, beyond what the model holds, extra"),
        (
            change(lambda t: t.update({n: torch.zeros(3, 2) for n in t if "mlp" in n})),
            r"in another shape .*mlp\S+ \[3, 2\] instead of",
        ),
        (
            lambda folder: (folder / "config.json").write_text("<html>"),
            r"config\.json is not a JSON object: it begins with b'<html>'",
        ),
        (lambda folder: (folder / "config.json").unlink(), r"has no config\.json"),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"has no tokenizer\.json"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "qwen2_vl"}'), r"is a 'qwen2_vl' checkpoint"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_named(
    released: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(released, folder)
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        load(folder)
    with pytest.raises(ValueError, match=message):
        convert.convert(ModelSpec(base=str(folder)), tmp_path / "out", lambda line: None)
    assert not (tmp_path / "out").exists()


ODD: list[tuple[str, str, Any]] = [
    ("", "num_frames", "sixteen"), ("", "num_frames", None), ("", "num_frames", 0), ("", "num_frames", 10**12),
    ("", "pooling_shape", 4), ("", "pooling_shape", [4, 4]), ("", "pooling_shape", [4.0, 4, 4]), ("", "pooling_method", "max"),
    ("", "projector_hidden_act", "frob"), ("", "vision_feature_layer", "-2"), ("", "vision_feature_layer", -99),
    ("", "vision_feature_select_strategy", "half"), ("", "vision_feature_layer", []), ("", "quantization_config", {"bits": 4}),
    ("", "pooling_place", "beside"), ("", "pooling_newline", 1), ("vision_config", "model_type", "pixtral"),
    ("text_config", "model_type", 7),
    ("", "text_config", None), ("", "vision_config", []), ("", "image_token_index", 7), ("text_config", "hidden_act", "frob"),
    ("text_config", "num_hidden_layers", 10**7), ("text_config", "num_hidden_layers", "3"),
    ("text_config", "hidden_size", float("nan")),
    ("text_config", "hidden_size", 10**15), ("text_config", "num_attention_heads", 0), ("text_config", "model_type", "frob"),
    ("text_config", "pad_token_id", 99_999), ("text_config", "vocab_size", 100), ("vision_config", "patch_size", 0),
    ("vision_config", "patch_size", 6.0), ("vision_config", "image_size", float("nan")),
]  # fmt: skip


@pytest.mark.parametrize(("part", "key", "value"), ODD)
def test_odd_values_in_config_json_are_one_line_that_names_the_folder(
    released: Path, tmp_path: Path, part: str, key: str, value: Any
) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(released, folder)
    config = json.loads((folder / "config.json").read_text())
    (config[part] if part else config)[key] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=str(folder)) as caught:
        load(folder)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", "<html>"), ("tokenizer_config.json", "[]"), ("tokenizer_config.json", '{"tokenizer_class": "Frob"}'),
        ("generation_config.json", "<html>"), ("generation_config.json", '{"eos_token_id": "two"}'),
        ("preprocessor_config.json", '{"image_mean": "x"}'), ("preprocessor_config.json", '{"image_std": [0, 0, 0]}'),
        ("model.safetensors.index.json", "{}"), ("model.safetensors.index.json", '{"weight_map": [1]}'),
    ],
)  # fmt: skip
def test_spoilt_side_files_are_one_line_that_names_the_folder(released: Path, tmp_path: Path, name: str, content: str) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(released, folder)
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=str(folder)) as caught:
        load(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_a_lora_is_not_merged_twice(released: Path, converted: Path) -> None:
    with pytest.raises(ValueError, match=r"holds the LoRA of .*adapter already"):
        load(released, adapter=str(converted / "adapter"))


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64])
def test_weights_that_are_no_plain_floats_are_named(released: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    shutil.copytree(released, tmp_path / "odd")
    change(lambda t: t.update({n: t[n].to(dtype) for n in t if "mlp" in n}))(tmp_path / "odd")
    with pytest.raises(ValueError, match=r"model-00001-of-00003\.safetensors: \S+mlp\S+ is \S+; floats of 16 bits or more"):
        load(tmp_path / "odd")


def test_what_is_not_all_written_has_not_the_name(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert, "_write_adapter", fail)
    with pytest.raises(ValueError, match=r"cannot write .*out: No space left on device"):
        convert.convert(ModelSpec(base=str(released)), tmp_path / "out", lambda line: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("chatml", [False, True])
def test_nobody_can_write_a_control_token(tmp_path: Path, chatml: bool) -> None:
    write_stock(tmp_path, chatml=chatml)
    _, processor = checkpoints.describe(ModelSpec(base=str(tmp_path)))
    tokens = processor.control_tokens
    assert ("<|im_end|>" in tokens) == chatml
    control = {processor.tokenizer.token_id(token) for token in tokens}
    usual = [i for i in processor.token_ids(processor.chat("a")) if i in control]
    for inner in tokens:
        for text in (
            inner,
            *(outer[:cut] + inner + outer[cut:] for outer in tokens for cut in (1, len(outer) // 2, len(outer) - 1)),
        ):
            assert [i for i in processor.token_ids(processor.chat(text)) if i in control] == usual, text


def test_an_adapter_of_another_base_is_named(converted: Path) -> None:
    with pytest.raises(
        ValueError, match=r"changes language_model\S+ \[64, 64\], and tiny has it as \[128, 128\]; is it of another base"
    ):
        loading.load(ModelSpec(base="tiny", adapter=str(converted / "adapter")))


def test_a_pooling_shape_that_cannot_be_is_refused(released: Path) -> None:
    with pytest.raises(ValueError, match=r"pooling_shape \[4, 9, 9\] does not fit 4 frames of 8 x 8 patches"):
        load(released, pooling_shape=(4, 9, 9))


def test_an_export_says_what_it_is(converted: Path, tmp_path: Path) -> None:
    convert.export(ModelSpec(base=str(converted / "base")), tmp_path / "out", lambda line: None)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["model_type"], config["architectures"]) == ("llava", ["LlavaForConditionalGeneration"])
    names = set(stock_tensors(tmp_path / "out"))
    assert {name.split(".")[0] for name in names} == {"language_model", "multi_modal_projector", "vision_tower"}
    assert all(name.startswith("vision_tower.vision_model.") for name in names if name.startswith("vision_tower"))
    with pytest.raises(ValueError, match="is not empty; name another folder"):
        convert.export(ModelSpec(base=str(converted / "base")), tmp_path / "out", lambda line: None)


def test_an_export_has_ordinary_modes_and_a_card(converted: Path, tmp_path: Path) -> None:
    spec = ModelSpec(base=str(converted / "base"), adapter=str(converted / "adapter"), alpha=4.0)
    convert.export(spec, tmp_path / "out", lambda line: None)
    probe = tmp_path / "probe"
    probe.touch()
    modes = {path.name: oct(path.stat().st_mode) for folder in (tmp_path / "out", converted) for path in folder.rglob("*.*")}
    assert set(modes.values()) == {oct(probe.stat().st_mode)}
    assert not (tmp_path / "out" / ".mode").exists()
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\npipeline_tag: video-text-to-text\n")
    head = card.split("---")[1]
    assert "license" not in head
    assert "base_model" not in head, "a local folder is no name of the hub"
    for text in (
        f"| base | `{converted}/base` |", f"| adapter | `{converted}/adapter` |", "| LoRA alpha | 4 |", "64 = 4 x 4 x 4",
        "adaptive_avg_pool3d(grid, (4, 4, 4))", "add `license`", "<s>USER: <video>\nWhat happens? ASSISTANT:",
    ):  # fmt: skip
        assert text in card


@pytest.mark.parametrize("nested", [True, False])
def test_the_image_processor_is_read_where_transformers_5_keeps_it(tmp_path: Path, nested: bool) -> None:
    write_stock(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    means = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    kept = {"image_processor": means} if nested else {}
    (tmp_path / "processor_config.json").write_text(json.dumps({"processor_class": "LlavaProcessor"} | kept))
    _, processor = checkpoints.describe(ModelSpec(base=str(tmp_path)))
    assert processor.image_mean == ((0.1, 0.2, 0.3) if nested else CLIP_MEAN)
    assert processor.image_std == ((0.4, 0.5, 0.6) if nested else CLIP_STD)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.7] * 3, "image_std": [0.8] * 3}))
    _, processor = checkpoints.describe(ModelSpec(base=str(tmp_path)))
    assert processor.image_mean == ((0.1, 0.2, 0.3) if nested else (0.7, 0.7, 0.7)), "as in transformers, the nested one counts"


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("llava-v1.5-7b", "llava", "give its converted repository, llava-hf/llava-1.5-7b-hf"),
        ("llava-v1.6-vicuna-13b", "llava_llama", "give its converted repository, llava-hf/llava-v1.6-vicuna-13b-hf"),
        ("llava-v1.6-34b", "llava_llama", "give its converted repository, llava-hf/llava-v1.6-34b-hf"),
        ("llama3-llava-next-8b", "llava_llama", "give its converted repository, llava-hf/llama3-llava-next-8b-hf"),
        ("mine", "llava_qwen", "or convert it with transformers' convert_llava_weights_to_hf.py"),
    ],
)
def test_the_original_layout_names_the_converted_repository(tmp_path: Path, name: str, kind: str, remedy: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "mm_vision_tower": "openai/clip"}))
    for look in (registry.check, checkpoints.describe):
        with pytest.raises(ValueError, match=rf"{name} is in LLaVA's original layout; .*{remedy}"):
            look(ModelSpec(base=str(folder)))


def test_llava_next_is_loaded_by_its_own_class_too(tmp_path: Path) -> None:
    """Guards the builder: what it calls LLaVA-NeXT is what transformers takes for it."""
    write_stock(tmp_path, next_gen=True)
    _, report = LlavaNextForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert any("image_newline" in name for name in stock_tensors(tmp_path))
