"""Pins what a server's answer means, and the one line that a wrong [generate.openai] gets before anything is asked."""

import json
from dataclasses import fields
from email.utils import formatdate
from typing import Any

import pytest

from builders import an_attempt
from engine.config import RunConfig
from engine.engines import OpenAI
from engine.generate.tokens import Tokens
from engine.presets import load_config
from engine.run import elsewhere
from engine.run.plan import Step, asks_elsewhere, name_of
from engine.run.work import Work
from engine.store.files import Store
from models.base import EngineSpec
from models.endpoint.answers import Completion, End, Passing, Refusal, completion_of
from models.endpoint.engine import Options

SERVER = ["generate.engine=openai", "generate.openai.url=http://host:8000/v1", "generate.openai.model=Qwen/Qwen3-VL-8B-Instruct"]


def meaning(status: int, value: Any, **headers: str) -> Completion | Passing | Refusal | End:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return completion_of(status, {name.replace("_", "-"): text for name, text in headers.items()}, body, now_s=1000.0)


def completion(message: dict[str, Any], reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": reason}], **more}


def test_a_completion_with_and_without_what_servers_may_leave_out() -> None:
    usage = {"prompt_tokens": 70, "completion_tokens": 3}
    full = completion({"content": " It rises.\n"}, "length", usage=usage, model="m-2026", system_fingerprint="fp")
    assert meaning(200, full) == Completion(
        text="It rises.", finish_reason="length", prompt_tokens=70, num_tokens=3, model="m-2026", fingerprint="fp"
    )
    bare = meaning(200, completion({"content": None}, None, usage=None))
    assert bare == Completion(text="", finish_reason="", prompt_tokens=0, num_tokens=0, model="", fingerprint="")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"<html>hello</html>", Passing("what is no chat completion: hello", is_answer=True)),
        (200, b'{"choices"', Passing('what is no chat completion: {"choices"', is_answer=True)),
        (
            200,
            completion({"content": "It"}, "abort"),
            Passing("a reply that was broken off (finish_reason 'abort')", is_answer=True),
        ),
        (200, completion({"content": None, "refusal": "I cannot"}), Refusal("refused", "I cannot")),
        (200, completion({"content": "It"}, "content_filter"), Refusal("refused", "its content filter ended the answer")),
        (429, b"", Passing("HTTP 429", None, is_limit=True)),
        (502, b"<h1>Bad\nGateway</h1>", Passing("HTTP 502: Bad Gateway")),
        (408, {"error": "late"}, Passing("HTTP 408: late")),
        (501, b"", End("HTTP 501", 501)),
        (429, {"error": {"message": "no money", "code": "insufficient_quota"}}, End("HTTP 429: no money", 429, is_of_account=True)),
        (402, {"message": "pay"}, End("HTTP 402: pay", 402, is_of_account=True)),
        (401, {"error": {"message": "wrong key"}}, End("HTTP 401: wrong key", 401, is_of_account=True)),
        (404, {"detail": "Not Found"}, End("HTTP 404: Not Found", 404)),
        (403, {"error": {"message": "no access"}}, End("HTTP 403: no access", 403)),
        (403, {"error": {"message": "your input was flagged"}}, Refusal("refused", "HTTP 403: your input was flagged")),
        (422, {"detail": "bad image"}, Refusal("refused", "HTTP 422: bad image")),
        (413, b"too large", Refusal("refused", "HTTP 413: too large")),
        (302, b"", End("HTTP 302: it redirects to another address", 302)),
    ],
)
def test_what_an_answer_means(status: int, body: Any, expected: object) -> None:
    assert meaning(status, body) == expected


@pytest.mark.parametrize(
    "words",
    [
        # vLLM 0.32 (renderers/params.py), earlier vLLM, SGLang, OpenAI, Anthropic, llama.cpp
        "This model's maximum context length is 2048 tokens. However, you requested 64 output tokens and your prompt contains 3000",
        "The decoder prompt (length 3000) is longer than the maximum model length of 2048.",
        "The input (3000 tokens) is longer than the model's context length (2048 tokens).",
        "Requested token count exceeds the model's maximum context length of 2048 tokens.",
        "Input length (5000 tokens) exceeds the maximum allowed length (2048 tokens).",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "the request exceeds the available context size",
    ],
)
def test_a_prompt_that_is_too_long_in_the_words_of_servers(words: str) -> None:
    outcome = meaning(400, {"error": {"message": words, "code": "BadRequest"}})
    assert isinstance(outcome, Refusal)
    assert outcome.kind == "too_long"


def test_retry_after_in_seconds_and_as_a_date() -> None:
    assert meaning(503, b"", Retry_After="7") == Passing("HTTP 503", 7.0)
    assert meaning(429, b"", Retry_After=formatdate(1030, usegmt=True)) == Passing("HTTP 429", 30.0, is_limit=True)


def test_what_a_server_says_is_one_short_line() -> None:
    outcome = meaning(400, {"error": {"message": "a\r\nb\x1b[31m\u2028" + "c" * 1000}})
    assert isinstance(outcome, Refusal)
    assert outcome.reason.isprintable()
    assert len(outcome.reason) < 330


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (SERVER[:1], 'engine is "openai", and openai.url is empty'),
        (SERVER[:2], 'engine is "openai", and openai.model is empty'),
        (["generate.openai.url=host:8000/v1"], "url = 'host:8000/v1' is no address of a server"),
        (["generate.openai.url=http:///v1"], "is no address of a server"),
        (["generate.openai.url=http://host:http/v1"], "is no address of a server"),
        (["generate.openai.url=http://host/v1/chat/completions"], "names one call of the API; give what is before it"),
        (["generate.openai.concurrency=0"], "generate.openai.concurrency = 0"),
        (["generate.openai.omit=['messages']"], "generate.openai.omit.0 = 'messages'"),
        (["generate.openai.body={stream=true}"], "body cannot have stream"),
        (["generate.openai.modle=x"], "did you mean 'generate.openai.model'?"),
    ],
)
def test_a_wrong_section_is_one_line(settings: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        load_config(None, settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "setting", ["url=http://user:sesame@host/v1", "url=http://host/v1?api_key=sesame", "key_env=sk-sesame", "key_env="]
)
def test_a_secret_in_the_section_is_refused_and_not_repeated(setting: str) -> None:
    with pytest.raises(ValueError, match=r"generate\.openai") as caught:
        load_config(None, [f"generate.openai.{setting}"])
    assert "sesame" not in str(caught.value)


def test_the_engine_reads_each_key_of_the_section() -> None:
    assert {option.name for option in fields(Options)} == OpenAI.model_fields.keys() - {"price_in", "price_out"}
    options = Options.of(load_config(None, [*SERVER, "generate.openai.url=http://host:8000/v1/"]).generate.engine_spec(0.0))
    assert (options.endpoint.url, options.endpoint.host, options.endpoint.concurrency) == ("http://host:8000/v1", "host:8000", 16)


def a_work(config: RunConfig, kind: Any, cycle: int, model: str = "") -> Work:
    step = Step(name=name_of(cycle, kind), kind=kind, cycle=cycle, inputs=(), model=model)
    return Work(step=step, identity="", config=config, store=Store("memory://w"), report=lambda progress: None)


def test_only_the_first_cycles_generation_is_asked_elsewhere() -> None:
    """Evaluations compare the run's own models, and later cycles generate with them, also where none was promoted."""
    config = load_config(None, [*SERVER, "cluster.generator_gpus=1", "generate.pieces_in_flight=3"])
    first = a_work(config, "generate", 0)
    assert asks_elsewhere(config, first.step)
    assert first.model().base == "Qwen/Qwen3-VL-8B-Instruct at http://host:8000/v1"
    assert (first.engine().name, first.engine().gpus, first.engine().in_flight) == ("openai", 0.0, 3)
    for kind, cycle, model in (("evaluate", -1, ""), ("evaluate", 0, "cycle-000/train"), ("generate", 1, "")):
        other = a_work(config, kind, cycle, model)
        assert (other.engine(), other.model().base) == (EngineSpec(gpus=1.0, in_flight=3, clips=96), "tiny")
    assert a_work(load_config(None, []), "generate", 0).engine() == EngineSpec()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            [],
            "is asked one question, and where the answer is rejected a second one, about each train clip in cycle 0, with 16",
        ),
        (
            ["model.num_frames=8", "generate.rationalize=false"],
            "is asked one question about each train clip in cycle 0, with 8 frames",
        ),
        (
            ["generate.openai.frames=4", "loop.max_cycles=1"],
            "is asked one question about each train clip in cycle 0, with 4 frames",
        ),
        (["select.source=template"], "generate.engine = 'openai' is not used"),
    ],
)
def test_what_will_be_asked_of_what_is_a_line(settings: list[str], words: str) -> None:
    assert words in elsewhere.questions(load_config(None, [*SERVER, *settings]))
    assert elsewhere.questions(load_config(None, settings)) == ""


def test_tokens_are_counted_over_written_answers() -> None:
    tokens = Tokens()
    tokens.add(
        [], [an_attempt(prompt_tokens=700, num_tokens=20), an_attempt(mode="rationalized", prompt_tokens=720, num_tokens=30)]
    )
    tokens.add([], [an_attempt(outcome="failed", prompt_tokens=0, num_tokens=0)])
    assert tokens.facts("m", 1.0, 10.0) == {"model": "m", "answers": 2, "prompt_tokens": 1420, "answer_tokens": 50, "cost": 0.00192}
