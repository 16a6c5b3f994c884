"""Pins a run with a judge: its verdicts decide what is rationalized and kept; killed, nothing is lost, asked twice or uncounted."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chat_server import KEY_ENV, MODEL, ChatServer, question_in
from engine.presets import load_config
from engine.run import loop
from engine.run.doctor import examine
from engine.run.seals import read_seal
from engine.run.work import Progress
from engine.store.files import Store
from loops import attempts_of, settings
from models.base import ModelAway

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]
GENERATE = "cycle-000/generate"
PROBE = "Is anybody there? Reply with one word."


def answer(body: dict[str, Any]) -> str:
    """Answers to hints of even length leave the label open."""
    hint = question_in(body).partition("Hint: the answer is ")[2].partition(".")[0]
    verb = "may be" if len(hint) % 2 == 0 else "is"
    return f"I watched the frames of the clip from its beginning to its end, so the action {verb} {hint or 'unknown'}."


def verdict(body: dict[str, Any]) -> str:
    """A verdict about two answers in three; it is always the same about the same answer."""
    replies = '{"verdict": "keep", "reason": "fine"}', '{"verdict": "drop", "reason": "vague"}', "Well."
    return replies[sum(map(ord, question_in(body))) % 3]


@pytest.fixture
def answers() -> Iterator[ChatServer]:
    with ChatServer() as server:
        server.says = answer
        yield server


@pytest.fixture
def judge() -> Iterator[ChatServer]:
    with ChatServer() as server:
        server.says = verdict
        yield server


def config_of(world: Path, run: Path, answers: ChatServer, judge: ChatServer) -> Any:
    asked = [f"url={answers.url}", f"model={MODEL}", f"key_env={KEY_ENV}", "frames=2", "patience_s=2"]
    judging = [
        f"url={judge.url}",
        f"model={MODEL}",
        f"key_env={KEY_ENV}",
        "sample=0.5",
        "patience_s=1",
        "price_in=2",
        "price_out=5",
    ]
    sections = [*(f"generate.openai.{line}" for line in asked), *(f"verify.judge.{line}" for line in judging)]
    engine = ["generate.engine=openai", "generate.pieces_in_flight=1", "verify.stages=['rules','judge']"]
    return load_config(None, [*settings(world, run), *engine, *sections])


def generate(config: Any, report: Callable[[Progress], None] = lambda progress: None) -> dict[str, Any]:
    return loop.run(config, report, until=GENERATE)


def judgements_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [judgement for row in rows for judgement in row["judgements"] if judgement["stage"] == "judge"]


def outcomes(store: Store) -> list[tuple[str, ...]]:
    names = ("clip_id", "mode", "outcome", "reason", "text", "judgements")
    return [tuple(str(row[name]) for name in names) for row in attempts_of(store, GENERATE)]


def test_a_judge_decides_and_a_killed_one_loses_nothing(
    world: Path, tmp_path: Path, ray_cluster: None, answers: ChatServer, judge: ChatServer
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    summary = generate(config_of(world, whole, answers, judge))
    rows = attempts_of(Store(str(whole)), GENERATE)
    judged = judgements_of(rows)
    assert {judgement["reason"] for judgement in judged} == {"judge_keep", "judge_drop", "judge_unclear"}
    assert "judge_keep" in {row["reason"] for row in rows if row["outcome"] == "kept"}
    assert "judge_drop" in {row["reason"] for row in rows if row["outcome"] == "rejected"}
    facts = summary["cycles"][0]["judge"]
    assert facts["answers"] == len(judged) == len([question for question in judge.answered if question != PROBE])
    assert facts["prompt_tokens"] == sum(judgement["prompt_tokens"] for judgement in judged) > 0
    assert facts["cost"] == round((2 * facts["prompt_tokens"] + 5 * facts["answer_tokens"]) / 1e6, 6) > 0
    config = config_of(world, run, answers, judge)

    def kill(progress: Progress) -> None:
        if progress.done >= 20:
            judge.stop()

    with pytest.raises(ModelAway, match=r"^toy/eyes at http\S+ does not answer: .* check verify.judge.url") as caught:
        generate(config, kill)
    assert "\n" not in str(caught.value)
    store = Store(str(run))
    written = attempts_of(store, GENERATE)
    assert 20 <= len({row["clip_id"] for row in written}) < 60
    assert read_seal(store, GENERATE) is None
    with ChatServer(judge.port) as second:
        second.says = verdict
        second.trouble_of = lambda body: "busy" if len(second.asked) in (5, 9) else ""
        generate(config)
        later = [question for question in second.answered if question != PROBE]
    assert len(later) == len(judged) - len(judgements_of(written)), "nothing that is written is judged again"
    assert outcomes(store) == outcomes(Store(str(whole))), "the same rows as without the kill"
    sealed = read_seal(store, GENERATE)
    assert sealed is not None
    assert sealed.facts["judge"] == facts, "and the same cost"


def test_a_judge_that_is_not_there_is_a_line_before_the_folder_is_claimed(
    world: Path, tmp_path: Path, ray_cluster: None, answers: ChatServer, judge: ChatServer
) -> None:
    config = config_of(world, tmp_path / "run", answers, judge)
    lines = [finding.detail for finding in examine(config, model=False) if finding.what == "judge"]
    assert lines[0].startswith(f"{MODEL} at {judge.url} judges, without the video, the answers that the rules leave open")
    assert lines[1] == f"it answers a test question, as {MODEL}"
    judge.stop()
    with pytest.raises(ModelAway, match=r"check verify.judge.url"):
        generate(config)
    assert not (tmp_path / "run").exists()
