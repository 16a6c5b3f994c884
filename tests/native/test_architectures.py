"""Pins the adapter to transformers for many architectures: answers, losses, what a finetune changes, exports, sizes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models import registry
from models.base import FinetuneSpec, ModelSpec, Passage, Sampling, Turn, Video
from models.frames import smallest_shape
from native import checks
from native.architectures import CPU, FIELDS, UNTRAINABLE, a_checkpoint, a_video

TRAINABLE = sorted(FIELDS.keys() - UNTRAINABLE)
SHARES = {kind: kind not in ("qwen3_5", "gemma4") for kind in FIELDS}
"""A linear attention keeps a state, and a sliding window the last tokens: neither is shared."""
LORA = FinetuneSpec(rank=4, alpha=8.0, dropout=0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    specs: dict[str, ModelSpec] = {}

    def make(kind: str) -> ModelSpec:
        if kind not in specs:
            specs[kind] = a_checkpoint(kind, tmp_path_factory.mktemp(kind))
        return specs[kind]

    return make


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_greedy_answers_are_those_of_generate(made: Any, kind: str) -> None:
    """Three questions about clips of three lengths: one batch with shared prefixes, or batches of whole prompts."""
    llm: Any = registry.load(made(kind), CPU)
    videos = checks.three_videos(llm)
    expected = [checks.generated(llm, question, video) for question, video in zip(checks.QUESTIONS, videos, strict=True)]
    assert llm.shares_prefixes is SHARES[kind]
    assert checks.answers(llm, videos) == expected
    samples = [[Turn(clip, question, "")] for clip, question in enumerate(checks.QUESTIONS)]
    assert llm.converse(videos, samples, [0, 1, 2], checks.GREEDY) == expected


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_the_text_for_a_video_follows_from_its_shape_and_times(made: Any, kind: str) -> None:
    llm: Any = registry.load(made(kind), CPU)
    for video in checks.three_videos(llm):
        assert llm.processor.stand_in(video) == llm.processor._written(video, video.frames)


def test_threads_may_write_chats_while_others_pad_theirs(made: Any) -> None:
    """As with generate.pieces_in_flight = 2; without its lock the processor fails some ten times in so many."""
    processor = registry.load(made("smolvlm"), CPU).processor  # type: ignore[attr-defined]
    first, second, third = checks.three_videos(registry.load(made("smolvlm"), CPU))
    with ThreadPoolExecutor(2) as pool:
        padded = pool.submit(lambda: [processor.inputs([processor.probe] * 2, [[first], [second]]) for _ in range(400)])
        written = pool.submit(lambda: [processor.prompt_ids(checks.QUESTIONS[1] * 9, third) for _ in range(2000)])
    assert {inputs["input_ids"].shape for inputs in padded.result()} == {padded.result()[0]["input_ids"].shape}
    assert all(ids == written.result()[0] for ids in written.result())


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "smolvlm", "qwen3_5"])
def test_a_row_draws_from_its_own_seed_whatever_is_beside_it(made: Any, kind: str) -> None:
    llm: Any = registry.load(made(kind), CPU)
    videos, warm = checks.three_videos(llm), Sampling(temperature=1.0, max_tokens=8)
    together = checks.answers(llm, videos, (5, 6, 7), warm)
    alone = llm.watch(videos[1:2])
    assert alone.ask(0, checks.QUESTIONS[1], 6, warm).result() == together[1]
    alone.leave(0)
    assert checks.answers(llm, videos, (5, 6, 8), warm)[2] != together[2]


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_samples_from_one_prefix_are_what_each_seed_gives_alone(made: Any, kind: str) -> None:
    llm: Any = registry.load(made(kind), CPU)
    videos, warm = checks.three_videos(llm), Sampling(temperature=1.0, max_tokens=8)
    watched = llm.watch(videos)
    futures = [watched.ask_all(clip, checks.QUESTIONS[clip], [5 + clip, 50 + clip, 500 + clip], warm) for clip in range(3)]
    for clip in range(3):
        watched.leave(clip)
    for sample, first in enumerate((5, 50, 500)):
        alone = checks.answers(llm, videos, (first, first + 1, first + 2), warm)
        assert [of_clip[sample].result() for of_clip in futures] == alone


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_texts_are_read_after_any_clip_as_in_the_whole_chat(made: Any, kind: str) -> None:
    llm: Any = registry.load(made(kind), CPU)
    videos = checks.three_videos(llm)
    assert llm.scores is SHARES[kind]
    if not llm.scores:
        return
    watched = llm.watch(videos, True)
    for clip in range(3):
        watched.leave(clip)
    texts = ("it is the red circle .", "rising .")
    passages = [Passage(clip=clip, question=checks.QUESTIONS[1], text=text) for text in texts for clip in range(3)]
    for passage, likelihood in zip(passages, watched.score(passages), strict=True):
        expected = checks.read_whole(llm, passage, videos[passage.clip])
        assert likelihood.logprobs == pytest.approx(expected[: len(likelihood.logprobs)], abs=1e-3)
        assert likelihood.text == passage.text


def test_a_question_that_makes_one_token_with_the_text_before_it_is_answered_all_the_same(made: Any) -> None:
    llm: Any = registry.load(made("smolvlm"), CPU)
    video = a_video(0, smallest_shape(llm.frames))
    watched, question = llm.watch([video]), "\n\n is it ?"
    assert watched.ask(0, question, 0, checks.GREEDY).result() == checks.generated(llm, question, video)
    watched.leave(0)


def test_an_answer_follows_on_its_question_however_long_the_video(made: Any) -> None:
    """Qwen2.5-VL's positions in time run ahead of those of a short question; in transformers' generate the answer does not."""
    llm: Any = registry.load(made("qwen2_5_vl"), CPU)
    video = Video(a_video(0, smallest_shape(llm.frames)).frames, (0.0, 20.0, 40.0, 60.0))
    watched = llm.watch([video])
    assert watched.ask(0, "so ?", 0, checks.GREEDY).result() == checks.generated(llm, "so ?", video)
    watched.leave(0)


@pytest.mark.parametrize("kind", TRAINABLE)
def test_the_loss_is_the_model_s_own(made: Any, kind: str) -> None:
    assert checks.loss_difference(made(kind)) < 1e-5


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_labels_are_the_answers_and_what_ends_them(made: Any, kind: str) -> None:
    student, videos = checks.a_trainee(made(kind))
    labels = student.batch(videos, checks.SAMPLES)["labels"]
    texts = [student.processor.answer_text([token for token in row.tolist() if token != -100]) for row in labels]
    end = student.processor.form.end
    assert [text.replace(" ", "") for text in texts] == [f"itistheredcircle.{end}", f"rising.{end}itis.{end}"]


def test_an_answer_that_is_not_learned_has_no_label(made: Any) -> None:
    student, videos = checks.a_trainee(made("qwen3_vl"))
    sample = [Turn(0, "what ?", "rising .", learned=False), Turn(1, "and this ?", "sinking .")]
    labels = student.batch(videos, [sample])["labels"][0].tolist()
    assert student.processor.answer_text([token for token in labels if token != -100]) == "sinking .<|im_end|>"


@pytest.mark.parametrize("kind", TRAINABLE)
def test_a_lora_is_on_the_decoder_alone_and_the_tower_is_not_trained(made: Any, kind: str) -> None:
    spec = made(kind)
    assert checks.vision_modules_with_lora(spec) == 0
    for finetune in (LORA, replace(LORA, projector=False), replace(LORA, method="full")):
        student: Any = registry.trainee(spec, finetune, 0, CPU)
        learned = {name: parameter for name, parameter in student.module.named_parameters() if parameter.requires_grad}
        assert sum(parameter.numel() for parameter in learned.values()) == registry.size(spec, finetune).trained_params
        batch = student.batch([], [[Turn(None, "what ?", "it is .")]])  # ZeRO-3: every module runs, without a video too
        labels = batch.pop("labels")
        checks.cross_entropy(student.module(**batch).logits, labels).backward()
        assert [name for name, parameter in learned.items() if parameter.grad is None] == []
    assert registry.size(spec, LORA).params == sum(p.numel() for p in registry.load(spec, CPU).model.parameters())  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", TRAINABLE)
def test_what_is_exported_is_what_was_trained(made: Any, kind: str, tmp_path: Path) -> None:
    assert checks.export_difference(made(kind), tmp_path) < 1e-4


@pytest.mark.parametrize("kind", ["qwen3_vl", "llava_onevision", "smolvlm"])
def test_a_finetune_in_full_leaves_a_whole_model(made: Any, kind: str, tmp_path: Path) -> None:
    spec = made(kind)
    assert checks.export_difference(spec, tmp_path, "full") < 1e-6
    whole = replace(spec, adapter=str(tmp_path / "model"))
    assert registry.version(whole) != registry.version(spec)
    with pytest.raises(ValueError, match="is a whole model without a LoRA; take lora_alpha out"):
        registry.load(replace(whole, alpha=4.0), CPU)
    exported, videos = registry.load(replace(spec, base=str(tmp_path / "export")), CPU), [a_video(0, (4, 32, 32))] * 3
    assert checks.answers(exported, videos) == checks.answers(registry.load(whole, CPU), videos)
    assert checks.answers(exported, videos) != checks.answers(registry.load(spec, CPU), videos)


def test_alpha_is_a_knob(made: Any, tmp_path: Path) -> None:
    spec = made("qwen3_vl")
    checks.export_difference(spec, tmp_path)
    weights = {
        alpha: registry.load(replace(spec, adapter=str(tmp_path / "model"), alpha=alpha), CPU).model.state_dict()  # type: ignore[attr-defined]
        for alpha in (None, 8.0, 4.0, 0.0)
    }
    name = "model.language_model.layers.0.self_attn.q_proj.weight"
    torch.testing.assert_close(weights[None][name], weights[8.0][name])
    base = registry.load(spec, CPU).model.state_dict()[name]  # type: ignore[attr-defined]
    torch.testing.assert_close(weights[0.0][name], base)
    torch.testing.assert_close(weights[4.0][name] - base, (weights[8.0][name] - base) / 2, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("kind", ["qwen3_vl", "internvl", "llava_onevision", "smolvlm", "video_llama_3", "molmo2"])
def test_the_budget_counts_the_tokens_of_the_largest_video(made: Any, kind: str) -> None:
    spec = made(kind)
    llm: Any = registry.load(spec, CPU)
    size, counted = llm.frames.size, registry.size(spec, LORA).video_tokens
    side = int((size.max_pixels / (4 if size.of_all_frames else 1)) ** 0.5) if hasattr(size, "max_pixels") else 0
    shape = (4, side, side) if side else smallest_shape(llm.frames)
    tokens = llm.processor.stand_in(a_video(1, shape))
    assert abs(len(llm.processor.ids_of(tokens)) - counted) <= 8
