"""Pins PLLaVA in vLLM: tokens and logprobs are those of transformers, each clip is encoded once, prompts and limits are ours."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from llavas import write_released
from models import registry
from models.base import Device, ModelSpec, Passage, Sampling, Turn, Video
from models.pllava.video_llm import PllavaVideoLLM
from models.vllm.served import Watchable, serving
from models.vllm.video_llm import VllmVideoLLM
from vllm_engines import an_engine, noise

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default"), pytest.mark.timeout(600)]
CPU = Device("cpu", "float32")
GREEDY = Sampling(temperature=0.0, max_tokens=24)
QUESTIONS = ["what is the action ?", "the red circle is rising so what is it in this video ?"]


@pytest.fixture(scope="module")
def engine(pllava: ModelSpec) -> Iterator[VllmVideoLLM]:
    llm = an_engine(pllava)
    yield llm
    llm.client.close()


@pytest.fixture(scope="module")
def builtin(pllava: ModelSpec) -> PllavaVideoLLM:
    llm = registry.load(pllava, CPU)
    assert isinstance(llm, PllavaVideoLLM)
    return llm


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    """Seven videos and a still picture."""
    shown = [noise(seed, 4, 48) for seed in range(7)]
    return [*shown, Video(shown[0].frames[:1].repeat(4, 0), (0.0,) * 4)]


def both(engine: VllmVideoLLM, builtin: PllavaVideoLLM, videos: list[Video], question: str) -> list[tuple[Any, Any]]:
    watched = [llm.watch(videos) for llm in (engine, builtin)]
    futures = [[each.ask(clip, question, 0, GREEDY) for clip in range(len(videos))] for each in watched]
    return [(of_vllm.result(120), own.result()) for of_vllm, own in zip(*futures, strict=True)]


def test_replies_are_those_of_the_built_in_engine(engine: VllmVideoLLM, builtin: PllavaVideoLLM, videos: list[Video]) -> None:
    pairs = [pair for question in QUESTIONS for pair in both(engine, builtin, videos, question)]
    assert [of_vllm for of_vllm, _ in pairs] == [own for _, own in pairs]
    assert len({own.text for _, own in pairs}) > 12, "the answers have to differ, or they show nothing"
    assert {own.finished for _, own in pairs} == {True, False}


def test_texts_are_read_as_by_the_built_in_engine(engine: VllmVideoLLM, builtin: PllavaVideoLLM, videos: list[Video]) -> None:
    """Those that vLLM has just written, whose keys and values are in its cache, and others; the videos are not encoded again."""
    watched = [llm.watch(videos, True) for llm in (engine, builtin)]
    futures = [each.ask(clip, QUESTIONS[0], 0, GREEDY) for each in watched for clip in range(len(videos))]
    texts = [future.result().text for future in futures[: len(videos)]]
    for each in watched:
        for clip in range(len(videos)):
            each.leave(clip)
    encoded = engine.client.call("encodes")[0]
    passages = [
        Passage(clip=clip, question=QUESTIONS[0], text=text)
        for number, text in enumerate([*texts, "it is the red circle ."])
        for clip in {number % len(videos), 0, 3, 7}
    ]
    scored = [each.score(passages) for each in watched]
    assert engine.client.call("encodes")[0] == encoded
    for of_vllm, own in zip(*scored, strict=True):
        assert of_vllm is not None
        assert own is not None
        assert (of_vllm.text, of_vllm.spans) == (own.text, own.spans)
        assert of_vllm.logprobs == pytest.approx(own.logprobs, abs=2e-3)
    for each in watched:
        each.close()


def test_tokens_and_logprobs_are_those_of_transformers_generate(
    engine: VllmVideoLLM, builtin: PllavaVideoLLM, videos: list[Video]
) -> None:
    model, processor, worst = builtin.model, builtin.processor, 0.0
    for video in videos[:7]:
        for question in QUESTIONS:
            prompt = engine.served.prompt([Turn(0, question, "")], [Watchable(video)])
            answer = engine.client.submit(prompt, 0, GREEDY, engine.served.end_ids, logprobs=True).result(120)
            batch = processor([processor.chat(question)], videos=torch.from_numpy(video.frames[None]))
            output = model.generate(**batch, max_new_tokens=24, do_sample=False, output_scores=True, return_dict_in_generate=True)
            ids = output.sequences[0, batch["input_ids"].shape[1] :].tolist()
            assert list(answer.token_ids) == ids
            own = [float(scores.log_softmax(-1)[0, token]) for scores, token in zip(output.scores, ids, strict=True)]
            worst = max([worst, *(abs(a - b) for a, b in zip(own, answer.logprobs, strict=True))])
            assert min(own) < -0.05, "the tokens have to be open, or their logprobs show nothing"
    assert worst < 1e-3


def test_each_clip_is_encoded_once_for_all_of_its_questions(engine: VllmVideoLLM) -> None:
    fresh = [noise(seed, 4, 48) for seed in range(100, 112)]
    before, watched = engine.client.call("encodes"), engine.watch(fresh)
    for question in QUESTIONS:
        for future in [watched.ask(clip, question, 0, GREEDY) for clip in range(len(fresh))]:
            future.result(120)
    for clip in range(len(fresh)):
        watched.leave(clip)
    after = engine.client.call("encodes")
    assert [total - earlier for total, earlier in zip(after, before, strict=True)] == [len(fresh)]


def test_shots_pictures_and_texts_are_answered_as_by_the_built_in_engine(
    engine: VllmVideoLLM, builtin: PllavaVideoLLM, videos: list[Video]
) -> None:
    samples = [
        [Turn(0, "what is it ?", "rising"), Turn(1, "what is it ?", "")],
        [Turn(2, "what ?", "circle"), Turn(7, "so", "red"), Turn(3, "action ?", "")],
        [Turn(None, "what is it ?", "")],
    ]
    assert engine.converse(videos, samples, [0] * 3, GREEDY) == builtin.converse(videos, samples, [0] * 3, GREEDY)


def test_a_seed_decides_a_sampled_answer(engine: VllmVideoLLM, videos: list[Video]) -> None:
    watched, hot = engine.watch([videos[0]] * 3), Sampling(temperature=1.5, max_tokens=12)
    texts = [watched.ask(clip, QUESTIONS[0], seed, hot).result(120).text for clip, seed in enumerate((1, 2, 1))]
    assert texts[0] == texts[2] != texts[1]


def test_an_answer_ends_before_a_stop_text(engine: VllmVideoLLM, videos: list[Video]) -> None:
    watched = engine.watch(videos)
    for clip in range(len(videos)):
        whole = watched.ask(clip, QUESTIONS[0], 0, GREEDY).result(120)
        if written := re.search("[a-z]{2,}", whole.text[1:]):
            stop = written[0]
            reply = watched.ask(clip, QUESTIONS[0], 0, replace(GREEDY, stop=("never", stop))).result(120)
            assert (reply.text, reply.finished) == (whole.text[: whole.text.index(stop)].rstrip(), True)
            assert reply.num_tokens < whole.num_tokens
            return
    pytest.fail("no answer has a word in it")


def test_prompts_have_our_lengths_and_one_that_is_too_long_is_refused_alone(
    engine: VllmVideoLLM, builtin: PllavaVideoLLM, videos: list[Video]
) -> None:
    for video in videos:
        lengths = [len(llm.prompt_token_ids(QUESTIONS[1], video)) for llm in (engine, builtin)]
        assert lengths[0] == lengths[1]
    assert engine.context_tokens == builtin.context_tokens == 1024
    watched = engine.watch(videos[:2])
    futures = [watched.ask(0, "word " * 1000, 0, GREEDY), watched.ask(1, QUESTIONS[0], 0, GREEDY)]
    with pytest.raises(ValueError, match="more than the context of 1024"):
        futures[0].result(120)
    assert futures[1].result(120).num_tokens


def test_the_digest_names_weights_engine_and_version(engine: VllmVideoLLM, builtin: PllavaVideoLLM) -> None:
    from models.vllm.engine import installed_version

    assert engine.digest == f"{builtin.digest}+vllm-{installed_version()}"


def test_weights_are_merged_with_the_adapters_as_they_are_loaded(tmp_path: Path) -> None:
    write_released(tmp_path)
    for spec in (ModelSpec(base=str(tmp_path)), ModelSpec(base=str(tmp_path), alpha=0.0)):
        state = registry.load(spec, CPU).model.state_dict()  # type: ignore[attr-defined]
        weights = dict(serving(spec).weights("float32"))
        name = "layers.0.self_attn.q_proj.weight"
        assert torch.equal(weights[f"language_model.model.{name}"], state[f"model.language_model.{name}"])
