"""Pins that published annotations are read in each form in which they come, and that a bad one of many is one bad row."""

import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.config import Data
from engine.ingest import manifest
from engine.ingest.adapters import adapter
from engine.ingest.adapters.source import Source
from engine.ingest.adapters.table import read_mapping
from engine.ingest.skipped import Skipped
from engine.labels import Choice, TimeRange
from engine.rows import Clip
from engine.store.filesystems import Storage


def clips_of(path: Path, form: str, content: Any, skipped: Skipped | None = None, **options: Any) -> list[Clip]:
    if content is not None:
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    source = Source(path=str(path), storage=Storage(), **options)
    data = Data(manifest=str(path), videos="/videos")
    return list(manifest.read_manifest(data, Storage(), records=partial(adapter(form), source), skipped=skipped))


def lines(*items: Any) -> str:
    return "".join(f"{json.dumps(item)}\n" for item in items)


def test_coin_and_youcook(tmp_path: Path) -> None:
    coin = {"annotation": [{"segment": [10.0, 20.5], "id": "212", "label": "unscrew the screws"}], "class": "ReplaceCD"}
    coin |= {"duration": 70.1, "subset": "testing", "start": 8.0, "end": 63.0}
    [clip] = clips_of(tmp_path / "COIN.json", "temporal", {"database": {"jLd": coin}})
    assert (clip.label, clip.split) == (TimeRange(start_s=10.0, end_s=20.5, duration_s=70.1), "heldout")
    assert "unscrew the screws" in clip.question
    cook = {"duration": 311.8, "subset": "training", "annotations": [{"segment": [41, 54], "id": 0, "sentence": "place the bacon"}]}
    [clip] = clips_of(tmp_path / "youcook.json", "temporal", {"database": {"-dh": cook}})
    assert ("place the bacon" in clip.question, clip.split) == (True, "train")


VIDEOS = [
    {"video_id": name, "duration": 9, "timestamps": [[1, 2], [3, 4]], "sentences": ["He runs.", "He jumps."]} for name in ("a", "b")
]
INTERVAL = {
    "narrated_actions": [
        {"narration_text": "#C C puts it", "narration_timestamp_sec": at, "structured_verb": "put", "is_valid_action": True}
        for at in (5, 9)
    ]
}
EGO4D = [{"video_uid": name, "annotated_intervals": [INTERVAL]} for name in ("a", "b")]
SOMETHING = [{"id": 7.0, "label": "holding a cup", "placeholders": ["cup"], "template": float("nan")}, {"id": "8", "label": "b"}]


@pytest.mark.parametrize(
    ("form", "items", "content", "ids"),
    [
        ("temporal", VIDEOS, {item["video_id"]: item for item in VIDEOS}, ["a/0", "a/1", "b/0", "b/1"]),
        ("ego4d", EGO4D, {"version": "1", "videos": EGO4D}, ["a/0", "a/1", "b/0", "b/1"]),
        ("something", SOMETHING, SOMETHING, ["7", "8"]),
    ],
    ids=["temporal", "ego4d", "something"],
)
def test_json_of_any_shape(tmp_path: Path, form: str, items: list[Any], content: Any, ids: list[str]) -> None:
    folder = tmp_path / "parts.json"
    folder.mkdir()
    for number, item in enumerate(items):
        (folder / f"part-{number}.json").write_text(lines(item))
    for name, text in (
        ("published.json", json.dumps(content)),
        ("indented.json", json.dumps(content, indent=1)),
        ("array.json", json.dumps(items)),
        ("lines.jsonl", lines(*items)),
        ("mark.json", "\ufeff" + json.dumps(content)),
        ("sixteen.json", json.dumps(content).encode("utf-16")),
        ("packed.json.gz", gzip.compress(json.dumps(content).encode())),
        ("parts.json", None),
    ):
        assert [clip.clip_id for clip in clips_of(tmp_path / name, form, text)] == ids, name


def test_csv_of_any_kind(tmp_path: Path) -> None:
    text = "label,youtube_id,time_start,time_end,split\ndoing yoga,-0xyz,3,13.0,Validate\n"
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "part-0.csv").write_text(text)
    pq.write_table(
        pa.table({"label": ["doing yoga"], "youtube_id": ["-0xyz"], "time_start": [3.0], "time_end": [13]}),
        tmp_path / "val.parquet",
    )
    for name, content in (
        ("a.csv", text),
        ("a.tsv", text.replace(",", "\t")),
        ("b.csv", text.replace(",", ";")),
        ("k", None),
        ("val.parquet", None),
    ):
        [clip] = clips_of(tmp_path / name, "kinetics", content)
        assert (clip.video, clip.split) == ("/videos/doing yoga/-0xyz_000003_000013.mp4", "heldout"), name


CUT = lines(VIDEOS[0], {"timestamps": []}) + "{\n"
INTERVALS = {"videos": [{"video_uid": "v", "annotated_intervals": [INTERVAL, {}, 3, INTERVAL]}]}
NO_ID = lines(*SOMETHING, {"id": None, "label": "x"}, {"id": 9, "label": None})
KINETICS = "label,youtube_id,time_start,time_end\nx,a,3.5,9\nx,b,nan,9\ny,c,1,2\nnan,d,1,2\n"


@pytest.mark.parametrize(
    ("form", "content", "num_good", "bad"),
    [
        (
            "temporal",
            {"v": VIDEOS[0] | {"sentences": ["x"] * 3}, "w": VIDEOS[1]},
            2,
            ["v sentence 0", "v sentence 1", "v sentence 2"],
        ),
        ("temporal", {"v": VIDEOS[0] | {"sentences": [None, "y"]}}, 1, ["v annotation 0: its label is empty"]),
        ("temporal", CUT, 2, ["line 2 has none of video_id, video, vid, id", "line 3 is not"]),
        ("ego4d", INTERVALS, 4, ["item 0 interval 1: ", "item 0 interval 2: "]),
        ("ego4d", {"videos": [{"annotated_intervals": []}, EGO4D[0]]}, 2, ["item 0 has no 'video_uid'"]),
        ("something", NO_ID, 2, ["line 3: '{id}.webm' cannot be filled in: id is empty", "line 4"]),
        ("kinetics", KINETICS, 1, ["line 2: ", "line 3: ", "line 5: no label"]),
    ],
)
def test_a_bad_annotation_is_one_bad_row(tmp_path: Path, form: str, content: Any, num_good: int, bad: list[str]) -> None:
    skipped = Skipped()
    assert len(clips_of(tmp_path / ("a.csv" if form == "kinetics" else "a.json"), form, content, skipped)) == num_good
    assert skipped.count == len(bad)
    assert [expected for expected, message in zip(bad, skipped.first, strict=True) if expected not in message] == []


def test_an_unknown_published_split_is_named(tmp_path: Path) -> None:
    text = "label,youtube_id,time_start,time_end,split\nx,a,3,13,train\ny,b,3,13,holdback\n"
    with pytest.raises(ValueError, match=r"line 3: split 'holdback' is neither .* 'train' \(1 row\), 'holdback' \(1 row\)"):
        clips_of(tmp_path / "k.csv", "kinetics", text)
    assert [clip.split for clip in clips_of(tmp_path / "k.csv", "kinetics", text, split="train")] == ["train", "train"]


def test_annotations_without_a_split_among_others_are_trained_on(tmp_path: Path) -> None:
    videos = {f"v{number}": VIDEOS[0] | ({"subset": "testing"} if number == 99 else {}) for number in range(100)}
    path, data = tmp_path / "a.json", Data(manifest="a.json")
    path.write_text(json.dumps(videos))
    records = partial(adapter("temporal"), Source(path=str(path), storage=Storage()))
    splits = [clip.split for clip in manifest.read_manifest(data, Storage(), records=records)]
    assert splits == ["train"] * 198 + ["heldout"] * 2
    path.write_text(json.dumps(videos | {"v99": VIDEOS[0]}))
    assert 2 < [clip.split for clip in manifest.read_manifest(data, Storage(), records=records)].count("heldout") < 50


NEXTQA = """
[values]
clip_id = "{video}_{qid}"
video = "{video}.mp4"
question = "{question}"
[label]
kind = "choice"
option = "{answer}"
options = {0 = "{a0}", 1 = "{a1}"}
"""


@pytest.mark.parametrize("answers", [[0, 1], [0.0, 1.0, float("nan")], ["0", "1"]], ids=["int", "float", "text"])
def test_an_answer_may_be_a_number(tmp_path: Path, answers: list[Any]) -> None:
    (tmp_path / "m.toml").write_text(NEXTQA)
    mapping = read_mapping(str(tmp_path / "m.toml"), Storage())
    size = len(answers)
    columns = {
        "video": [4010069381] * size,
        "qid": list(range(size)),
        "question": ["How many?"] * size,
        "a0": [3] * size,
        "a1": ["two"] * size,
    }
    pq.write_table(pa.table({"answer": answers} | columns), tmp_path / "a.parquet")
    rows = [
        {"answer": answer, **{name: values[0] for name, values in columns.items()}, "qid": number}
        for number, answer in enumerate(answers)
    ]
    for name, content in (("a.parquet", None), ("a.jsonl", lines(*rows))):
        skipped = Skipped()
        first, second = clips_of(tmp_path / name, "table", content, skipped, mapping=mapping)
        assert (first.clip_id, first.video) == ("4010069381_0", "/videos/4010069381.mp4")
        options = {"0": "3", "1": "two"}
        assert (first.label, second.label) == (Choice(option="0", options=options), Choice(option="1", options=options))
        assert skipped.count == size - 2
        assert all("its label has no option: {answer} is empty" in message for message in skipped.first)


def test_an_empty_cell_is_no_part_of_a_name(tmp_path: Path) -> None:
    mapping = {"values": {"video": "{id:04d}.mp4"}, "columns": {"label": "class"}}
    skipped = Skipped()
    clips = clips_of(tmp_path / "t.csv", "table", "id,class\n007,x\n8.0,x\n,x\nnan,x\n9.5,x\n", skipped, mapping=mapping)
    assert [clip.video for clip in clips] == ["/videos/0007.mp4", "/videos/0008.mp4"]
    assert [message.partition(": ")[2] for message in skipped.first[:2]] == ["'{id:04d}.mp4' cannot be filled in: id is empty"] * 2
    assert skipped.count == 3
