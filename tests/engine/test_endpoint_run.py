"""Pins a run whose first cycle a server answers: each clip accounted, none asked twice that is written, the key in no file."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chat_server import KEY, KEY_ENV, MODEL, ChatServer, question_in
from command import options, starloop
from engine.presets import load_config
from engine.run import loop
from engine.run.doctor import examine
from engine.run.failures import failures
from engine.run.seals import read_seal
from engine.run.work import Progress
from engine.store.files import Store
from loops import attempts_of, settings
from models.base import ModelAway

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]
GENERATE = "cycle-000/generate"
FLAGGED = "Hint: the answer is rising"
"""The questions that the server refuses."""


def config_of(world: Path, run: Path, server: ChatServer, *more: str) -> Any:
    section = [f"url={server.url}", f"model={MODEL}", f"key_env={KEY_ENV}", "frames=4", "price_in=2", "price_out=5", "patience_s=2"]
    asked = ["generate.engine=openai", *(f"generate.openai.{line}" for line in section)]
    return load_config(None, [*settings(world, run), *asked, "generate.pieces_in_flight=2", *more])


def generate(config: Any, report: Callable[[Progress], None] = lambda progress: None) -> dict[str, Any]:
    return loop.run(config, report, until=GENERATE)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(key=KEY) as server:
        server.trouble_of = lambda body: "improper" if FLAGGED in question_in(body) else ""
        yield server


def outcomes(store: Store) -> list[tuple[str, str, str, str, str]]:
    return [(row["clip_id"], row["mode"], row["outcome"], row["reason"], row["text"]) for row in attempts_of(store, GENERATE)]


def files_with(secret: str, *folders: Path) -> list[Path]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    return [path for path in files if secret.encode() in path.read_bytes()]


def test_a_server_answers_the_first_cycle(
    world: Path, tmp_path: Path, ray_cluster: None, server: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    config = config_of(world, run, server)
    with caplog.at_level("INFO"):
        summary = generate(config)
    store = Store(str(run))
    rows = attempts_of(store, GENERATE)
    seal = read_seal(store, GENERATE)
    assert seal is not None
    answered = [row for row in rows if row["outcome"] != "failed"]
    # every clip is accounted for, once
    failed = Counter(row["reason"] for row in rows if row["outcome"] == "failed")
    facts = seal.facts
    assert facts["clips"] == 60
    assert failed == facts["failed"]
    assert failed["refused"] >= 3
    assert sum(failed.values()) + facts["rationalized_kept"] + facts["direct_kept"] + sum(facts["dropped"].values()) == 60
    # a refused question is the clip's failed row, after the direct attempt that is paid for
    [first, second] = [row for row in rows if row["clip_id"] == next(row["clip_id"] for row in rows if row["reason"] == "refused")]
    assert (first["mode"], first["outcome"], second["mode"]) == ("direct", "rejected", "rationalized")
    assert "refuses it: HTTP 403: your input was flagged by moderation" in second["detail"]
    assert {failure.kind for failure in failures(store)} == set(failed)
    # what was asked is what is written: nothing twice; and it is counted
    assert Counter(row["prompt"] for row in answered) == Counter(server.answered) - Counter(greetings(server))
    asked = facts["asked"]
    assert (asked["answers"], asked["prompt_tokens"]) == (len(answered), sum(row["prompt_tokens"] for row in answered))
    assert asked["answer_tokens"] == sum(row["num_tokens"] for row in answered) > 0
    assert asked["cost"] == round((asked["prompt_tokens"] * 2 + asked["answer_tokens"] * 5) / 1e6, 6) > 0
    assert summary["cycles"][0]["asked"] == asked
    assert {row["model"] for row in rows} == {facts["model"]["digest"]}
    assert facts["model"]["base"] == f"{MODEL} at {server.url}"
    assert all(body["max_tokens"] in (16, 48) for body in server.asked)
    # the start says what will be asked, the end what it took
    lines = [record.getMessage() for record in caplog.records]
    assert any(f"{MODEL} at {server.url} is asked one question, and where the answer is rejected" in line for line in lines)
    assert any(line.startswith(f"{MODEL} at {server.url} gave {len(answered)} answers for ") for line in lines)
    # the key is in no file of the run and of Ray, and in no line
    assert files_with(KEY, run, Path(os.environ["RAY_TMPDIR"])) == []
    assert KEY not in caplog.text
    assert sorted(files_with(KEY_ENV, run)) == [run / "config.json", run / "logs/00001/command.json"]


def greetings(server: ChatServer) -> list[str]:
    return [question for question in server.answered if question.startswith("What do you see? Answer with one word.")]


def test_a_server_that_is_killed_stops_the_step_in_one_line_and_nothing_written_is_asked_again(
    world: Path, tmp_path: Path, ray_cluster: None, server: ChatServer
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    generate(config_of(world, whole, server, "generate.pieces_in_flight=1"))
    server.answered.clear()
    config = config_of(world, run, server, "generate.pieces_in_flight=1")

    def kill(progress: Progress) -> None:
        if progress.done >= 20:
            server.stop()

    with pytest.raises(
        ModelAway, match=r"^toy/eyes at http\S+ does not answer: .*; start it, or check generate.openai.url"
    ) as caught:
        generate(config, kill)
    assert "\n" not in str(caught.value)
    store = Store(str(run))
    written = attempts_of(store, GENERATE)
    assert 20 <= len({row["clip_id"] for row in written}) < 60
    assert read_seal(store, GENERATE) is None
    # another engine, or the same model shown in another way, is refused for the step under way
    with pytest.raises(
        ValueError, match=r"cycle-000/generate was begun with the engine openai, and generate.engine is builtin now"
    ):
        generate(load_config(None, settings(world, run)))
    with ChatServer(server.port, key=KEY) as second:
        second.trouble_of = server.trouble_of
        with pytest.raises(ValueError, match=r"was begun with model openai:toy/eyes@.* restore the weights or the engine"):
            generate(config.model_copy(update={"generate": with_times_off(config.generate)}))
        assert second.answered == greetings(second)
        second.answered.clear()
        generate(config)
        asked = Counter(second.answered) - Counter(greetings(second))
    expected = Counter(row["prompt"] for row in attempts_of(Store(str(whole)), GENERATE) if row["outcome"] != "failed")
    late = "a piece that was answered may be written after its step has stopped, and is not asked again either"
    assert asked <= expected - Counter(row["prompt"] for row in written if row["outcome"] != "failed"), late
    assert outcomes(store) == outcomes(Store(str(whole))), "the same rows as without the kill"


def with_times_off(section: Any) -> Any:
    return section.model_copy(update={"openai": section.openai.model_copy(update={"times": False})})


def test_what_is_wrong_with_the_server_is_a_line_before_the_folder_is_claimed(
    world: Path, tmp_path: Path, ray_cluster: None, server: ChatServer
) -> None:
    run = tmp_path / "run"
    for setting, message in (
        ("generate.openai.key_env=STARLOOP_NO_SUCH_KEY", "the environment variable STARLOOP_NO_SUCH_KEY .* is empty"),
        ("generate.openai.model=other", "has no model 'other'; it has toy/eyes"),
        (f"generate.openai.url={server.url[:-3]}", "HTTP 404.*which most often ends with /v1"),
    ):
        with pytest.raises(ValueError, match=message):
            generate(config_of(world, run, server, setting))
    server.stop()
    findings = [finding for finding in examine(config_of(world, run, server), model=False) if finding.remedy]
    remedy = "start it, or check generate.openai.url, then run the same command again"
    assert [(finding.what, finding.remedy) for finding in findings] == [("generation", remedy)]
    ended = starloop("selftrain", *options(settings_without_patience(world, run, server)))
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert " ".join(ended.stderr.split()).startswith("error: toy/eyes at http")
    assert not run.exists()
    assert greetings(server) == []


def settings_without_patience(world: Path, run: Path, server: ChatServer) -> list[str]:
    section = [f"url={server.url}", f"model={MODEL}", "patience_s=0.3"]
    return [*settings(world, run), "generate.engine=openai", *(f"generate.openai.{line}" for line in section)]


def test_doctor_says_what_will_be_asked_of_what(world: Path, tmp_path: Path, ray_cluster: None, server: ChatServer) -> None:
    findings = list(examine(config_of(world, tmp_path / "run", server), model=False))
    [asked, answers] = [finding for finding in findings if finding.what == "generation"]
    assert asked.detail.startswith(f"{MODEL} at {server.url} is asked one question")
    assert answers.detail.startswith("it answers a test question, as openai:toy/eyes@127.0.0.1")
    assert json.dumps([finding.detail for finding in findings]).count(KEY) == 0
