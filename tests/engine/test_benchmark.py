"""Pins `starloop benchmark`: models and promoted models on sets, judged, continued and measured anew; nothing is asked twice."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chat_server import KEY_ENV, MODEL, ChatServer, question_in
from engine.config import RunConfig
from engine.presets import load_config
from engine.run.benchmark import benchmark, configured, promoted
from engine.run.catalog import is_run
from engine.store.files import Store
from engine.store.filesystems import Storage
from jobs import benchmark as job
from loops import Finished, attempts_of
from models.base import ModelAway

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
STEP = "base/evaluate-shapes"
PROBE = "Is anybody there? Reply with one word."


def marks(body: dict[str, Any]) -> str:
    """Prose where the label is "sinking"; else yes for "rising" alone."""
    question = question_in(body)
    if question == PROBE:
        return "Yes."
    if "sinking" in question:
        return "Both say the same, I would give it a five."
    return "{'pred': 'yes', 'score': 4.8}" if "rising" in question else '{"pred": "no", "score": 1}'


@pytest.fixture
def judge() -> Iterator[ChatServer]:
    with ChatServer() as server:
        server.says = marks
        yield server


@pytest.fixture(scope="module")
def shapes(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight held-out clips and one whose video is missing, as references in two groups."""
    rows = [row for row in map(json.loads, world.read_text().splitlines()) if row["split"] == "heldout"][:8]
    rows = [row | {"video": str(world.parent / row["video"])} for row in rows] + [
        rows[0] | {"video": "/gone.mp4", "clip_id": "gone"}
    ]
    path = tmp_path_factory.mktemp("bench") / "shapes.jsonl"
    columns = ("video", "clip_id", "question")
    lines = [
        {name: row[name] for name in columns}
        | {"label": {"kind": "reference", "text": row["label"]}, "group": "gone" if row["clip_id"] == "gone" else "shape/here"}
        for row in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def config_of(shapes: Path, out: Path, judge: ChatServer, *metrics: str, model: str = "tiny") -> RunConfig:
    server = [f"evaluate.judge.url={judge.url}", f"evaluate.judge.model={MODEL}", f"evaluate.judge.key_env={KEY_ENV}"]
    settings = [*server, "evaluate.judge.patience_s=0.2", "generate.max_tokens=24", "generate.piece_clips=4"]
    options = job.Benchmark(model=model, files=str(shapes), metrics=metrics, name="shapes")
    subject, config = job.subject_of(options, Storage(), settings)
    return configured(config, subject, job.chosen(config, options)[0], str(out))


def result_of(config: RunConfig) -> dict[str, Any]:
    [result] = benchmark([config], lambda progress: None)
    return result


def test_a_judged_set_is_continued_and_measured_anew_and_nothing_is_asked_twice(
    shapes: Path, tmp_path: Path, ray_cluster: None, judge: ChatServer
) -> None:
    config = config_of(shapes, tmp_path, judge, "qa_accuracy", "qa_score", "rouge_l")
    store = Store(config.run.uri)
    judge.trouble_of = lambda body: "" if len(judge.answered) < 4 else "away"  # the greeting is the first
    with pytest.raises(ModelAway, match=r"run the same command again"):
        result_of(config)
    answers, replied = attempts_of(store, STEP), len(set(judge.answered) - {PROBE})
    assert 0 < replied < 8, "some replies came before it went away"
    judge.trouble_of, judge.asked = lambda body: "", []
    result = result_of(config)
    assert attempts_of(store, STEP) == answers, "the model is not asked again"
    assert len([body for body in judge.asked if question_in(body) != PROBE]) + replied <= len({a["text"] for a in answers}) * 8
    labels = [json.loads(line)["label"]["text"] for line in shapes.read_text().splitlines()][:8]
    unclear, right = labels.count("sinking"), labels.count("rising")
    figures = result["metrics"]["qa_accuracy"]
    assert unclear > 0, "the world has such a clip"
    assert (figures["clips"], figures["value"]) == (9 - unclear, pytest.approx(right / (9 - unclear)))
    assert figures["answered"] == pytest.approx(right / (8 - unclear))
    assert result["metrics"]["qa_score"]["value"] == pytest.approx((4 * right + 8 - unclear - right) / (9 - unclear))
    assert result["failed"] == {"missing": 1}
    assert {name: (own["clips"], own["failed"]) for name, own in result["groups"].items()} == {"gone": (1, 1), "shape/here": (8, 0)}
    verdict = result["judge"]
    assert (verdict["unclear"], verdict["marks"], verdict["models"]) == (unclear, 8, [f"{MODEL} (toy-1)"])
    lines = [line for line in job.lines_of(result) if isinstance(line, str)]
    assert any("1 of 9 clips failed (1 missing), and count as wrong" in line for line in lines)
    assert any("are not in the form that was asked for, such as 'Both say the same" in line for line in lines)

    judge.asked = []
    assert result_of(config) == result
    other = result_of(config_of(shapes, tmp_path, judge, "qa_score", "accuracy"))
    assert [question_in(body) for body in judge.asked if question_in(body) != PROBE] == [], "its replies are kept"
    assert list(other["metrics"]) == ["qa_score", "accuracy"]
    assert other["metrics"]["qa_score"] == result["metrics"]["qa_score"]
    assert attempts_of(store, STEP) == answers
    with pytest.raises(ValueError, match=r"has answers of another model, set or wording \(model.base: 'tiny' -> 'other'\); choose"):
        result_of(config_of(shapes, tmp_path, judge, "qa_score", model="other"))


def test_a_runs_promoted_model_is_evaluated_as_the_run_evaluates_it(
    undisturbed: Finished, world: Path, tmp_path: Path, ray_cluster: None
) -> None:
    rows = [row for row in map(json.loads, world.read_text().splitlines()) if row["split"] == "heldout"]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row | {"video": str(world.parent / row["video"])}) + "\n" for row in rows))
    run = str(undisturbed.folder)
    assert is_run(Store(run))
    assert not is_run(Store("models/tiny/weights"))
    options = job.Benchmark(model=run, files=str(path), metrics=("accuracy",))
    subject, config = job.subject_of(options, Storage(), [])
    assert subject.adapter == promoted(run, Storage())[0].adapter != ""
    result = result_of(configured(config, subject, job.chosen(config, options)[0], str(tmp_path / "out")))
    assert result["metrics"]["accuracy"]["value"] == undisturbed.summary["best_accuracy"]
    assert result["adapter"] == subject.adapter


def test_what_the_options_leave_out_is_one_line(tmp_path: Path) -> None:
    config = load_config(None, [])
    for options, line in (
        (job.Benchmark(model="tiny"), r"no evaluation set: name a file with \[\[evaluate.sets\]\]"),
        (job.Benchmark(model="tiny", only=("mvbench",)), r"--only mvbench: the evaluation sets of the configuration are: none"),
        (job.Benchmark(model="tiny", form="mvbench"), r"--format describes a set, and --files names none"),
        (job.Benchmark(model="tiny", files="a.csv", name="My Set"), r"the options describe no evaluation set: name = 'My Set'"),
    ):
        with pytest.raises(ValueError, match=line):
            job.chosen(config, options)
    with pytest.raises(ValueError, match=r"--set mvbench: expected section.key=value; --only mvbench names an evaluation set"):
        job.run(job.Benchmark(model="tiny"), ["mvbench"])
