"""Pins which split a row belongs to: names as people write them, a tenth where nobody says anything, and what is said about it."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.config import Data
from engine.ingest.card import Card
from engine.ingest.manifest import read_manifest
from engine.ingest.skipped import Skipped
from engine.ingest.splits import split_for, split_named
from engine.presets import load_config
from engine.run.checks import check_inputs, claim
from engine.store.files import Store
from engine.store.filesystems import Storage
from jobs.ingest import IngestOptions, ingest


def read(path: Path, text: str, skipped: Skipped | None = None, **data: Any) -> tuple[list[str], list[str]]:
    """The split of each clip, and the card's notes."""
    path.write_text(text)
    card = Card()
    clips = list(read_manifest(Data(manifest=str(path), **data), Storage(), card, skipped=skipped))
    return [clip.split for clip in clips], card.notes()


def table(*splits: str, name: str = "split") -> str:
    return f"video,label,{name}\n" + "".join(f"{number}.mp4,x,{split}\n" for number, split in enumerate(splits))


@pytest.mark.parametrize(
    "name", "val Valid VALIDATION validate dev eval evaluation heldout held-out held_out holdout val_1 val_test".split()
)
def test_names_of_what_is_held_out(name: str) -> None:
    assert split_named(name) == "heldout"


@pytest.mark.parametrize("name", ["test", "Testing", "test-00000-of-00003.parquet"])
def test_what_is_called_test_is_held_out_unless_it_is_set_apart(name: str, tmp_path: Path) -> None:
    assert (split_named(name), split_for(name, Data()), split_for(name, Data(test=0.0))) == ("test", "heldout", "test")
    assert read(tmp_path / "m.csv", table("train", "val", name))[0] == ["train", "heldout", "heldout"]
    assert read(tmp_path / "m.csv", table("train", "val", name), test=0.0)[0] == ["train", "heldout", "test"]


def test_shares_make_three_splits_and_the_held_out_one_stays(tmp_path: Path) -> None:
    text = table(*[""] * 400, name="note")
    two, _ = read(tmp_path / "m.csv", text, heldout=0.2)
    three, notes = read(tmp_path / "m.csv", text, heldout=0.2, test=0.3)
    assert [split == "heldout" for split in two] == [split == "heldout" for split in three]
    assert 90 < three.count("test") < 150
    assert notes == []
    with pytest.raises(ValueError, match=r"heldout = 0.6 and test = 0.4 leave no video to train on"):
        load_config(None, ["data.heldout=0.6", "data.test=0.4"])


def test_a_video_in_held_out_and_test_is_a_leak_as_in_train(tmp_path: Path) -> None:
    text = "video,label,split,clip_id\na.mp4,x,train,1\nb.mp4,x,val,2\n./b.mp4,x,test,3\nc.mp4,x,test,4\n"
    with pytest.raises(ValueError, match=r"line 4: video .*b.mp4 is in test here and in heldout at .*line 3"):
        read(tmp_path / "m.csv", text, test=0.0)
    assert read(tmp_path / "m.csv", text)[0] == ["train", "heldout", "heldout", "heldout"]
    for name in "bc":
        (tmp_path / f"{name}.mp4").write_bytes(b"the same bytes" * 9999)
    with pytest.raises(ValueError, match=r"c.mp4, test here, is a copy of .*b.mp4, heldout at"):
        read(tmp_path / "m.csv", text.replace("./b.mp4", "d.mp4"), test=0.0)


def test_a_test_split_that_is_asked_for_has_to_have_clips(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(table("train", "val"))
    with pytest.raises(
        ValueError, match=r"no clips in split 'test'; fill in its split column \(train, heldout, test\), or .*data.test"
    ):
        check_inputs(load_config(None, [f"data.manifest={tmp_path / 'm.csv'}", "data.test=0.0"]), "")


@pytest.mark.parametrize("name", ["train/val", "trainval", "fold1", "unlabeled", "latest", "interval", "devices", ""])
def test_names_that_say_neither_split(name: str) -> None:
    assert split_named(name) == ""


def test_an_unknown_split_is_one_error_with_the_values_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"line 3: split 'fold2' .*are 'fold2' \(2 rows\), 'train' \(1 row\): .*--split train"):
        read(tmp_path / "m.csv", table("train", "fold2", "fold2"))
    skipped = Skipped()
    assert read(tmp_path / "m.csv", table("train", "fold2", "val"), skipped)[0] == ["train", "heldout"]
    assert skipped.count == 1


def test_a_tenth_is_held_out_where_nobody_says_anything(tmp_path: Path) -> None:
    splits, notes = read(tmp_path / "m.csv", table(*[""] * 300, name="note"))
    assert 15 < splits.count("heldout") < 50
    held = f"({splits.count('heldout')} of 300 clips)"
    assert notes == [
        f"no split in the manifest: 10 % of the videos are held out {held}; set data.heldout to another share, or to 0 for none"
    ]
    assert read(tmp_path / "n.csv", table(*[""] * 300))[0] == splits, "an empty column says nothing"
    lines = "".join(json.dumps({"video": f"{number}.mp4", "label": "x"}) + "\n" for number in range(300))
    assert read(tmp_path / "m.jsonl", lines)[0] == splits


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (table(*[""] * 100, name="note"), {"heldout": 0.0}),
        (table("train", *[""] * 99), {}),
        (table(*[""] * 99, "train"), {}),
    ],
    ids=["set", "manifest", "last row"],
)
def test_nothing_is_held_out_where_somebody_says_otherwise(tmp_path: Path, text: str, data: dict[str, float]) -> None:
    assert read(tmp_path / "m.csv", text, **data) == (["train"] * 100, [])


def test_rows_without_a_split_follow_the_setting(tmp_path: Path) -> None:
    splits, notes = read(tmp_path / "m.csv", table("train", *[""] * 200), heldout=0.5)
    assert 60 < splits.count("heldout") < 140
    assert notes == []


def test_a_share_of_few_videos_that_is_far_from_the_one_asked_for_is_named(tmp_path: Path) -> None:
    few = table(*[""] * 12, name="note")
    held = {share: read(tmp_path / "m.csv", few, heldout=share) for share in (0.3, 0.4, 0.5, 0.6)}
    for share, (splits, notes) in held.items():
        num = splits.count("heldout")
        expected = [f"data.heldout = {share:g} holds out {num} of 12 videos"] if abs(num / 12 - share) > 0.1 else []
        assert [note.partition(":")[0] for note in notes] == expected
    assert {len(notes) for _, notes in held.values()} == {0, 1}


def test_a_share_that_holds_out_nothing_says_which_does(tmp_path: Path) -> None:
    text = "video,label\na.mp4,x\nb.mp4,x\n"
    splits, [note] = read(tmp_path / "m.csv", text)
    assert splits == ["train", "train"]
    assert note.startswith("data.heldout = 0.1 holds out none of 2 videos; the smallest share that holds one out is 0.")
    assert read(tmp_path / "m.csv", text, heldout=float(note.rpartition(" ")[2]))[0].count("heldout") == 1
    with pytest.raises(ValueError, match=r"no clips in split 'heldout'.*; data.heldout = 0.1 holds out none of 2 videos"):
        check_inputs(load_config(None, [f"data.manifest={tmp_path / 'm.csv'}"]), "")


def test_held_out_labels_that_no_training_clip_has_are_named(tmp_path: Path) -> None:
    text = "video,label,split\na.mp4,cafe\u0301,train\nb.mp4,Caf\u00e9,val\nc.mp4,yoga,val\nd.mp4,dance,val\n"
    _, notes = read(tmp_path / "m.csv", text)
    assert notes == ["2 of 3 held-out labels are in no training clip: 'dance', 'yoga'; a model can hardly learn these"]
    assert read(tmp_path / "m.csv", text.replace("train", "val"))[1] == [], "the other split comes from another file"


def test_two_labels_of_one_window_are_counted_and_the_first_is_shown(tmp_path: Path) -> None:
    lines = ["a.mp4,0,5,yoga,,1", "./a.mp4,,5,Yoga!,,2", "b.mp4,,,run,,3", "a.mp4,0,5,dance,,4", "a.mp4,0,5,mat,What lies there?,5"]
    text = "video,start_s,end_s,label,question,clip_id\n" + "".join(f"{line}\n" for line in lines)
    splits, notes = read(tmp_path / "m.csv", text, heldout=0.0)
    assert (len(splits), len(notes)) == (5, 1), "all are kept"
    assert notes[0].startswith("windows with two labels for one question, of which both are kept: 1; /")
    assert notes[0].endswith("/a.mp4 from 0 s to 5 s is 'yoga' in clip 1 and 'dance' in clip 4")
    (tmp_path / "b.mp4").write_bytes(b"x")
    ingest(IngestOptions(manifest=str(tmp_path / "m.csv")), str(tmp_path / "c.parquet"), [])
    assert json.loads((tmp_path / "c.card.json").read_text())["windows_of_two_labels"] == 1
    assert read(tmp_path / "m.csv", text.replace("dance", "yoga"), heldout=0.0)[1] == []


@pytest.mark.parametrize(
    ("splits", "options", "note"),
    [
        (["train", "train"], {}, "all 2 clips are train and none is held out; unless these come from another manifest"),
        (["train", ""], {}, "all 2 clips are train and none is held out"),
        (["val", "test"], {}, "all 2 clips are held out and none is trained on"),
        (["train", "val"], {}, ""),
        (["train", "train"], {"split": "train"}, ""),
        (["", ""], {"split": "val"}, ""),
        (["", ""], {}, ""),
    ],
)
def test_an_empty_split_is_said_unless_it_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], splits: list[str], options: dict[str, str], note: str
) -> None:
    (tmp_path / "m.csv").write_text(table(*splits))
    ingest_all = partial(ingest, IngestOptions(manifest=str(tmp_path / "m.csv"), **options), str(tmp_path / "c.parquet"))
    with pytest.raises(ValueError, match="none of the 2 clips has a video"):
        ingest_all([])
    printed = " ".join(capsys.readouterr().out.split())
    assert note in printed
    assert ("by the splits that the manifest names" in printed) == bool(note)


def test_a_run_keeps_the_share_that_it_was_begun_with(tmp_path: Path) -> None:
    """A run of the time when the default was 0 goes on with the same command."""
    store, sets = Store(str(tmp_path / "run")), [f"run.uri={tmp_path / 'run'}", "data.manifest=m.csv"]
    claim(store, load_config(None, [*sets, "data.heldout=0.0"]))
    assert claim(store, load_config(None, sets)).data.heldout == 0.0
    with pytest.raises(ValueError, match=r"begun with another configuration \(data.heldout: 0.0 -> 0.1\)"):
        claim(store, load_config(None, [*sets, "data.heldout=0.1"]))
