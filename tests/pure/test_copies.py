"""Pins that the bytes of one video never end in both splits, whatever its names: the share follows, named splits are refused."""

import os
from pathlib import Path
from typing import Any

import pytest

from engine.config import Data
from engine.ingest import copies
from engine.ingest.card import Card
from engine.ingest.manifest import read_manifest
from engine.ingest.skipped import Skipped
from engine.rows import Clip
from engine.store.filesystems import Storage


def write(folder: Path, **contents: bytes) -> None:
    for name, content in contents.items():
        (folder / f"{name}.mp4").write_bytes(content)


def read(folder: Path, text: str, skipped: Skipped | None = None, **data: Any) -> tuple[list[Clip], Card]:
    (folder / "m.csv").write_text(text)
    card = Card()
    return list(read_manifest(Data(manifest=str(folder / "m.csv"), **data), Storage(), card, skipped=skipped)), card


@pytest.mark.parametrize("is_link", [False, True], ids=["copy", "hard link"])
@pytest.mark.parametrize("skipped", [None, Skipped()], ids=["all", "skip_bad"])
def test_the_share_puts_all_names_of_a_video_into_one_split(tmp_path: Path, is_link: bool, skipped: Skipped | None) -> None:
    write(tmp_path, **{f"v{number}": bytes([number]) * (2000 + number) for number in range(40)})
    for number in range(30):
        original, copy = tmp_path / f"v{number}.mp4", tmp_path / f"c{number}.mp4"
        os.link(original, copy) if is_link else copy.write_bytes(original.read_bytes())
    names = [f"v{number}" for number in range(40)] + [f"c{number}" for number in range(30)]
    clips, card = read(tmp_path, "video,label\n" + "".join(f"{name}.mp4,x\n" for name in names), skipped)
    splits = {clip.clip_id: clip.split for clip in clips}
    assert len(splits) == 70
    assert all(splits[f"v{number}"] == splits[f"c{number}"] for number in range(30))
    assert {*splits.values()} == {"train", "heldout"}
    [note] = [note for note in card.notes() if "under several names" in note]
    assert note.startswith(f"{card.copies.num_shared} videos are there under several names, of which data.heldout would hold out")
    backwards, _ = read(tmp_path, "video,label\n" + "".join(f"{name}.mp4,x\n" for name in reversed(names)))
    assert {clip.clip_id: clip.split for clip in backwards} == splits, "the order of the rows decides nothing"


def test_a_row_without_a_split_follows_the_copy_that_has_one(tmp_path: Path) -> None:
    write(tmp_path, **{f"{letter}{number}": bytes([number]) * 3000 for letter in "ab" for number in range(20)})
    rows = [f"a{number}.mp4,x,{'val' if number % 2 else 'train'}\nb{number}.mp4,x,\n" for number in range(20)]
    clips, _ = read(tmp_path, "video,label,split\n" + "".join(rows), heldout=0.5)
    assert [clip.split for clip in clips] == ["train", "train", "heldout", "heldout"] * 10


def test_named_splits_are_refused_with_a_bound_and_left_out_with_a_count(tmp_path: Path) -> None:
    write(tmp_path, **{f"{letter}{number}": bytes([number]) * 3000 for letter in "ab" for number in range(8)})
    text = "video,label,split\n" + "".join(f"a{number}.mp4,x,train\nb{number}.mp4,x,val\n" for number in range(8))
    with pytest.raises(ValueError, match=r".+") as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert f"m.csv line 3: video {tmp_path}/b0.mp4, heldout here, is a copy of {tmp_path}/a0.mp4, train at" in message
    assert (message.count("is a copy of"), "; and 3 more; put copies into one split" in message) == (5, True)
    skipped = Skipped()
    clips, _ = read(tmp_path, text, skipped)
    assert ([clip.clip_id for clip in clips], skipped.count) == ([f"a{number}" for number in range(8)], 8)
    assert "b0.mp4, heldout here, is a copy of" in skipped.first[0]


def test_a_row_that_is_left_out_is_no_copy(tmp_path: Path) -> None:
    write(tmp_path, a=b"1" * 2000, b=b"1" * 2000, c=b"2" * 2000)
    text = "video,label,split,clip_id\na.mp4,x,train,1\nb.mp4,x,val,1\nc.mp4,x,val,2\n"
    skipped = Skipped()
    clips, _ = read(tmp_path, text, skipped)
    assert ([clip.clip_id for clip in clips], skipped.count) == (["1", "2"], 1)
    assert "clip_id '1' comes twice" in skipped.first[0]


def test_small_files_and_equal_sizes_are_no_copies(tmp_path: Path) -> None:
    write(tmp_path, page=b"<html>", error=b"<html>", a=b"1" * 300_000, b=b"1" * 150_000 + b"2" + b"1" * 149_999)
    splits = {"page": "train", "error": "val", "a": "train", "b": "val"}
    clips, _ = read(tmp_path, "video,label,split\n" + "".join(f"{name}.mp4,x,{split}\n" for name, split in splits.items()))
    assert len(clips) == 4


def test_a_video_is_read_once_however_its_windows_are_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, a=b"1" * 300_000, b=b"1" * 150_000 + b"2" + b"1" * 149_999, c=b"1" * 299_999 + b"2")
    digested = []
    file_digest = copies.file_digest
    monkeypatch.setattr(copies, "file_digest", lambda path: digested.append(path.name) or file_digest(path))
    splits = {"a": "train", "b": "val", "c": "val"}
    rows = "".join(f"{name}.mp4,x,{i},{i + 1},{splits[name]}\n" for i in range(50) for name in splits)
    clips, _ = read(tmp_path, f"video,label,start_s,end_s,split\n{rows}")
    assert len(clips) == 150
    assert sorted(digested) == ["a.mp4", "b.mp4"], "the last bytes of c say that it is none"
