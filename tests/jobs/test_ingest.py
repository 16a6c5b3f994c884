"""Pins `starloop ingest` as a user sees it: what is read, what is said about splits and missing videos, and the exit status."""

import json
import logging
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from command import starloop
from engine.presets import load_config
from engine.run import loop


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    write(tmp_path / "d", "train/yoga/a.mp4", "train/dance/b.mp4", "val/yoga/c.gif", "val/swim/d.mp4", "train/yoga/notes.txt")
    done = starloop("ingest", "d", "--out", "clips.parquet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 of 2 held-out labels are in no training clip: 'swim'" in done.stdout
    card = json.loads((tmp_path / "clips.card.json").read_text())
    assert (card["clips"], card["train"], card["heldout"], card["missing_videos"]) == (4, 2, 2, 0)
    assert (card["ignored_files"], card["ignored_suffixes"]) == (1, {".txt": 1})


def test_no_video_at_all_is_an_error_that_names_the_path_and_the_options(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("video,label\na,x\nb,y\n")
    done = starloop("ingest", "m.csv", "--out", "clips.parquet", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"error: none of the 2 clips has a video: there is no {tmp_path}/a; set data.videos to their folder, "
        "or give their names with --video; nothing is written"
    )
    assert ("clips without a video: 2" in done.stdout, "wrote" in done.stdout) == (True, False)
    assert [path.name for path in tmp_path.iterdir()] == ["m.csv"]
    write(tmp_path, "a.mp4")
    done = starloop("ingest", "m.csv", "--out", "clips.parquet", "--video", "{video}.mp4", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"the first video that is missing: {tmp_path}/b.mp4" in done.stdout


def test_videos_of_other_suffixes_and_folders_are_found_by_a_name_without_one(tmp_path: Path) -> None:
    write(tmp_path / "v", "a.mkv", "part-2/b.webm", "one/c.mp4", "two/c.mp4")
    rows = "".join(f"yoga,{name},1,11,train\n" for name in "abcd")
    (tmp_path / "train.csv").write_text(f"label,youtube_id,time_start,time_end,split\n{rows}")
    (tmp_path / "m.csv").write_text("id,label\na,yoga\nb,swim\n")
    name = ("--video", "{youtube_id}", "--set", "data.videos=v")
    done = starloop("ingest", "train.csv", "--format", "kinetics", "--out", "clips.parquet", *name, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    videos = pq.read_table(tmp_path / "clips.parquet")["video"].to_pylist()
    assert videos == [f"{tmp_path}/v/{name}" for name in ("a.mkv", "part-2/b.webm", "c", "d")], "two have the name of the third"
    assert json.loads((tmp_path / "clips.card.json").read_text())["missing_videos"] == 2
    done = starloop("ingest", "m.csv", "--out", "own.parquet", "--video", "{id}", "--set", "data.videos=v", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    videos = pq.read_table(tmp_path / "own.parquet")["video"].to_pylist()
    assert videos == [f"{tmp_path}/v/{name}" for name in ("a.mkv", "part-2/b.webm")]


def test_conversations_without_their_format_are_told_it(tmp_path: Path) -> None:
    (tmp_path / "ok.jsonl").write_text('{"messages": [{"role": "user", "content": "Hi"}], "videos": ["a.mp4"]}\n')
    done = starloop("ingest", "ok.jsonl", "--out", "clips.parquet", cwd=tmp_path)
    assert done.stderr.strip().endswith(
        "has no column 'video', only 'messages', 'videos'; these are conversations, which `starloop ingest --format instruct` "
        "makes examples of"
    )


def test_copies_in_class_folders_are_named_once_and_without_the_option_that_was_given(tmp_path: Path) -> None:
    write(tmp_path / "d", "train/yoga/a.mp4", "train/dance/b.mp4", "val/yoga/c.mp4")
    for name in ("train/yoga/a.mp4", "val/yoga/c.mp4"):
        (tmp_path / "d" / name).write_bytes(b"1" * 2000)
    pair = f"{tmp_path}/d/val/yoga/c.mp4, heldout, is a copy of {tmp_path}/d/train/yoga/a.mp4, train; put copies into one split"
    done = starloop("ingest", "d", "--out", "clips.parquet", cwd=tmp_path)
    assert done.stderr.strip() == f"error: {pair}, or leave the row out (`starloop ingest --skip-bad`)"
    done = starloop("ingest", "d", "--out", "clips.parquet", "--skip-bad", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"1 bad rows left out; the first: {pair}\n" in done.stdout


def test_a_split_for_all_rows(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("video,label,split\na.mp4,x,fold1\nb.mp4,y,fold2\n")
    write(tmp_path, "a.mp4", "b.mp4")
    done = starloop("ingest", "m.csv", "--out", "clips.parquet", cwd=tmp_path)
    assert (done.returncode, "--split train or --split heldout" in done.stderr) == (1, True)
    done = starloop("ingest", "m.csv", "--out", "clips.parquet", "--split", "val", cwd=tmp_path)
    assert done.returncode == 0
    assert pq.read_table(tmp_path / "clips.parquet").column("split").to_pylist() == ["heldout", "heldout"]
    done = starloop("ingest", "m.csv", "--out", "clips.parquet", "--split", "fold1", cwd=tmp_path)
    assert "error: --split fold1: train, heldout or test" in done.stderr


def test_the_share_that_nobody_chose_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("video,label\n" + "".join(f"{number}.mp4,x\n" for number in range(60)))
    write(tmp_path, *(f"{number}.mp4" for number in range(60)))
    done = starloop("ingest", "m.csv", "--out", "clips.parquet", cwd=tmp_path)
    heldout = pq.read_table(tmp_path / "clips.parquet").column("split").to_pylist().count("heldout")
    assert heldout > 0
    lines = [
        line for line in done.stdout.splitlines() if line.startswith("no split in the manifest: 10 % of the videos are held out")
    ]
    assert len(lines) == 1
    assert f"({heldout} of 60 clips)" in lines[0]
    done = starloop("ingest", "m.csv", "--out", "clips.parquet", "--set", "data.heldout=0", cwd=tmp_path)
    assert "no split" not in done.stdout
    assert set(pq.read_table(tmp_path / "clips.parquet").column("split").to_pylist()) == {"train"}


def test_a_run_begins_with_class_folders_and_notices_when_they_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "d", *(f"{label}/{number}.mp4" for label in ("run", "jump") for number in range(30)), "notes.txt")
    config = load_config(None, [f"data.manifest={tmp_path / 'd'}", f"run.uri={tmp_path / 'r'}", "model.allow_tiny=true"])
    with caplog.at_level(logging.INFO, "engine"):
        loop.run(config, lambda progress: None, until="ingest")
    assert any("no split in the manifest: 10 % of the videos are held out" in line for line in caplog.messages)
    assert "files that are no videos: 1 .txt" in caplog.messages
    loop.run(config, lambda progress: None, until="ingest")
    write(tmp_path / "d", "run/more.mp4")
    with pytest.raises(ValueError, match=r"/d has changed since .*; restore it or choose another run.uri"):
        loop.run(config, lambda progress: None, until="ingest")
