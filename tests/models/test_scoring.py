"""Pins that a text's likelihood after a prefix is the one in the whole chat, whatever is read beside it; and what is let go."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.generate.grounding import score
from jobs.make_base import frames_of
from models import registry, scoring
from models.base import ChatSpec, Device, Likelihood, ModelSpec, OutOfMemory, Passage, Sampling, Video
from models.decoding import Prefix
from models.pllava import video_llm
from models.pllava.chat import ChatTokenizer
from models.pllava.forms import FORMS, Exchange
from models.pllava.passages import passage_tokens
from models.scoring import likelihoods
from watching import videos_of
from worlds import shapes

CPU = Device("cpu", "float32")
QUESTIONS = ("What is the action in this video?", "Describe the video.")
TEXTS = ("The red circle starts small and ends large, so the action is growing.", "It rises.", "A green cross blinks </s> twice.")


@pytest.fixture(scope="module")
def llm() -> video_llm.PllavaVideoLLM:
    return video_llm.load(ModelSpec(base="tiny"), CPU)


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    shown = videos_of(np.stack([frames_of(shapes.scene(78, index)) for index in range(4)]))
    return [*shown, Video(shown[0].frames[:1].repeat(8, 0), (0.0,) * 8)]


def all_passages(videos: list[Video]) -> list[Passage]:
    return [
        Passage(clip=clip, question=question, text=text) for text in TEXTS for question in QUESTIONS for clip in range(len(videos))
    ]


def watched_of(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> "video_llm.WatchedInBatches":
    watched = llm.watch(videos, True)
    for clip in range(len(videos)):
        watched.leave(clip)
    return watched


def whole(llm: video_llm.PllavaVideoLLM, passage: Passage, video: Video) -> list[float]:
    """By one forward pass over the whole chat, without a cache."""
    shape = llm.processor.picture_shape if video.is_picture else llm.processor.video.pooled
    ids, labels = llm.processor.training_ids([Exchange(passage.question, passage.text)], [shape])
    frames = torch.from_numpy(video.frames[None, : 1 if video.is_picture else None])
    with torch.inference_mode():
        pixels = llm.processor.pixels(frames).to(llm.model.dtype)
        logits = llm.model(input_ids=torch.tensor([ids]), pixel_values_videos=pixels, pooling_shapes=[shape]).logits[0]
    logprobs = logits.float().log_softmax(-1)
    return [float(logprobs[place - 1, token]) for place, token in enumerate(labels) if token != -100]


@pytest.mark.parametrize("tokens_at_once", [scoring.READ_TOKENS, 40])
def test_likelihoods_are_those_of_the_whole_chat(
    llm: video_llm.PllavaVideoLLM, videos: list[Video], monkeypatch: pytest.MonkeyPatch, tokens_at_once: int
) -> None:
    """Whether the texts of a prefix stand in one row or in several."""
    monkeypatch.setattr(scoring, "READ_TOKENS", tokens_at_once)
    passages = all_passages(videos)
    read = watched_of(llm, videos).score(passages)
    for passage, likelihood in zip(passages, read, strict=True):
        assert likelihood is not None
        expected = whole(llm, passage, videos[passage.clip])
        assert likelihood.logprobs == pytest.approx(expected[: len(likelihood.logprobs)], abs=2e-4)
        assert len(expected) - len(likelihood.logprobs) in (1, 2), "what closes the answer is not the text's"
        assert "".join(likelihood.text[a:b] for a, b in likelihood.spans).split() == likelihood.text.split()
    assert {likelihood.text for likelihood in read if likelihood} == {*TEXTS[:2], "A green cross blinks < /s> twice."}


def test_a_text_reads_the_same_alone_as_beside_others(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    passages = all_passages(videos)
    together = watched_of(llm, videos).score(passages)
    for passage, likelihood in list(zip(passages, together, strict=True))[::7]:
        (alone,) = watched_of(llm, videos).score([passage])
        assert alone is not None
        assert likelihood is not None
        assert alone.logprobs == pytest.approx(likelihood.logprobs, abs=2e-4)


def test_an_llm_with_a_window_reads_each_text_in_a_row_of_its_own(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    """The mask of several texts would have to know which layers have a window; without any, both ways have to agree."""
    passages = [passage for passage in all_passages(videos) if passage.clip < 4]
    packed = watched_of(llm, videos).score(passages)
    config = llm.model.config.text_config
    config.sliding_window = 3
    try:
        singly = watched_of(llm, videos).score(passages)
    finally:
        del config.sliding_window
    for one, other in zip(packed, singly, strict=True):
        assert one is not None
        assert other is not None
        assert one.logprobs == pytest.approx(other.logprobs, abs=2e-4)


def test_prefixes_of_several_lengths_and_positions_that_run_ahead(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    """As native families have them: a shorter row is padded at its end, and what comes after it is as after the row alone."""
    shape = llm.processor.video.pooled
    frames = torch.from_numpy(np.stack([video.frames for video in videos[:2]]))
    prefix = llm._prefill(frames, shape)
    tokens = [passage_tokens(llm.processor, QUESTIONS[0], TEXTS[0], shape)] * 2
    read, config = video_llm.read_of(llm.model), llm.model.config.text_config
    short = prefix.length - 9
    alone = Prefix([(keys[:1, :, :short], values[:1, :, :short]) for keys, values in prefix.layers], (short,), (5,))
    both = Prefix(prefix.layers, (short, prefix.length), (5, 0))
    padded = likelihoods(read, config, both, [0, 1], tokens, torch.float32)
    (expected,) = likelihoods(read, config, alone, [0], tokens[:1], torch.float32)
    assert padded[0].logprobs == pytest.approx(expected.logprobs, abs=2e-4)
    assert padded[1].logprobs != pytest.approx(expected.logprobs, abs=2e-2)


@pytest.mark.parametrize("form", ["pllava-vicuna", "pllava-chatml"])
def test_published_forms_read_what_generation_wrote(llm: video_llm.PllavaVideoLLM, form: str) -> None:
    """The text's tokens stand behind those of the question as it is asked, not as training writes it."""
    processor = llm.processor
    tokenizer = ChatTokenizer(processor.tokenizer.backend, processor.tokenizer.settings, None, FORMS[form])
    asking = replace(processor, tokenizer=tokenizer, chat_spec=ChatSpec(form=form, answer_start="It"))
    tokens = passage_tokens(asking, QUESTIONS[0], "It rises.", asking.video.pooled)
    assert list(tokens.question) == asking.prompt_ids(QUESTIONS[0], asking.video.pooled)[1]
    assert asking.answer_text(tokens.answer) == tokens.text == " rises."


def test_answers_and_readings_need_one_watch(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    watched, sampling = llm.watch(videos[:2], True), Sampling(temperature=0.0, max_tokens=4)
    futures = [watched.ask(clip, QUESTIONS[0], 0, sampling) for clip in range(2)]
    for clip in range(2):
        watched.leave(clip)
    texts = [future.result().text for future in futures]
    assert all(watched.score([Passage(clip=clip, question=QUESTIONS[0], text=texts[clip]) for clip in range(2)]))
    score_of = weakref.ref(watched._score)  # type: ignore[arg-type]
    watched.close()
    gc.collect()
    assert score_of() is None, "prefixes are gigabytes"
    with pytest.raises(AssertionError, match="closed"):
        watched.score([])


class Small:
    """A loaded model that holds two clips at once."""

    def __init__(self, llm: video_llm.PllavaVideoLLM, most: int) -> None:
        self.llm, self.most = llm, most
        self.watches: list[int] = []

    def watch(self, videos: list[Video], scores: bool = False) -> "video_llm.WatchedInBatches":
        if len(videos) > self.most:
            raise OutOfMemory("too many")
        self.watches.append(len(videos))
        return self.llm.watch(videos, scores)


def test_what_memory_does_not_hold_is_watched_again_in_halves(llm: video_llm.PllavaVideoLLM, videos: list[Video]) -> None:
    passages, small = all_passages(videos), Small(llm, 2)
    halves = score(small, videos, passages, None)  # type: ignore[arg-type]
    assert small.watches == [2, 1, 2]
    for one, other in zip(halves, watched_of(llm, videos).score(passages), strict=True):
        assert isinstance(one, Likelihood)
        assert isinstance(other, Likelihood)
        assert one.logprobs == pytest.approx(other.logprobs, abs=2e-4)
    assert score(Small(llm, 0), videos, passages, None) == [None] * len(passages)  # type: ignore[arg-type]


def test_the_registry_knows_which_engines_read() -> None:
    assert (registry.can_score("builtin"), registry.can_score("openai")) == (True, False)
