"""Pins VideoChat2-IT as PLLaVA takes it: a folder of annotations is read set by set, and [mixture] weighs each set."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from command import starloop
from engine.config import Mixture
from engine.ingest.adapters.collections import VIDEOS, collections_in
from engine.rows import Example
from engine.select.conversations import read_conversations, refuse_no_examples
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.train.batches import Material
from engine.train.mixture import Stream, order
from engine.train.tables import map_tables

ITEMS: dict[str, list[dict[str, Any]]] = {
    "caption_textvr": [{"video": "a/1.mp4", "QA": [{"i": "Describe the video.", "q": "", "a": "A shop sign."}]}],
    "vqa_tgif_frame_qa": [{"video": "cat.gif", "QA": [{"i": "Answer in short.", "q": "What is it?", "a": "A cat."}]}] * 2,
    "conversation_videochat1": [
        {"video": "1.mp4", "QA": [{"i": "", "q": "Who?", "a": "He."}, {"q": "Where?", "a": "There."}], "start": 1.0, "end": 3.5}
    ],
}


def write_gif(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="gif") as container:
        stream = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "rgb8"
        for number in range(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), number * 30, np.uint8), format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def magic(tmp_path: Path) -> Path:
    """magic_jsons with three of the sixteen sets, and their videos where PLLaVA has them."""
    for collection, items in ITEMS.items():
        kind, _, name = collection.partition("_")
        path = tmp_path / "magic_jsons" / "video" / kind / name / "train.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(items))
    for name in ("TextVR/a/1.mp4", "webvid_10m/1.mp4", "tgif/cat.gif"):
        write_gif(tmp_path / "videos" / name)
    return tmp_path


def ingest(folder: Path, *options: str) -> list[dict[str, Any]]:
    given = ("--format", "instruct", "--out", "it.parquet", "--set", "data.videos=videos", *options)
    done = starloop("ingest", "magic_jsons", *given, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "conversations by set: caption_textvr 1, conversation_videochat1 1, vqa_tgif_frame_qa 2\n" in done.stdout
    assert "missing videos 0" in done.stdout
    rows: list[dict[str, Any]] = pq.read_table(folder / "it.parquet").to_pylist()
    return rows


def test_a_folder_is_read_set_by_set_with_each_set_s_videos(magic: Path) -> None:
    rows = ingest(magic)
    assert [
        (row["example_id"], row["collection"], Path(row["video"]).relative_to(magic / "videos").as_posix()) for row in rows
    ] == [
        ("caption_textvr/a/1/0", "caption_textvr", "TextVR/a/1.mp4"),
        ("conversation_videochat1/1/0", "conversation_videochat1", "webvid_10m/1.mp4"),
        ("vqa_tgif_frame_qa/cat/0", "vqa_tgif_frame_qa", "tgif/cat.gif"),
        ("vqa_tgif_frame_qa/cat/1", "vqa_tgif_frame_qa", "tgif/cat.gif"),
    ]
    caption, talk, *_ = rows
    assert (caption["prompt"], caption["instruction"]) == ("Describe the video.", "Describe the video.")
    assert (talk["prompt"], talk["start_s"], talk["end_s"]) == ("Who?", 1.0, 3.5)
    assert talk["follow_ups"] == [{"prompt": "Where?", "answer": "There."}]
    card = json.loads((magic / "it.card.json").read_text())
    assert card["collections"] == {"caption_textvr": 1, "conversation_videochat1": 1, "vqa_tgif_frame_qa": 2}


def test_names_without_a_suffix_are_looked_for_among_each_set_s_videos(magic: Path) -> None:
    for path in (magic / "magic_jsons").rglob("train.json"):
        items = json.loads(path.read_text())
        path.write_text(json.dumps([item | {"stem": Path(item["video"]).stem} for item in items]))
    videos = [Path(row["video"]).relative_to(magic / "videos").as_posix() for row in ingest(magic, "--video", "{stem}")]
    assert videos == ["TextVR/a/1.mp4", "webvid_10m/1.mp4", "tgif/cat.gif", "tgif/cat.gif"]


def test_pllava_trains_on_sixteen_sets() -> None:
    assert len(VIDEOS) == 16
    assert VIDEOS["conversation_videochatgpt"] == "AVideo_ChatGPT"


def test_two_files_of_one_set_are_refused(magic: Path) -> None:
    again = magic / "magic_jsons" / "old" / "caption" / "textvr"
    again.mkdir(parents=True)
    (again / "train.json").write_text("[]")
    with pytest.raises(ValueError, match="are both the set caption_textvr; take one of them out"):
        collections_in(str(magic / "magic_jsons"), Storage())


def test_each_set_is_seen_as_often_as_its_weight_says(magic: Path) -> None:
    """Of the tables as ranks map them."""
    ingest(magic)
    store = Store(str(magic))
    material = Material(*map_tables(store, store.describe(["it.parquet"])[0], None))
    mixture = Mixture(instruct=2.0, collections={"vqa_tgif_frame_qa": 0.25, "caption_textvr": 3.0})
    streams = material.streams(mixture)
    assert streams[2:] == [Stream(2.0, [[1]]), Stream(6.0, [[0]]), Stream(0.5, [[2, 3]])]
    rows = [row for step in order(streams, 1.0, 1, seed=0) for row in step]
    assert (rows.count(0), rows.count(1), rows.count(2) + rows.count(3)) == (6, 2, 1)
    assert material.streams(Mixture(instruct=2.0))[2:] == [Stream(2.0, [[0, 1, 2, 3]])]


def test_a_folder_of_files_is_a_set_for_each_file(magic: Path) -> None:
    """What was ingested file by file can be weighed too."""
    (magic / "talks.json").write_text(json.dumps([{"id": "t", "conversations": [{"from": "human", "value": "Hi"},
                                                                                {"from": "gpt", "value": "Hello"}]}]))  # fmt: skip
    ingest(magic)
    done = starloop("ingest", "talks.json", "--format", "instruct", "--out", "mix/llava.parquet", cwd=magic)
    assert done.returncode == 0, done.stderr
    (magic / "it.parquet").rename(magic / "mix" / "it.parquet")
    examples: list[Example] = [own for batch in read_conversations(str(magic / "mix"), Storage()) for own in batch]
    assert [own.collection for own in examples] == [
        "caption_textvr", "conversation_videochat1", "vqa_tgif_frame_qa", "vqa_tgif_frame_qa", "llava",
    ]  # fmt: skip
    refuse_no_examples(Mixture(instruct=1, examples=str(magic / "mix"), collections={"llava": 2, "caption_textvr": 0}), Storage())


def test_a_weight_for_a_set_that_is_not_there_is_refused(magic: Path) -> None:
    ingest(magic)
    wrong = Mixture(instruct=1, examples=str(magic / "it.parquet"), collections={"caption_webvit": 2.0})
    known = "caption_textvr, conversation_videochat1, vqa_tgif_frame_qa"
    with pytest.raises(
        ValueError, match=f"weighs 'caption_webvit', and the sets of mixture.examples are {known}; correct the name"
    ):
        refuse_no_examples(wrong, Storage())
    (magic / "empty").mkdir()
    (magic / "empty" / "a.txt").write_text("x")
    with pytest.raises(ValueError, match=r"empty is a folder without \.parquet files; `starloop ingest"):
        refuse_no_examples(Mixture(instruct=1, examples=str(magic / "empty")), Storage())
