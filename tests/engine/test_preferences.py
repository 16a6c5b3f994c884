"""Pins a select step whose attempts lie in pieces: its preference pairs, in three files, and near-duplicate answers capped."""

import json
from pathlib import Path

import pytest

from builders import a_clip, an_attempt, seal_attempts
from engine.presets import load_config
from engine.rows import Attempt, Clip
from engine.run.plan import INGEST, Step
from engine.run.work import Work
from engine.select.step import select_examples
from engine.store.files import Store

GENERATE = "cycle-000/generate"
ACCOUNTS = {"clips": 3, "direct_kept": 3, "rationalized_kept": 0, "dropped": {}, "failed": {}}
NO = {"outcome": "rejected", "reason": "label_missing", "score": 0.0}


def selected(store: Store, clips: list[Clip], attempts: list[Attempt], *settings: str) -> dict[str, int]:
    seal_attempts(store, clips, attempts, 2, ACCOUNTS)
    config = load_config(None, ["model.allow_tiny=true", *settings])
    store.write("config.json", config.model_dump_json().encode())
    step = Step(name="cycle-000/select", kind="select", cycle=0, inputs=(INGEST, GENERATE))
    result = select_examples(Work(step=step, identity="x", config=config, store=store, report=lambda progress: None))
    assert set(result.files) >= {f"{step.name}/{name}" for name in ("preferences.trl.jsonl", "preferences.swift.jsonl")}
    return result.counts


def test_pairs_are_those_of_the_examples_that_are_trained_on(tmp_path: Path) -> None:
    clips = [a_clip("a", "x"), a_clip("b", "x"), a_clip("c", "y"), a_clip("d", "y")]
    hinted = {"mode": "rationalized"}
    attempts = [
        an_attempt("a", text="It sinks.", **NO), an_attempt("a", text="It rises, so x.", **hinted), an_attempt("b", text="So x."),
        an_attempt("c", text="Nothing.", **NO), an_attempt("c", text="Nothing at all.", **NO, **hinted),
        an_attempt("d", text="It falls.", **NO), an_attempt("d", text="It stays, so y.", **hinted),
    ]  # fmt: skip
    store = Store(str(tmp_path))
    counts = selected(store, clips, attempts)
    assert (counts["examples"], counts["preferences"]) == (3, 2)
    table = store.read_table("cycle-000/select/preferences.parquet").to_pylist()
    assert [(row["clip_id"], row["chosen"], row["rejected"]) for row in table] == [
        ("a", "It rises, so x.", "It sinks."),
        ("d", "It stays, so y.", "It falls."),
    ]
    lines = (store.read("cycle-000/select/preferences.swift.jsonl") or b"").splitlines()
    assert [json.loads(line)["rejected_response"] for line in lines] == ["It sinks.", "It falls."]


def test_near_duplicate_answers_are_dropped_before_labels_are_capped(tmp_path: Path) -> None:
    clips = [a_clip(name, "x") for name in "abcde"]
    same = "The red ball rolls from the left to the right over the whole table, so x"
    attempts = [an_attempt(name, text=same + "." * number) for number, name in enumerate("abc")]
    attempts += [an_attempt("d", text="Somebody lifts a heavy box off the floor, so x"), an_attempt("e", text="A dog swims: x")]
    counts = selected(Store(str(tmp_path / "all")), clips, attempts)
    assert (counts["examples"], counts["near_duplicates_noted"], counts.get("near_duplicates_dropped")) == (5, 2, None)
    counts = selected(Store(str(tmp_path / "one")), clips, attempts, "select.near_duplicates=1", "select.max_per_label=3")
    assert (counts["examples"], counts["near_duplicates_dropped"]) == (3, 2)
    assert (counts["over_limit"], counts["near_duplicates_noted"]) == (0, 0)


@pytest.mark.parametrize(
    ("settings", "is_direct"),
    [
        ([], False),
        (["mixture.rationalized=0"], True),
        (["mixture.rationalized=0", "mixture.episodes=1", "episodes.answers=kept", "episodes.shots=[0]"], False),
    ],
)
def test_a_finetune_that_leaves_rationalizations_out_is_of_direct_answers_alone(
    tmp_path: Path, settings: list[str], is_direct: bool
) -> None:
    """A loop that stalls after such a cycle has no other finetune of direct answers to make."""
    clips = [a_clip("a", "x", verb="x", noun="a"), a_clip("b", "x", verb="x", noun="b")]
    hinted = an_attempt("b", text="It rises, so x.", mode="rationalized")
    attempts = [an_attempt("a", text="So x."), an_attempt("b", text="It sinks.", **NO), hinted]
    seal_attempts(Store(str(tmp_path)), clips, attempts, 2, ACCOUNTS)
    config = load_config(None, ["model.allow_tiny=true", *settings])
    step = Step(name="cycle-000/select", kind="select", cycle=0, inputs=(INGEST, GENERATE))
    work = Work(step=step, identity="x", config=config, store=Store(str(tmp_path)), report=lambda progress: None)
    result = select_examples(work)
    assert (result.counts["rationalized"], result.facts["direct_only"]) == (1, is_direct)
