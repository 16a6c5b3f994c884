"""Pins that how samples are put together changes no number: padding, several videos, caches, beams, attention, precision."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llavas import write_stock
from models.base import ModelSpec, Sampling
from models.pllava import loading, video_llm
from watching import videos_of

CLOSE = {"atol": 2e-5, "rtol": 1e-4}
QUESTIONS = ["what?", "what is the action in this video?", "is the red circle rising?", "so it is."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stock")
    write_stock(folder)
    return folder


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Any, Any]:
    return loading.load(ModelSpec(base=str(folder), num_frames=3, pooling_shape=(3, 2, 2)))


def videos(count: int, num_frames: int = 3) -> torch.Tensor:
    rng = np.random.default_rng(count)
    return torch.from_numpy(rng.integers(0, 256, (count, num_frames, 48, 48, 3), dtype=np.uint8))


def logits(model: Any, batch: Any) -> torch.Tensor:
    with torch.no_grad():
        out: torch.Tensor = model(**batch).logits
    return out


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_is_its_samples(both: tuple[Any, Any], side: str) -> None:
    model, processor = both
    seen, texts = videos(4), [processor.chat(question) for question in QUESTIONS]
    batch = processor(texts, videos=seen, padding_side=side)
    assert not batch["attention_mask"].all()
    together = logits(model, batch)
    for i, text in enumerate(texts):
        alone = logits(model, processor(text, videos=seen[i : i + 1]))[0]
        torch.testing.assert_close(together[i][batch["attention_mask"][i].bool()], alone, **CLOSE)


def test_several_videos_of_their_own_length_and_shape_in_one_sample(both: tuple[Any, Any]) -> None:
    model, processor = both
    one, two, three = videos(1, 3)[0], videos(1, 5)[0], videos(1, 1)[0]
    shapes = [(3, 2, 2), (2, 4, 3), (1, 1, 1)]
    text = "<s>USER: <video>\nso it is. <video>\nwhat? <video>\nwhat is it? ASSISTANT:"
    other = processor.chat("what?")
    batch = processor([text, other], videos=[one, two, three, one], pooling_shapes=[*shapes, (3, 2, 2)])
    assert (batch["input_ids"] == processor.video_token_id).sum(1).tolist() == [12 + 24 + 1, 12]
    together = logits(model, batch)
    alone = logits(model, processor(text, videos=[one, two, three], pooling_shapes=shapes))[0]
    torch.testing.assert_close(together[0][batch["attention_mask"][0].bool()], alone, **CLOSE)
    torch.testing.assert_close(
        together[1][batch["attention_mask"][1].bool()], logits(model, processor(other, videos=[one]))[0], **CLOSE
    )
    features = model.get_video_features([processor.pixels(v.unsqueeze(0))[0] for v in (one, two)], pooling_shapes=shapes[:2])
    for video, shape, seen in zip((one, two), shapes, features.pooler_output, strict=False):
        single = model.get_video_features(processor.pixels(video.unsqueeze(0)), pooling_shapes=[shape]).pooler_output[0]
        torch.testing.assert_close(seen, single, **CLOSE)


def test_an_image_and_a_video_in_one_sample(both: tuple[Any, Any]) -> None:
    model, processor = both
    image, video = videos(1)[0, :1], videos(1)
    batch = processor("USER: <image>\n<video>\nwhat? ASSISTANT:", images=image, videos=video)
    ids = batch["input_ids"][0].tolist()
    assert (ids.count(processor.image_token_id), ids.count(processor.video_token_id)) == (64, 12)
    swapped = processor("USER: <image>\n<video>\nwhat? ASSISTANT:", images=255 - image, videos=video)
    assert (logits(model, batch) - logits(model, swapped)).abs().max() > 1e-4


def test_numbers_that_do_not_agree_are_named(both: tuple[Any, Any]) -> None:
    model, processor = both
    with pytest.raises(ValueError, match="2 pooling_shapes for 1 <video> in the texts"):
        processor(processor.chat("what?"), videos=videos(1), pooling_shapes=[(3, 2, 2)] * 2)
    with pytest.raises(ValueError, match="12 video tokens for 2 videos of 24 tokens together"):
        logits(model, processor(processor.chat("what?"), videos=videos(2)))
    with pytest.raises(ValueError, match="video 1 of 2 has no frames"):
        model.get_video_features([torch.zeros(2, 3, 48, 48), torch.zeros(0, 3, 48, 48)], pooling_shapes=[(2, 2, 2)] * 2)
    with pytest.raises(ValueError, match="at least one frame each"):
        processor.pixels(videos(1)[:, :0])
    with pytest.raises(ValueError, match="not an argument of PLLaVA"):
        model(input_ids=torch.tensor([[1, 2]]), image_sizes=torch.tensor([[48, 48]]))


def test_static_and_dynamic_cache_beams_and_several_sequences(both: tuple[Any, Any]) -> None:
    model, processor = both
    batch = processor([processor.chat(q) for q in QUESTIONS], videos=videos(4))
    ask = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "return_dict_in_generate": True, "output_logits": True}
    dynamic = model.generate(**batch, **ask)
    static = model.generate(**batch, **ask, cache_implementation="static", disable_compile=True)
    assert torch.equal(dynamic.sequences, static.sequences)
    for one, two in zip(dynamic.logits, static.logits, strict=True):
        torch.testing.assert_close(one, two, **CLOSE)
    beams = model.generate(**batch, max_new_tokens=6, num_beams=3, num_return_sequences=2, do_sample=False, eos_token_id=None)
    for i in (0, 3):
        alone = processor(processor.chat(QUESTIONS[i]), videos=videos(4)[i : i + 1])
        one = model.generate(**alone, max_new_tokens=6, num_beams=3, num_return_sequences=2, do_sample=False, eos_token_id=None)
        assert torch.equal(beams[2 * i : 2 * i + 2, -6:], one[:, -6:])
    torch.manual_seed(0)
    sampled = model.generate(**batch, max_new_tokens=6, num_return_sequences=2, do_sample=True, eos_token_id=None)
    assert sampled.shape[0] == 8


def test_beams_of_videos_of_their_own_shape(both: tuple[Any, Any]) -> None:
    model, processor = both
    ask = {"max_new_tokens": 5, "num_beams": 2, "do_sample": False, "eos_token_id": None}
    texts, seen, shapes = [processor.chat(q) for q in QUESTIONS[:2]], [videos(1, 3)[0], videos(1, 4)[0]], [(3, 2, 2), (2, 3, 3)]
    both_ = model.generate(**processor(texts, videos=seen, pooling_shapes=shapes), **ask)
    for i in range(2):
        alone = model.generate(**processor(texts[i], videos=seen[i : i + 1], pooling_shapes=shapes[i : i + 1]), **ask)
        assert torch.equal(both_[i, -5:], alone[0, -5:])


def test_eager_attention_is_sdpa(both: tuple[Any, Any], folder: Path) -> None:
    model, processor = both
    eager, _ = loading.load(ModelSpec(base=str(folder), num_frames=3, pooling_shape=(3, 2, 2)))
    eager.set_attn_implementation("eager")
    batch = processor([processor.chat(q) for q in QUESTIONS], videos=videos(4))
    keep = batch["attention_mask"].bool()
    torch.testing.assert_close(logits(eager, batch)[keep], logits(model, batch)[keep], **CLOSE)


def test_bfloat16_is_near(both: tuple[Any, Any], folder: Path) -> None:
    model, processor = both
    half, _ = loading.load(ModelSpec(base=str(folder), num_frames=3, pooling_shape=(3, 2, 2)), "bfloat16")
    batch = processor([processor.chat(q) for q in QUESTIONS], videos=videos(4))
    batch["pixel_values_videos"] = batch["pixel_values_videos"].to(torch.bfloat16)
    keep = batch["attention_mask"].bool()
    near, exact = (
        logits(half, batch)[keep].float(),
        logits(model, processor([processor.chat(q) for q in QUESTIONS], videos=videos(4)))[keep],
    )
    assert torch.nn.functional.cosine_similarity(near, exact).min() > 0.999


def test_shared_prefix_generation_is_generate_token_for_token(both: tuple[Any, Any]) -> None:
    """Clips in any order, several rounds, clips that leave; grouped-query attention; rows that end early leave the batch."""
    model, processor = both
    watched = video_llm.PllavaVideoLLM(model, processor, "").watch(videos_of(videos(4).numpy()))
    for round_, clips in enumerate(([2, 0, 1, 3], [3, 0, 2], [0])):
        questions = {clip: QUESTIONS[(clip + round_) % 4] for clip in clips}
        futures = {clip: watched.ask(clip, questions[clip], 0, Sampling(temperature=0, max_tokens=24)) for clip in clips}
        for clip, future in futures.items():
            batch = processor(processor.chat(questions[clip]), videos=videos(4)[clip : clip + 1])
            ids = model.generate(**batch, max_new_tokens=24, do_sample=False)[0, batch["input_ids"].shape[1] :]
            assert future.result(timeout=0).text == processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
        for leaver in {0: [1], 1: [3, 2], 2: [0]}[round_]:
            watched.leave(leaver)


def test_a_question_beyond_the_context_fails_alone_and_is_named_with_the_numbers(both: tuple[Any, Any]) -> None:
    watched = video_llm.PllavaVideoLLM(*both, "").watch(videos_of(videos(2).numpy()))
    few = Sampling(temperature=0, max_tokens=5)
    long, short = watched.ask(0, "is it " * 300, 0, few), watched.ask(1, "what?", 0, few)
    with pytest.raises(ValueError, match=r"'is it .* clip 0 makes a prompt of \d+ tokens, .* the model's context of 256"):
        long.result(timeout=0)
    assert short.result(timeout=0).num_tokens <= 5


def test_special_tokens_in_a_question_are_only_words(both: tuple[Any, Any]) -> None:
    _, processor = both
    before, after = processor.prompt_ids("is <video> or <image> or </s> a word?")
    assert (before + after).count(processor.video_token_id) == 12
    assert not {processor.image_token_id, processor.tokenizer.named_token_id("eos_token")} & set(after)
