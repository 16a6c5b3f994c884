"""Pins what an evaluation set is measured by, with numbers that no other metric would give, and what an evaluation's seal says."""

from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pytest

from builders import a_clip, a_seal, an_attempt
from engine.evaluate.figures import figures
from engine.evaluate.intervals import interval
from engine.evaluate.metrics import METRICS, metric_of, value_of
from engine.evaluate.outcomes import Recorder
from engine.evaluate.scores.measuring import Measuring
from engine.evaluate.step import comparison_of
from engine.ingest import clips as parts
from engine.ingest.pieces import cut
from engine.presets import load_config
from engine.rows import ATTEMPTS, Attempt, Clip
from engine.run.plan import BASE, INGEST, Step
from engine.run.seals import write_seal
from engine.run.work import INDEX, Work, pieces_of
from engine.store.files import FILES, Store

CLIPS = [a_clip("a", "rising"), a_clip("b", "rising"), a_clip("c", "rising"), a_clip("d", "sinking"), a_clip("e", "sinking")]
WRONG = {"outcome": "rejected", "reason": "label_missing"}


def value(name: str, clips: list[Clip], attempts: list[Attempt]) -> float:
    """Counted in two pieces."""
    recorder = Recorder()
    recorder.add(clips[:3], attempts[:3])
    recorder.add(clips[3:], attempts[3:])
    return value_of(metric_of(name), recorder.outcomes())


def test_accuracy_is_a_share_of_clips_and_a_failed_clip_is_wrong() -> None:
    attempts = [an_attempt("a"), an_attempt("b"), an_attempt("c", outcome="failed", reason="missing")]
    assert value("accuracy", CLIPS, [*attempts, an_attempt("d", **WRONG), an_attempt("e")]) == pytest.approx(3 / 5)


def test_accuracy_by_label_gives_each_label_the_same_weight() -> None:
    attempts = [an_attempt(name) for name in "abc"] + [an_attempt("d"), an_attempt("e", **WRONG)]
    assert value("accuracy_by_label", CLIPS, attempts) == pytest.approx((1 + 1 / 2) / 2)


def test_no_clips_are_no_division_by_zero() -> None:
    assert [value(name, [], []) for name in METRICS] == [0.0] * len(METRICS)
    assert [interval(metric, Recorder().outcomes()) for metric in METRICS.values()] == [m.bounds for m in METRICS.values()]


def test_an_unknown_metric_is_one_line_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"names the metric 'cider'; known are accuracy, qa_accuracy, .* NAME_by_group"):
        metric_of("cider")
    with pytest.raises(ValueError, match="names the metric 'spearman_by_group'"):
        metric_of("spearman_by_group")


def work_on(store: Store, clips: list[Clip], step: Step, **loop: str) -> Work:
    """A run with these held-out clips, whose base evaluation answered the first of them right."""
    sizes = parts.write_parts(store, clips)
    write_seal(store, replace(a_seal(INGEST, parts=sizes), files=store.describe([parts.path_of("heldout", 0)])))
    answer(store, BASE, clips, right=1)
    config = load_config(None, [f"loop.{key}={value}" for key, value in loop.items()])
    return Work(step=step, identity="", config=config, store=store, report=lambda progress: None)


def answer(store: Store, step: str, clips: list[Clip], right: int) -> None:
    """Write and seal an evaluation that answered the first so many clips right."""
    names = []
    for piece, _ in cut(parts.path_of("heldout", 0), clips, 2):
        own = clips[piece.start : piece.start + piece.count]
        rows = [an_attempt(clip.clip_id, **({} if clip in clips[:right] else WRONG)).to_row() for clip in own]
        names.append(f"{pieces_of(step)}/{piece.file_name}")
        store.write_table(names[-1], pa.Table.from_pylist(rows, schema=ATTEMPTS))
    index = [asdict(record) for record in store.describe(names)]
    store.write_table(f"{step}/{INDEX}", pa.Table.from_pylist(index, schema=FILES))
    write_seal(store, replace(a_seal(step), files=store.describe([f"{step}/{INDEX}"])))


EVALUATION = Step(
    name="cycle-000/evaluate", kind="evaluate", cycle=0, inputs=(INGEST, "cycle-000/train", BASE), split="heldout", compared=BASE
)


@pytest.mark.parametrize(("promote", "level"), [("significant", 0.025), ("best", None), ("last", 1.0)])
def test_an_evaluation_is_compared_with_the_best_one_before(tmp_path: Path, promote: str, level: float | None) -> None:
    clips = [a_clip(name, "x", split="heldout", video=f"/v/{name in 'ab'}.mp4") for name in "abcde"]
    work = work_on(Store(str(tmp_path)), clips, EVALUATION, promote=promote)
    recorder = Recorder()
    recorder.add(clips, [an_attempt(name, **(WRONG if name == "e" else {})) for name in "abcde"])
    metrics = [metric_of(name) for name in ("accuracy", "accuracy_by_label")]
    outcomes = recorder.outcomes()
    facts = figures(metrics, outcomes, recorder.group_names) | comparison_of(work, Measuring(work.config, metrics, None), outcomes)
    assert (facts["accuracy"], facts["videos"]) == (0.8, 2)
    assert facts["metrics"].keys() == facts["intervals"].keys() == {"accuracy", "accuracy_by_label"}
    assert facts["comparison"] == {
        "step": BASE, "clips": 5, "videos": 2, "won": 3, "lost": 0, "gain": pytest.approx(0.6), "p": 0.25, "level": level,
        "decides": "gain",
    }  # fmt: skip
    assert "over_base" not in facts, "it is that comparison"
    alone = replace(EVALUATION, name="base/evaluate", compared="")
    assert comparison_of(replace(work, step=alone), Measuring(work.config, metrics, None), outcomes) == {}


def test_a_later_evaluation_is_compared_with_the_base_too(tmp_path: Path) -> None:
    clips = [a_clip(name, "x", split="heldout") for name in "abcde"]
    before = "cycle-000/evaluate"
    step = replace(EVALUATION, name="cycle-001/evaluate", inputs=(INGEST, "cycle-001/train", before, BASE), compared=before)
    work = work_on(Store(str(tmp_path)), clips, step)
    answer(work.store, before, clips, right=4)
    recorder = Recorder()
    recorder.add(clips, [an_attempt(name) for name in "abcde"])
    compared = comparison_of(work, Measuring(work.config, [metric_of("accuracy")], None), recorder.outcomes())
    assert compared["comparison"] == {
        "step": before, "clips": 5, "videos": 5, "won": 1, "lost": 0, "gain": pytest.approx(0.2), "p": 0.5, "level": 0.025,
        "decides": "gain",
    }  # fmt: skip
    assert compared["over_base"] == {
        "step": BASE, "clips": 5, "videos": 5, "won": 4, "lost": 0, "gain": pytest.approx(0.8), "p": 1 / 16, "level": None,
    }  # fmt: skip
