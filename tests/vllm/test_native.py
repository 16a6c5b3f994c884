"""Pins video models of transformers in vLLM: tokens and logprobs are those of transformers, each clip is encoded once."""

from collections.abc import Iterator
from typing import Any

import pytest

from models import registry
from models.base import Device, Sampling, Turn, Video
from models.frames import smallest_shape
from models.native.video_llm import NativeVideoLLM
from models.vllm.served import Watchable
from models.vllm.video_llm import VllmVideoLLM
from vllm_checkpoints import a_checkpoint
from vllm_engines import an_engine, noise

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default"), pytest.mark.timeout(900)]
GREEDY = Sampling(temperature=0.0, max_tokens=16)
QUESTIONS = ["what is the action ?", "the red circle is rising so what is it in this video ?"]


@pytest.fixture(scope="module", params=["qwen3_vl", "llava_onevision"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VllmVideoLLM, NativeVideoLLM]]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        spec = a_checkpoint(tmp_path_factory.mktemp(request.param) / "model", request.param, monkeypatch)
    engine = an_engine(spec)
    builtin = registry.load(spec, Device("cpu", "float32"))
    assert isinstance(builtin, NativeVideoLLM)
    yield engine, builtin
    engine.client.close()


def videos_of(llm: NativeVideoLLM, number: int) -> list[Video]:
    frames, height, _ = smallest_shape(llm.frames)
    return [noise(seed, frames, height) for seed in range(number)]


def test_tokens_and_logprobs_are_those_of_transformers(pair: tuple[VllmVideoLLM, NativeVideoLLM]) -> None:
    engine, builtin = pair
    worst = 0.0
    for video in videos_of(builtin, 5):
        for question in QUESTIONS:
            prompt = engine.served.prompt([Turn(0, question, "")], [Watchable(video)])
            assert prompt.num_tokens == len(builtin.prompt_token_ids(question, video))
            answer = engine.client.submit(prompt, 0, GREEDY, engine.served.end_ids, logprobs=True).result(300)
            chat = builtin.processor.sample_chat([Turn(0, question, "")])
            inputs: dict[str, Any] = builtin.processor.inputs([chat], [[video]])
            output = builtin.model.generate(
                **inputs,
                max_new_tokens=16,
                do_sample=False,
                output_scores=True,
                return_dict_in_generate=True,
                eos_token_id=sorted(builtin.end_ids),
            )
            ids = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
            assert list(answer.token_ids) == ids
            own = [float(scores.log_softmax(-1)[0, token]) for scores, token in zip(output.scores, ids, strict=True)]
            worst = max([worst, *(abs(a - b) for a, b in zip(own, answer.logprobs, strict=True))])
    assert worst < 1e-3


def test_replies_are_those_of_the_built_in_engine_and_a_clip_is_encoded_once(pair: tuple[VllmVideoLLM, NativeVideoLLM]) -> None:
    engine, builtin = pair
    videos = videos_of(builtin, 12)[5:]
    before, replies = engine.client.call("encodes"), []
    for llm in pair:
        watched = llm.watch(videos)
        for question in QUESTIONS:
            futures = [watched.ask(clip, question, 0, GREEDY) for clip in range(len(videos))]
            replies.append([future.result(300) for future in futures])
    assert replies[:2] == replies[2:]
    assert len({reply.text for reply in replies[0]}) > 3
    after = engine.client.call("encodes")
    assert [total - earlier for total, earlier in zip(after, before, strict=True)] == [len(videos)]
    samples = [[Turn(0, "what ?", "rising"), Turn(1, "what is it ?", "")], [Turn(None, "so ?", "")]]
    assert engine.converse(videos, samples, [0] * 2, GREEDY) == builtin.converse(videos, samples, [0] * 2, GREEDY)
