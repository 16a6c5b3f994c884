"""Pins how a server is asked: what it is shown, how long it is waited for, what stops a run, and that the key stays where it is."""

import json
import pickle
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import numpy as np
import pytest

from chat_server import MODEL, ChatServer, pictures_in, question_in
from models import registry
from models.base import Device, EngineSpec, ModelAway, ModelSpec, Sampling, Turn, Unanswerable, Video
from models.endpoint.engine import EndpointVideoLLM

KEY = "sk-open-sesame"
CPU, GREEDY = Device("cpu", "float32"), Sampling(temperature=0.0, max_tokens=64)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


LOADED: list[EndpointVideoLLM] = []
"""Of the test that runs."""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No key, and no client that outlives its test."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    yield
    while LOADED:
        LOADED.pop().client.close()


def an_engine(url: str, **options: Any) -> EngineSpec:
    section = {
        "url": url, "model": MODEL, "key_env": "OPENAI_API_KEY", "frames": None, "max_pixels": 512 * 512, "send": "images",
        "picture_format": "jpeg", "times": True, "max_tokens_key": "max_tokens", "omit": (), "body": {}, "concurrency": 8,
        "patience_s": 5.0, "timeout_s": 30.0,
    }  # fmt: skip
    return EngineSpec(name="openai", options=section | options)


def loaded(server: ChatServer, **options: Any) -> EndpointVideoLLM:
    llm = registry.load(ModelSpec(base="nothing at all"), CPU, an_engine(server.url, **options))
    assert isinstance(llm, EndpointVideoLLM)
    LOADED.append(llm)
    server.asked.clear()
    server.answered.clear()
    return llm


def a_video(*brightness: int) -> Video:
    """Frames that are as bright, one a second from 0.5 s on."""
    frames = np.stack([np.full((60, 80, 3), value, np.uint8) for value in brightness])
    return Video(frames, tuple(second + 0.5 for second in range(len(brightness))))


def answer_of(llm: EndpointVideoLLM, question: str = "What?", sampling: Sampling = GREEDY) -> str:
    return llm.watch([a_video(0, 200)]).ask(0, question, 7, sampling).result(timeout=30).text


def test_the_server_is_shown_frames_and_answers(server: ChatServer) -> None:
    llm = loaded(server)
    watched = llm.watch([a_video(10, 20, 30), a_video(200, 100)])
    replies = [watched.ask(clip, "What happens?", 2**62 + 5, GREEDY).result(timeout=30) for clip in (0, 1)]
    assert [reply.text for reply in replies] == [
        "I see 3 pictures of brightness 10, 20, 30, so the action is unknown.",
        "I see 2 pictures of brightness 200, 100, so the action is unknown.",
    ]
    assert [(reply.prompt_tokens, reply.num_tokens, reply.finished) for reply in replies] == [(32, 14, True), (22, 13, True)]
    cut_off = watched.ask(0, "What happens?", 1, replace(GREEDY, max_tokens=3)).result(timeout=30)
    assert (cut_off.text, cut_off.finished) == ("I see 3", False)
    body = server.asked[0]
    assert {name: body[name] for name in body if name != "messages"} == {
        "model": MODEL, "temperature": 0.0, "max_tokens": 64, "seed": 5,
    }  # fmt: skip
    [message] = body["messages"]
    assert [part["text"] for part in message["content"] if part["type"] == "text"] == [
        "0.5 s:",
        "1.5 s:",
        "2.5 s:",
        "What happens?",
    ]
    assert [part["type"] for part in message["content"]][:3] == ["text", "image_url", "text"]
    watched.leave(0)
    assert set(watched.clips) == {1}


@pytest.mark.parametrize(("picture_format", "most"), [("jpeg", 4.0), ("png", 0.0)])
def test_pictures_are_what_the_frames_are(server: ChatServer, picture_format: str, most: float) -> None:
    """An odd size, a gradient, saturated colours and a fine red line on blue: chroma at half resolution would smear it."""
    frame = np.zeros((61, 83, 3), np.uint8)
    frame[..., 0] = np.linspace(0, 255, 83)
    frame[20:40] = (0, 0, 255)
    frame[30] = (255, 0, 0)
    llm = loaded(server, picture_format=picture_format, times=False)
    llm.watch([Video(np.stack([frame, frame[::-1]]), (0.0, 1.0))]).ask(0, "What?", 0, GREEDY).result(timeout=30)
    first, second = pictures_in(server.asked[0])
    assert first.shape == frame.shape
    for seen, sent in ((first, frame), (second, frame[::-1])):
        assert np.abs(seen.astype(int) - sent).mean() <= most
    assert first[30].mean(0)[0] > 200
    assert len(server.asked[0]["messages"][0]["content"]) == 3, "no seconds"


def test_a_still_picture_is_one_image(server: ChatServer) -> None:
    still = Video(np.full((4, 60, 80, 3), 50, np.uint8), (0.0,) * 4)
    for send in ("images", "video"):
        llm = loaded(server, send=send)
        assert (
            llm.watch([still]).ask(0, "What?", 0, GREEDY).result(timeout=30).text.startswith("I see 1 pictures of brightness 50,")
        )
        assert [part["type"] for part in server.asked[0]["messages"][0]["content"]] == ["image_url", "text"]
        assert "media_io_kwargs" not in server.asked[0]


def test_a_video_in_vllms_form_has_all_frames_and_their_seconds(server: ChatServer) -> None:
    llm = loaded(server, send="video")
    llm.watch([a_video(*range(0, 240, 6))]).ask(0, "What?", 0, GREEDY).result(timeout=30)
    body = server.asked[0]
    assert [part["type"] for part in body["messages"][0]["content"]] == ["video_url", "text"]
    assert [round(picture.mean()) for picture in pictures_in(body)] == [*range(0, 240, 6)]
    media = body["media_io_kwargs"]["video"]
    assert (media["num_frames"], media["do_sample_frames"]) == (-1, False), "vLLM keeps 32 frames unless it is told otherwise"
    assert [tick / media["fps"] for tick in media["frames_indices"]] == [second + 0.5 for second in range(40)]
    assert media["total_num_frames"] > media["frames_indices"][-1]


def test_the_requests_keys_are_what_the_section_says(server: ChatServer) -> None:
    think = {"chat_template_kwargs": {"enable_thinking": False}}
    llm = loaded(server, max_tokens_key="max_completion_tokens", omit=("seed", "temperature"), body=think)
    answer_of(llm, sampling=replace(GREEDY, stop=("USER:",)))
    body = {name: value for name, value in server.asked[0].items() if name != "messages"}
    assert body == {"model": MODEL, "max_completion_tokens": 64, "stop": ["USER:"], **think}


def test_several_videos_in_one_chat(server: ChatServer) -> None:
    llm = loaded(server)
    sample = [Turn(0, "What is it?", "A cat."), Turn(None, "Which?", "A grey one."), Turn(1, "And this?", "")]
    [reply, other] = llm.converse([a_video(1, 2), a_video(3)], [sample, [Turn(1, "This?", "")]], [1, 2], GREEDY)
    assert (reply.text[:38], other.text[:35]) == ("I see 3 pictures of brightness 1, 2, 3", "I see 1 pictures of brightness 3, s")
    body = next(body for body in server.asked if question_in(body) == "And this?")
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user", "assistant", "user"]


def test_frames_are_those_of_the_section_else_of_the_model() -> None:
    def frames(num_frames: int | None = None, **options: Any) -> tuple[Any, Any]:
        spec = registry.frame_spec(ModelSpec(base="nothing", num_frames=num_frames), an_engine("http://h/v1", **options))
        return spec.choose.num_frames, spec.size.max_pixels  # type: ignore[union-attr]

    assert (frames(), frames(8), frames(8, frames=4, max_pixels=90_000)) == ((16, 262_144), (8, 262_144), (4, 90_000))


@pytest.mark.parametrize("trouble", ["busy", "broken", "gateway", "html", "empty", "away", "cut", "reset", "aborted"])
def test_what_passes_is_asked_again(server: ChatServer, trouble: str) -> None:
    llm = loaded(server)
    server.next(trouble)
    assert answer_of(llm).startswith("I see 2 pictures")
    assert len(server.asked) == 2
    assert server.asked[0] == server.asked[1]


def test_a_server_that_asks_to_be_left_alone_is_left_alone_by_all(server: ChatServer) -> None:
    llm, server.retry_after = loaded(server), "1"
    server.next("busy")
    watched = llm.watch([a_video(1), a_video(2), a_video(3)])
    first = watched.ask(0, "What?", 0, GREEDY)
    while not server.asked:
        time.sleep(0.01)
    time.sleep(0.2)
    others = [watched.ask(clip, "What?", 0, GREEDY) for clip in (1, 2)]
    for future in (first, *others):
        future.result(timeout=30)
    assert len(server.asked) == 4
    assert all(at_s - server.at_s[1] >= 1.0 for at_s in server.at_s[2:]), "at_s[0] is the greeting"


def test_a_date_until_which_to_wait(server: ChatServer) -> None:
    llm, began = loaded(server), time.time()
    server.retry_after = formatdate(int(began) + 2, usegmt=True)
    server.next("away")
    answer_of(llm)
    assert time.time() >= int(began) + 2


def test_a_web_page_at_the_address_is_told_as_an_answer(server: ChatServer) -> None:
    llm, server.always = loaded(server, patience_s=0.2), "html"
    with pytest.raises(ModelAway, match=r"answers with what is no chat completion: .*; start it, or check generate.openai.url"):
        answer_of(llm)


def test_a_wait_beyond_the_patience_ends_at_once(server: ChatServer) -> None:
    llm, server.retry_after, server.always = loaded(server), "3600", "busy"
    began = time.monotonic()
    with pytest.raises(ModelAway, match=r"does not answer: HTTP 429: slow down; .* and it wants 3600 s more; start it, or check"):
        answer_of(llm)
    assert time.monotonic() - began < 3.0


def test_a_limit_that_lasts_longer_than_patience_ends_all_though_a_small_question_would_pass(server: ChatServer) -> None:
    llm, server.retry_after = loaded(server), "3600"
    server.trouble_of = lambda body: "busy" if question_in(body) == "What happens?" else ""
    with pytest.raises(ModelAway, match=r"HTTP 429: slow down; .* and it wants 3600 s more"):
        llm.watch([a_video(5)]).ask(0, "What happens?", 0, GREEDY).result(timeout=30)


def test_questions_under_way_are_bounded(server: ChatServer) -> None:
    llm, server.answer_s = loaded(server, concurrency=3), 0.05
    watched = llm.watch([a_video(number) for number in range(12)])
    for future in [watched.ask(clip, "What?", 0, GREEDY) for clip in range(12)]:
        future.result(timeout=30)
    assert server.most_at_once == 3


def test_a_server_that_is_gone_ends_all_questions_in_one_line_after_the_patience(server: ChatServer) -> None:
    llm = loaded(server, patience_s=1.0, concurrency=2)
    server.stop()
    watched, began = llm.watch([a_video(number) for number in range(20)]), time.monotonic()
    futures = [watched.ask(clip, "What?", 0, GREEDY) for clip in range(20)]
    errors = [future.exception(timeout=30) for future in futures]
    assert 1.0 <= time.monotonic() - began < 4.0, "the questions that waited for their turn wait no longer"
    assert {type(error) for error in errors} == {ModelAway}
    assert "does not answer: Cannot connect" in str(errors[0])
    assert "\n" not in str(errors[0])


def test_a_server_that_comes_back_within_the_patience_answers() -> None:
    with ChatServer() as first:
        llm, port = loaded(first, patience_s=20.0), first.port
    future = llm.watch([a_video(5)]).ask(0, "What?", 0, GREEDY)
    time.sleep(0.7)
    with ChatServer(port):
        assert future.result(timeout=30).text.startswith("I see 1 pictures")


def test_one_question_that_breaks_the_server_is_refused_and_the_others_are_answered(server: ChatServer) -> None:
    llm = loaded(server, patience_s=1.0)
    server.trouble_of = lambda body: "broken" if question_in(body) == "Poison?" else ""
    watched = llm.watch([a_video(1), a_video(2)])
    error = watched.ask(0, "Poison?", 0, GREEDY).exception(timeout=30)
    assert isinstance(error, Unanswerable)
    assert (error.kind, error.detail.partition(" answers ")[2]) == (
        "refused",
        "other questions, and to this one: HTTP 500: the engine fell over",
    )
    assert watched.ask(1, "What?", 0, GREEDY).result(timeout=30).text


def test_a_limit_that_lets_others_through_is_waited_for(server: ChatServer) -> None:
    """Patience counts from the last answer that the server gave: a question is not refused because it was unlucky."""
    llm, late = loaded(server, patience_s=1.5), time.monotonic() + 3.0
    server.trouble_of = lambda body: "busy" if question_in(body) == "Unlucky?" and time.monotonic() < late else ""
    watched = llm.watch([a_video(1), a_video(2)])
    unlucky = watched.ask(0, "Unlucky?", 0, GREEDY)
    while not unlucky.done():
        watched.ask(1, "What?", 0, GREEDY).result(timeout=30)
        time.sleep(0.2)
    assert unlucky.result().text.startswith("I see 1 pictures")


@pytest.mark.parametrize(("trouble", "kind"), [("long", "too_long"), ("improper", "refused"), ("parameter", "refused")])
def test_a_refusal_is_about_one_question(server: ChatServer, trouble: str, kind: str) -> None:
    llm = loaded(server)
    server.next(trouble)
    with pytest.raises(Unanswerable, match=r"^toy/eyes at http://127.0.0.1:\d+/v1 refuses it: HTTP 40[03]: ") as caught:
        answer_of(llm)
    assert caught.value.kind == kind
    assert answer_of(llm)
    assert len(server.asked) == 2, "it is not asked again"


@pytest.mark.parametrize(
    ("trouble", "remedy"),
    [
        ("forbidden", "check the key in the environment variable OPENAI_API_KEY"),
        ("absent", "check generate.openai.url, which most often ends with /v1, and generate.openai.model"),
        ("broke", "check the account's credit"),
        ("moved", "it redirects to http://127.0.0.1:9/v1/chat/completions; name that address in generate.openai.url"),
    ],
)
def test_what_lasts_ends_everything_at_once(server: ChatServer, trouble: str, remedy: str) -> None:
    llm = loaded(server)
    server.always = trouble
    for _ in range(2):
        with pytest.raises(ModelAway, match=remedy.replace(".", r"\.")):
            answer_of(llm)
    assert len(server.asked) == (1 if trouble == "broke" else 2), "the probe decides, and nothing is asked after the end"


@pytest.mark.parametrize("trouble", ["forbidden", "absent", "moved"])
def test_what_lasts_of_one_question_alone_refuses_that_question(server: ChatServer, trouble: str) -> None:
    """A gateway answers so about one clip; without the probe each rerun would stop at the same clip."""
    llm = loaded(server)
    server.trouble_of = lambda body: trouble if question_in(body) == "Odd?" else ""
    with pytest.raises(Unanswerable, match=r"answers other questions, and to this one: HTTP (302|403|404)") as caught:
        answer_of(llm, "Odd?")
    assert caught.value.kind == "refused"
    assert answer_of(llm)


def test_a_busy_server_is_waited_for_before_a_refusal_is_believed(server: ChatServer) -> None:
    llm = loaded(server)
    server.next("forbidden", "busy", "away")
    with pytest.raises(Unanswerable, match="answers other questions, and to this one: HTTP 403: no"):
        answer_of(llm)
    assert answer_of(llm)


def test_an_alias_that_moves_while_a_step_asks_ends_it(server: ChatServer) -> None:
    llm = loaded(server)
    assert answer_of(llm)
    server.model = "toy/eyes-2026-12"
    with pytest.raises(ModelAway, match=r"answers as 'toy/eyes-2026-12' by now, and answered as 'toy/eyes' .*; name one version"):
        answer_of(llm)
    server.model = ""
    assert answer_of(llm), "a server may leave the name out"


def test_a_server_that_refuses_is_a_line_before_anything_is_asked(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.key = KEY
    with pytest.raises(ValueError, match=r"answers HTTP 401: .*; the environment variable OPENAI_API_KEY .* is empty"):
        loaded(server)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-sesame")
    with pytest.raises(ValueError, match=r"check the key in the environment variable OPENAI_API_KEY") as caught:
        loaded(server)
    assert "sesame" not in str(caught.value), "the server repeats the key"
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(ValueError, match=r"has no model 'other/eyes'; it has toy/eyes$"):
        loaded(server, model="other/eyes")
    server.next("parameter")
    with pytest.raises(
        ValueError, match=r"two grey frames failed: .* Unsupported parameter: seed; see generate.openai.send, max_tok"
    ):
        loaded(server)
    assert server.answered == []
    server.list_trouble = "absent"
    server.next("absent")
    with pytest.raises(ValueError, match=r"The model does not exist.; check generate.openai.url, which most often ends with /v1"):
        loaded(server)
    assert loaded(server).digest.startswith(f"openai:{MODEL}@127.0.0.1:{server.port}+")


@pytest.mark.parametrize("trouble", ["absent", "forbidden", "html", "parameter", "broken"])
def test_a_server_whose_list_of_models_cannot_be_read_answers_all_the_same(server: ChatServer, trouble: str) -> None:
    """OpenAI's restricted keys may not list models; some vendors have no list."""
    server.list_trouble = trouble
    assert answer_of(loaded(server, patience_s=0.5))


def test_a_server_that_is_not_there_is_a_line_within_seconds() -> None:
    with ChatServer() as gone:
        url = gone.url
    began = time.monotonic()
    engine = an_engine(url, patience_s=0.3)
    with pytest.raises(ModelAway, match=r"does not answer: Cannot connect .*; start it, or check generate.openai.url"):
        registry.greet(ModelSpec(base=""), engine)
    assert time.monotonic() - began < 5.0


def test_the_digest_is_of_the_model_and_of_how_it_is_shown_a_clip(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = loaded(server).digest
    assert registry.greet(ModelSpec(base=""), an_engine(server.url)) == digest
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert loaded(server, concurrency=3, patience_s=9.0).digest == digest, "what only costs time is not part of it"
    others = [
        loaded(server, **{name: value}).digest for name, value in (("times", False), ("frames", 4), ("picture_format", "png"))
    ]
    assert len({digest, *others}) == 4


def test_a_key_stays_in_its_process(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    server.key = KEY
    llm = loaded(server)
    assert KEY not in repr(llm) + str(llm.client) + llm.digest + json.dumps(server.asked)
    with pytest.raises(TypeError, match="stays in its process"):
        pickle.dumps(llm.client)
    server.always = "key"
    with pytest.raises(ModelAway, match=r"HTTP 401: wrong key: Bearer \*\*\*; check the key"):
        answer_of(llm)
