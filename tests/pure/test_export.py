"""Pins which rows are taken away and what is in them: examples of the promoted cycle, each with its label and its verdict."""

import json
import re
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest

from builders import a_clip, an_attempt
from engine.export.export import export, typed_first
from engine.export.formats import for_hub, for_llava, for_messages, for_sharegpt, for_webdataset, path_of, pattern_of
from engine.export.kept import Source, default_cycle, taken
from engine.export.run_card import run_card
from engine.rows import Example, FollowUp, Takeaway, names_of
from engine.run.collected import note_collected
from engine.run.plan import name_of
from engine.run.work import pieces_of, read_seals
from engine.store.files import Store
from engine.store.troubles import StorageError
from kept_runs import TALK, a_run, answers_to, clips_of


def a_source(folder: Path, clips: int = 6, talks: tuple[Example, ...] = (), cycle: int = 0) -> Source:
    store = Store(str(folder / "run"))
    everyone = clips_of(clips)
    config = a_run(store, everyone, answers_to(everyone), talks)
    return Source(store=store, config=config, sealed=read_seals(store), cycle=cycle)


def a_row(**fields: object) -> Takeaway:
    example = Example(
        example_id="a/0/direct", clip_id="a", video="/videos/a.mp4", start_s=1.0, end_s=2.0, prompt="What?", answer="It rises.",
        source="star", etag="v1",
    )  # fmt: skip
    return replace(taken(example, a_clip("a"), an_attempt("a", detail="rises"), "/runs/demo"), **fields)


def test_each_example_has_the_label_of_its_clip_and_the_verdict_on_its_answer(tmp_path: Path) -> None:
    source = a_source(tmp_path, talks=(TALK,))
    rows = list(source.rows("train"))
    assert [(row.example_id, row.answer, row.seed, row.support, row.start_s) for row in rows] == [
        ("a0/0/direct", "It goes up, so it is rising, 0.", 100, 0.0, None),
        ("a1/0/rationalized", "It goes up, so it is rising, 1.", 201, 1.0, 1.5),
        ("a3/0/direct", "It goes up, so it is rising, 3.", 103, 3.0, 1.5),
        ("a4/0/rationalized", "It goes up, so it is rising, 4.", 204, 4.0, None),
        ("talk-1", "A dog.", 0, None, None),
    ]
    assert {(row.label, row.label_kind, row.reason, row.detail, row.score) for row in rows[:4]} == {
        ("rising", "keywords", "contains_label", "rising", 1.0)
    }
    assert json.loads(rows[0].label_json) == {"kind": "keywords", "text": "rising", "aliases": []}
    assert (rows[0].question, rows[0].prompt.splitlines()[0]) == ("What is the action?", "What is the action?")
    assert (rows[0].model, rows[0].etag, rows[0].run) == ("m", "v1", str(tmp_path / "run"))
    assert (rows[4].label, rows[4].label_json, rows[4].reason, rows[4].score, rows[4].question) == ("", "", "", None, "What is it?")
    assert source.count("train") == len(rows)


def test_the_verdict_is_that_of_the_answer_and_not_of_another_sample(tmp_path: Path) -> None:
    store, clips = Store(str(tmp_path / "run")), clips_of(1)
    same = {"text": "It is rising.", "detail": "rising"}
    chosen = an_attempt("a0", seed=7, sample=0, support=3.0, **same)
    config = a_run(store, clips, [chosen, replace(chosen, seed=8, sample=1, support=1.0)])
    [row] = Source(store=store, config=config, sealed=read_seals(store), cycle=0).rows("train")
    assert (row.seed, row.sample, row.support) == (7, 0, 3.0)


def test_the_verdict_on_an_answer_that_a_person_keeps_is_the_persons() -> None:
    example = Example(
        example_id="a/0/direct", clip_id="a", video="/videos/a.mp4", start_s=1.0, end_s=2.0, prompt="What?", answer="It floats up.",
        source="star", people="overridden",
    )  # fmt: skip
    rejected = an_attempt("a", outcome="rejected", reason="label_missing", detail="floats", score=0.5, text="It floats up.")
    row = taken(example, a_clip("a"), rejected, "/runs/demo")
    assert (row.reason, row.detail, row.score, row.people) == ("people_keep", "", None, "overridden")
    confirmed = taken(replace(example, people="confirmed"), a_clip("a"), an_attempt("a"), "/runs/demo")
    assert (confirmed.reason, confirmed.score) == ("contains_label", 1.0)


def test_an_evaluation_set_gives_the_answers_that_its_labels_confirm(tmp_path: Path) -> None:
    source = a_source(tmp_path)
    [row] = source.rows("heldout")
    assert (row.example_id, row.label, row.mode, source.count("heldout")) == ("h0/0/heldout", "rising", "direct", 1)
    with pytest.raises(ValueError, match=r"--split kitchen: cycle 0 of .* has train, heldout"):
        source.count("kitchen")


def test_the_promoted_cycle_is_taken_and_without_one_the_latest(tmp_path: Path) -> None:
    source = a_source(tmp_path)
    assert default_cycle(source.sealed) == 0, "the second cycle scores lower"
    worse = {name: seal for name, seal in source.sealed.items() if name != name_of(0, "evaluate")}
    assert default_cycle(worse) == 1
    with pytest.raises(ValueError, match=r"cycle 7 of .* has no select step that is complete; cycles with one: 0, 1"):
        replace(source, cycle=7)


def test_a_cycle_without_rows_is_passed_over_and_refused_by_name(tmp_path: Path) -> None:
    source = a_source(tmp_path)
    unpromoted = {name: seal for name, seal in source.sealed.items() if name != name_of(0, "evaluate")}
    last = name_of(1, "select")
    nothing = replace(unpromoted[last], counts={"examples": 0}, facts=unpromoted[last].facts | {"examples": 0})
    sealed = unpromoted | {last: nothing}
    assert default_cycle(sealed) == 0, "the later cycle chose nothing"
    with pytest.raises(ValueError, match=r"cycle 1 of .* has no rows of train, so nothing is written; --cycle 0 has 4$"):
        export(replace(source, sealed=sealed, cycle=1), "parquet", Store(str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
    [card] = re.findall(r"config_name: (\S+)\s+default: true", run_card(source.config, sealed, "runs/demo").decode())
    assert card == "examples-000", "load_dataset(RUN) takes it"


def test_rows_come_piece_by_piece(tmp_path: Path) -> None:
    source = a_source(tmp_path, clips=40)
    pieces = pieces_of(name_of(0, "generate"))
    source.store.delete(f"{pieces}/{source.store.names(pieces)[-1]}")
    rows = source.rows("train")
    assert next(rows).clip_id == "a0"
    with pytest.raises(StorageError, match="is gone"):
        list(rows)


def test_a_changed_table_of_examples_is_refused(tmp_path: Path) -> None:
    source = a_source(tmp_path)
    other = a_source(tmp_path / "other", clips=3)
    path = f"{source.selected}/examples.parquet"
    source.store.write(path, other.store.read(path) or b"")
    with pytest.raises(StorageError, match="its sha256 is another"):
        next(source.rows("train"))


def test_rows_whose_pieces_are_collected_have_no_verdict(tmp_path: Path) -> None:
    source = a_source(tmp_path)
    step = name_of(0, "generate")
    note_collected(source.store, step, [pieces_of(step)])
    source.store.delete(pieces_of(step))
    rows = list(source.rows("train"))
    assert [(row.clip_id, row.label, row.reason, row.score) for row in rows[:2]] == [
        ("a0", "rising", "", None),
        ("a1", "rising", "", None),
    ]
    assert len(rows) == 4


def test_messages_are_what_swift_and_llama_factory_read() -> None:
    row = a_row(prompt="Is a <video> here?", answer="A <image> is.", follow_ups=(FollowUp(prompt="Why?", answer="So."),))
    line = for_messages(row)
    assert line["messages"] == [
        {"role": "user", "content": "<video>Is a <video > here?"},
        {"role": "assistant", "content": "A <image > is."},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "So."},
    ]
    assert (line["videos"], line["images"]) == (["/videos/a.mp4"], [])
    rest = json.loads(line["row"])
    assert (rest["label"], rest["start_s"], rest["end_s"], rest["reason"], rest["etag"]) == (
        "rising",
        1.0,
        2.0,
        "contains_label",
        "v1",
    )
    assert not {"answer", "prompt", "follow_ups"} & rest.keys()


def test_the_json_of_a_shard_has_the_same_types_in_each_row() -> None:
    rows = [a_row(start_s=None, end_s=None, score=None, support=None), a_row(follow_ups=(FollowUp(prompt="Why?", answer="So."),))]
    values = [for_webdataset(row) for row in rows]
    assert [{name: type(value) for name, value in of.items()} for of in values] == [
        {name: int if name in ("shown_in", "cycle", "sample", "seed") else str for name in values[0]}
    ] * 2
    assert [json.loads(of["row"]) for of in values] == [
        {"start_s": None, "end_s": None, "score": None, "support": None, "follow_ups": []},
        {"start_s": 1.0, "end_s": 2.0, "score": 1.0, "support": None, "follow_ups": [{"prompt": "Why?", "answer": "So."}]},
    ]
    assert {*values[0], *json.loads(values[0]["row"])} == {*names_of(Takeaway), "row"}


def test_the_tag_stands_in_the_turn_that_shows_the_video() -> None:
    row = a_row(follow_ups=(FollowUp(prompt="And here?", answer="A dog."),), shown_in=1)
    assert [turn["value"] for turn in for_sharegpt(row)["conversations"]] == ["What?", "It rises.", "<video>And here?", "A dog."]


@pytest.mark.parametrize(
    ("video", "human", "key"),
    [("/v/a.mp4", "<video>\nWhat?", "video"), ("/v/a.PNG", "<image>\nWhat?", "image"), ("", "What?", "id")],
)
def test_llava_names_what_is_shown(video: str, human: str, key: str) -> None:
    item = for_llava(a_row(video=video))
    assert item["conversations"] == [{"from": "human", "value": human}, {"from": "gpt", "value": "It rises."}]
    assert [name for name in ("video", "image") if name in item] == ([key] if video else [])
    assert item[key] == (video or "a/0/direct")


@pytest.mark.parametrize(
    ("video", "named"),
    [
        ("/home/ann/v/a/b.mp4", "a/b.mp4"),
        ("s3://bucket/b.mp4", "s3://bucket/b.mp4"),
        ("https://ann:pw@h/b.mp4?X-Amz-Signature=f3&id=2", "https://h/b.mp4?id=2"),
        ("", ""),
    ],
)
def test_a_hub_is_told_no_path_of_this_machine_and_no_signature(video: str, named: str) -> None:
    row = for_hub(a_row(video=video), "/home/ann/v")
    assert (row.video, row.run) == (named, "demo")


@pytest.mark.parametrize(
    ("video", "clip_id", "named"),
    [
        ("/home/ann/v/x/a.mp4", "/home/ann/v/x/a@0-2", "x/a@0-2"),
        ("/home/ann/v/x/a.mp4", "/home/ann/v/../v/x/a", "x/a"),
        ("file:///home/ann/v/a.mp4", "file:///home/ann/v/a", "a"),
        ("https://ann:pw@h/a?X-Amz-Signature=f3", "https://ann:pw@h/a?X-Amz-Signature=f3@0-2", "https://h/a@0-2"),
        ("/home/ann/v/a.mp4", "kitchen/7", "kitchen/7"),
        ("s3://b/a.mp4", "s3://b/a", "s3://b/a"),
        ("/home/ann/v/a.mp4", "/kitchen/7", "/kitchen/7"),
    ],
)
def test_an_id_that_is_made_of_a_videos_name_is_named_like_the_video_on_a_hub(video: str, clip_id: str, named: str) -> None:
    row = for_hub(a_row(video=video, clip_id=clip_id, example_id=f"{clip_id}/0/direct"), "/home/ann/v")
    assert (row.clip_id, row.example_id) == (named, f"{named}/0/direct")
    assert for_hub(a_row(video="/home/ann/v/a.jpg", clip_id="", example_id="talk-1"), "/home/ann/v").example_id == "talk-1"


def test_a_split_has_its_own_files_alone() -> None:
    names = [path_of("hub", split, 3, 12) for split in ("kitchen", "kitchen-2")]
    assert [name for name in names if fnmatch(name, pattern_of("hub", "kitchen"))] == names[:1]


def test_a_row_of_each_kind_comes_first_where_a_file_has_several(tmp_path: Path) -> None:
    words = replace(TALK, example_id="talk-2", video="")
    source = a_source(tmp_path, talks=(TALK, replace(TALK, example_id="talk-3"), words))
    order = [row.example_id for row in typed_first(source, "train")]
    assert order == ["a0/0/direct", "talk-1", "talk-2", "a1/0/rationalized", "a3/0/direct", "a4/0/rationalized", "talk-3"]
    alike = a_source(tmp_path / "alike")
    assert list(typed_first(alike, "train")) == list(alike.rows("train"))
