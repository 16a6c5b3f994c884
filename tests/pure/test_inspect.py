"""Pins inspect, compare and lineage: each fate of a clip with its reason, what differs between runs, where an example is from."""

import ast
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders import a_clip, a_seal
from engine.audit.reviews import answer_id
from engine.ingest.clips import path_of, write_parts
from engine.inspect.clip import ClipHistory, history_of
from engine.inspect.columns import rows_with
from engine.inspect.compare import difference
from engine.inspect.find import find_clip, likest
from engine.inspect.lineage import lineage_of
from engine.report.reasons import IN_WORDS
from engine.rows import Example, Review
from engine.run.children import note_child
from engine.run.plan import INGEST, name_of
from engine.run.seals import Seal, read_seal
from engine.run.work import read_seals
from engine.select.examples import to_table
from engine.store.files import Store
from jobs.compare import test_lines as lines_of_test
from jobs.inspect import inspect
from lived import DROPPED, TRAIN, review, seal, select_with_reviews, write_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lived") / "run"
    write_run(folder)
    return folder


@pytest.fixture
def store(lived: Path, tmp_path: Path) -> Store:
    return Store(str(shutil.copytree(lived, tmp_path / "run")))


def fate(history: ClipHistory) -> tuple[str, str]:
    [choice] = history.selected
    return choice.fate, choice.why


@pytest.mark.parametrize(
    ("clip", "expected", "words"),
    [
        ("c0", "example", "its answer is an example"),
        ("c2", "nothing_kept", "none of its answers is kept"),
        ("c3", "nothing_kept", "the clip failed: missing"),
        ("c4", "ungrounded", "fits other clips' videos as well"),
        ("c5", "near_copy", "nearly the same as h1, which is in heldout"),
        ("c7", "over_limit", "its label has enough examples (select.max_per_label)"),
        ("c8", "unused", "left out as too_long: it takes 9000 tokens; shorten it"),
    ],
)
def test_what_became_of_a_clip_and_why(store: Store, clip: str, expected: str, words: str) -> None:
    name, why = fate(history_of(store, clip))
    assert name == expected
    assert words in why


@pytest.mark.parametrize(
    ("clip", "settings", "expected", "words"),
    [
        (
            "c7",
            ["select.pass_rate=[0.1,0.9]", "generate.samples=2", "generate.temperature=0.7"],
            "pass_rate",
            "its pass rate is outside",
        ),
        ("c1", ["loop.max_cycles=1"], "rationalized", "the last finetune uses direct ones (loop.final_direct_only)"),
    ],
)
def test_what_settings_leave_out(tmp_path: Path, clip: str, settings: list[str], expected: str, words: str) -> None:
    name, why = fate(history_of(write_run(tmp_path / "run", settings=settings, dropped=(*DROPPED, "c1")), clip))
    assert (name, words in why.replace("1 is", "is")) == (expected, True)


def test_a_near_copy_that_is_only_counted_stays(store: Store) -> None:
    """c0 is a near-copy of another train clip, which select.train_copies = "count" does not leave out."""
    assert history_of(store, "c0").selected[0].example_id == "c0/0/direct"


def test_the_attempts_of_a_clip_tell_reason_span_grounding_and_use(store: Store) -> None:
    first, second = history_of(store, "c1").attempts
    assert (first.mode, first.outcome, first.why) == ("direct", "rejected", IN_WORDS["label_missing"])
    assert (second.mode, second.outcome, second.decided, second.span) == ("rationalized", "kept", "rising", (6, 12))
    assert (second.support, second.grounded_against) == (3.5, ("c6", "c7"))
    assert second.became == "the example c1/0/rationalized of cycle-000/select"
    assert first.became == ""
    [failed] = history_of(store, "c3").attempts
    assert (failed.reason, failed.why) == ("missing", "no such file: c3.mp4; check the manifest")
    [reused] = history_of(store, "c8").attempts
    assert reused.origin == "/runs/before/cycle-001/generate"


def test_training_used_an_example_or_left_it_out(store: Store) -> None:
    assert history_of(store, "c0").selected[0].trained == "trained on by cycle-000/train, 2 times"
    left_out = "left out by cycle-000/train as truncated: the file ends early; fetch it again"
    assert history_of(store, "c1").selected[0].trained == left_out


def test_a_held_out_clip_has_its_answers_of_each_evaluation(store: Store) -> None:
    history = history_of(store, "h1")
    assert [(attempt.step, attempt.outcome) for attempt in history.attempts] == [
        ("base/evaluate", "rejected"),
        ("cycle-000/evaluate", "kept"),
    ]
    assert history.selected == []
    assert (history.part, history.row) == ("ingest/heldout/00000.parquet", 1)


def test_steps_that_are_not_done_are_named(store: Store) -> None:
    store.delete("cycle-000/evaluate")
    assert history_of(store, "h1").absent == {"cycle-000/evaluate": "nobody has asked about it yet"}


def test_a_persons_word_is_shown_and_what_it_changed(store: Store) -> None:
    review(store, TRAIN[2], "It moves.", "keep")
    history = history_of(store, "c2")
    assert [attempt.people for attempt in history.attempts] == ["keep", "keep"]
    assert [row.note for row in history.reviews] == ["it sinks"]
    word = Review(answer=answer_id(TRAIN[7], "It is sinking."), clip_id="c7", people="drop", note="")
    select_with_reviews(store, [word])
    assert fate(history_of(store, "c7")) == ("people_drop", "a person dropped the answer that the verifiers had kept")


def test_pieces_that_gc_deleted_are_no_damage(store: Store) -> None:
    store.write("cycle-000/evaluate/collected.json", json.dumps({"folders": ["cycle-000/evaluate/pieces"]}).encode())
    store.delete("cycle-000/evaluate/pieces")
    assert history_of(store, "h0").absent["cycle-000/evaluate"] == "its piece was deleted by `starloop gc`"


def test_an_unknown_clip_is_named_with_those_like_it(store: Store) -> None:
    with pytest.raises(ValueError, match=r"has no clip 'c88'; did you mean c8\?$"):
        history_of(store, "c88")
    with pytest.raises(ValueError, match=r"has no clip '/absolute/path\.mp4'; one that it has is c0$"):
        history_of(store, "/absolute/path.mp4")


def test_a_clip_of_two_splits_has_to_be_named_with_its_split(tmp_path: Path) -> None:
    store, clips = Store(str(tmp_path)), [a_clip("x", label=label, split=split) for split, label in (("set", "a"), ("set-2", "b"))]
    parts = write_parts(store, clips, ("set", "set-2"))
    seal(store, a_seal(INGEST, parts=parts, inputs={}), [path_of(split, 0) for split in parts])
    sealed = {INGEST: cast("Seal", read_seal(store, INGEST))}
    with pytest.raises(ValueError, match=r"has a clip 'x' in each of set, set-2; name one with --split$"):
        find_clip(store, sealed, "x")
    assert find_clip(store, sealed, "x", "set").clip.split == "set"


def test_only_row_groups_that_may_hold_an_id_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"clip_id": [f"c{number:03d}" for number in range(100)], "text": ["x" * 1000] * 100})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=10)
    read: list[tuple[int, Any]] = []
    plain = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda file, group, columns=None: read.append((group, columns)) or plain(file, group, columns),  # type: ignore[func-returns-value]
    )
    match = rows_with(Store(str(tmp_path)), "t.parquet", "clip_id", "c042")
    assert (match.numbers, match.rows["clip_id"].to_pylist()) == ([42], ["c042"])
    assert read == [(4, ["clip_id"]), (4, None)]


def test_the_likest_of_many_lists_are_named_once_and_else_one_of_them() -> None:
    assert likest("train-7", [["train-00007"], ["train-00007"], ["x"]]) == "did you mean train-00007?"
    assert likest("zzz", [["a", "b"]]) == "one that it has is a"
    assert likest("zzz", [[], []]) == ""


def test_the_end_of_an_id_names_it() -> None:
    """Where a manifest has neither ids nor relative paths, ids are whole paths."""
    ids = [f"/data/archive/{name}" for name in ("yoga", "dance/jesse", "zumba")]
    assert likest("dance/jesse.mp4", [ids]) == "did you mean /data/archive/dance/jesse?"
    assert likest("yoga/0/rationalized", [[f"{name}/0/rationalized" for name in ids]]).endswith(
        "mean /data/archive/yoga/0/rationalized?"
    )


def test_every_reason_has_its_words() -> None:
    """Constants that verifiers give as a reason; kinds of failure have details of their own."""
    reasons = set()
    for path in (ROOT / "engine" / "verify").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_reason = isinstance(node, ast.keyword) and node.arg == "reason"
            is_rejected = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_rejected" and node.args
            value = node.value if is_reason else node.args[0] if is_rejected else None  # type: ignore[attr-defined]
            reasons |= {part.value for part in ast.walk(value) if isinstance(part, ast.Constant)} if value else set()
    documented = (ROOT / "docs" / "labels.md").read_text().partition("## Reasons")[2].partition("## ")[0]
    named = {word for word in documented.replace("`", " ").split() if "_" in word and word.islower() and "." not in word}
    strings = {reason for reason in reasons if isinstance(reason, str) and reason}
    assert {reason for reason in strings | named if reason not in IN_WORDS} == set()


def test_two_runs_differ_in_configuration_clips_and_answers(tmp_path: Path) -> None:
    changed = [a_clip("c0", label="falling", start_s=2.0, end_s=9.5), *TRAIN[1:8], a_clip("new", start_s=0.0)]
    a = write_run(tmp_path / "a")
    b = write_run(tmp_path / "b", changed, {"h1": True, "h2": True, "h3": True}, ["train.lr=1e-3"])
    value = difference(a, b, 5)
    assert value.configuration == {"train.lr": [2e-05, 0.001]}
    [data] = value.data
    assert (data.split, data.clips, data.only_a, data.only_b, data.changed) == ("train", (9, 9), 1, 1, 1)
    assert (data.first["only_a"], data.first["only_b"]) == (["c8"], ["new"])
    assert data.first["changed"] == ["c0 (label.text: 'rising' -> 'falling')"]
    assert value.models == ("cycle-000/evaluate", "cycle-000/evaluate")
    assert value.test is not None
    assert (value.test.clips, value.test.won, value.test.lost, value.test.gain) == (4, 1, 1, 0.0)
    assert value.p_worse is not None
    assert value.test.p == value.p_worse == 0.75
    assert value.differing == 2
    assert [(clip.clip_id, clip.better, clip.reason_b) for clip in value.clips] == [
        ("h0", "a", "label_missing"),
        ("h3", "b", "contains_label"),
    ]


def test_a_run_and_its_copy_do_not_differ_and_parts_with_the_same_contents_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    monkeypatch.setattr("engine.inspect.changes._split_change", lambda *_: pytest.fail("a part was read"))
    value = difference(a, b, 5)
    assert (value.configuration, value.data, value.yields, value.differing, value.clips) == ({}, [], [], 0, [])
    assert value.test is not None
    assert value.test.p == 1.0


def test_to_compare_asks_no_judge_and_writes_nothing(tmp_path: Path) -> None:
    judged = ["evaluate.judge.url=http://127.0.0.1:9/v1", "evaluate.judge.model=m"]
    judged.append('evaluate.sets=[{name="heldout", metrics=["qa_score"]}]')
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", settings=judged, right={"h0": True})
    value = difference(a, b, 5)
    assert (value.metric, value.instead_of) == ("accuracy", "qa_score")
    assert value.test is not None
    assert value.differing == len(value.clips) > 0
    assert "by accuracy: a run lacks replies of the judge for qa score, and nobody is asked" in "\n".join(lines_of_test(value))
    assert a.folders("") == b.folders("") == ["base", "cycle-000", "ingest"]
    plain = difference(a, a, 0)
    assert (plain.metric, plain.instead_of) == ("accuracy", None)


def test_yields_that_differ_are_named_by_cycle(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", right={"h0": True})
    rows = {(row["cycle"], row["name"]): (row["a"], row["b"]) for row in difference(a, b, 0).yields}
    assert rows[(0, "heldout_accuracy")] == (0.75, 0.25)
    assert rows[(None, "best_cycle")] == (0, -1)


def test_the_lineage_of_an_example_leads_to_the_base_and_to_the_models_that_learned_it(store: Store) -> None:
    value = lineage_of(store, "c1/0/rationalized")
    assert value.generate == store.url("cycle-000/generate")
    assert value.attempt is not None
    assert (value.attempt["mode"], value.attempt["reason"], value.attempt["text"]) == (
        "rationalized",
        "contains_label",
        "It is rising.",
    )
    [first] = value.ancestors
    assert (first.model, first.digest, first.trained_by, first.base) == ("tiny", "m", None, "tiny")
    [use] = value.uses
    assert (use.train, use.model, use.accuracy, use.promoted) == ("cycle-000/train", store.url("cycle-000/train/model"), 0.75, True)
    assert use.trained == "left out by cycle-000/train as truncated: the file ends early; fetch it again"


def test_the_lineage_of_an_example_whose_piece_gc_deleted_names_the_step_without_the_attempt(store: Store) -> None:
    store.write("cycle-000/generate/collected.json", json.dumps({"folders": ["cycle-000/generate/pieces"]}).encode())
    store.delete("cycle-000/generate/pieces")
    value = lineage_of(store, "c1/0/rationalized")
    assert (value.generate, value.attempt, [own.model for own in value.ancestors]) == (
        store.url("cycle-000/generate"),
        None,
        ["tiny"],
    )


def test_lineage_goes_back_into_the_run_before_and_forward_into_the_one_that_continues_it(tmp_path: Path) -> None:
    before = write_run(tmp_path / "a")
    promoted = before.url("cycle-000/train/model")
    parent = [f"parent.run={before.url()}", "parent.step=cycle-000/generate", f"parent.model={promoted}"]
    child = write_run(tmp_path / "b", settings=parent)
    note_child(before, child.url())
    assert [own.model for own in lineage_of(child, "c0/0/direct").ancestors] == [promoted, "tiny"]
    assert [use.run for use in lineage_of(before, "c0/0/direct").uses] == [before.url(), child.url()]


def test_the_lineage_of_an_answer_that_a_server_gave_names_the_servers_model(store: Store) -> None:
    step = name_of(0, "generate")
    generated = read_seals(store)[step]
    model = {"digest": "s1", "base": "server-model", "revision": "", "engine": "openai"}
    store.write(f"{step}/seal.json", replace(generated, facts=generated.facts | {"model": model}).to_json())
    [first] = lineage_of(store, "c1/0/rationalized").ancestors
    assert (first.model, first.digest, first.base) == ("server-model", "s1", "tiny")


def test_a_narration_is_used_though_its_clip_has_an_answer_before_it(store: Store) -> None:
    path = "cycle-000/select/examples.parquet"
    rows = store.read_table(path)
    [star] = [Example.from_row(row) for row in rows.to_pylist() if row["clip_id"] == "c1"]
    narration = replace(
        star, example_id="c1/narration", source="narration", answer="C lifts a cup.", mode="direct", seed=0, model=""
    )
    store.write_table(path, pa.concat_tables([rows, to_table([narration])]))
    [use] = lineage_of(store, "c1/narration").uses
    assert (use.train, use.trained) == ("cycle-000/train", "not used by cycle-000/train: its source has the weight 0 in [mixture]")
    assert [use.train for use in lineage_of(store, "c1/0/rationalized").uses] == ["cycle-000/train"]


def test_an_unknown_example_is_named_with_those_like_it(store: Store) -> None:
    with pytest.raises(ValueError, match=r"has no example 'c1/0/rational'; did you mean c1/0/rationalized\?"):
        lineage_of(store, "c1/0/rational")


def test_what_a_reader_sees_of_a_clip(store: Store, capsys: Any) -> None:
    inspect(store.uri, "c1", "", [], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert "label     keywords: rising" in lines
    assert any(line.endswith("c1.mp4  (2 s to 9.5 s)") for line in lines)
    assert "    It is »rising«." in lines
    assert "    grounding +3.50 nats against c6, c7" in lines
    inspect(store.uri, "c1", "", [], as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(asdict(history_of(store, "c1"))))


def test_a_part_that_is_damaged_is_one_line(store: Store) -> None:
    store.write(path_of("train", 0), b"PAR1 no more")
    with pytest.raises(OSError, match=r"00000\.parquet is damaged .*; restore it"):
        history_of(store, "c0")
