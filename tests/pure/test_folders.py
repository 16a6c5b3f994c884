"""Pins that a folder of class folders is a manifest, and a folder of part files a table; what is ambiguous is refused."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.config import Data
from engine.decode.media import MOVING, RAW, SEEKABLE
from engine.ingest.classes import ignored
from engine.ingest.folders import SUFFIXES, files_under, is_video
from engine.ingest.manifest import read_manifest
from engine.ingest.own import fingerprint, folder_notes
from engine.ingest.skipped import Skipped
from engine.store.filesystems import Storage
from jobs.ingest import IngestOptions, ingest

Read = list[tuple[str, str, str]]


def write(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def read(path: Path | str, skipped: Skipped | None = None, **data: Any) -> Read:
    """Id, label and split of each clip."""
    clips = read_manifest(Data(manifest=str(path), **{"heldout": 0.0} | data), Storage(), skipped=skipped)
    return [(clip.clip_id, clip.label.text, clip.split) for clip in clips]


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.rm("/", recursive=True)


def test_class_folders(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", "ApplyEyeMakeup/v_1.avi", "brush_hair/_x.mp4", "brush_hair/b.GIF", "brush_hair/._b.mp4", "n.txt")
    rows = [("ApplyEyeMakeup/v_1", "Apply Eye Makeup", "train"), ("brush_hair/_x", "brush hair", "train")]
    assert read(folder) == [*rows, ("brush_hair/b", "brush hair", "train")]
    [first, *_] = read_manifest(Data(manifest=f"{folder}/"), Storage())
    assert first.video == str(folder / "ApplyEyeMakeup" / "v_1.avi")
    assert ignored(files_under(str(folder), Storage()) or []) == {".txt": 1}


def test_splits_above_class_folders(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", "train/yoga/a.mp4", "val/yoga/b.mp4", "Test/dance/c.webm", "labels/yoga.txt")
    assert sorted(read(folder)) == [
        ("Test/dance/c", "dance", "heldout"),
        ("train/yoga/a", "yoga", "train"),
        ("val/yoga/b", "yoga", "heldout"),
    ]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert [label for _, label, _ in read(write(tmp_path / "d", "train/a.mp4", "bus/b.mp4"))] == ["bus", "train"]


def test_folders_that_an_archive_leaves_are_no_classes(tmp_path: Path) -> None:
    assert [label for _, label, _ in read(write(tmp_path / "d", "UCF-101/run/1.avi", "UCF-101/jump/2.avi"))] == ["jump", "run"]


@pytest.mark.parametrize(
    ("names", "labels", "note"),
    [
        (
            ["yoga/g01/1.mp4", "yoga/g02/2.mp4"],
            ["yoga"] * 2,
            "in {d}/: yoga; the folders in these (g01, g02) are numbered, and were",
        ),
        (["yoga/001/1.mp4"], ["yoga"], "(001) are numbered, and were read as takes of one class"),
        (
            ["run/v_run_01/1.mp4", "jump/v_jump_01/2.mp4", "jump/3.mp4"],
            ["jump", "jump", "run"],
            "jump, run; the folders in these (v_",
        ),
        (["UCF11/run/v_01/g02/1.mp4", "UCF11/run/v_02/2.mp4"], ["run"] * 2, "in UCF11/: run; the folders in these (v_01, v_02)"),
        (["train/yoga/g01/1.mp4", "val/yoga/g02/2.mp4"], ["yoga"] * 2, "yoga; the folders in these (g01, g02)"),
        (
            ["g01/1.mp4", "g02/2.mp4"],
            ["g01", "g02"],
            ": g01, g02; if these number takes of one class, name the folder above instead",
        ),
        (
            ["kinetics/run/1.mp4", "kinetics/jump/2.mp4"],
            ["jump", "run"],
            "the labels are the names of the folders in kinetics/: jump, run",
        ),
        (["data/UCF-101/run/1.mp4"], ["run"], "the labels are the names of the folders in data/UCF-101/: run"),
        (["yoga/1.mp4"], ["yoga"], ""),
        (["run/1.mp4", "jump/2.mp4"], ["jump", "run"], ""),
    ],
)
def test_which_folders_are_classes(tmp_path: Path, names: list[str], labels: list[str], note: str) -> None:
    folder = write(tmp_path / "d", *names)
    assert sorted(label for _, label, _ in read(folder)) == labels
    assert note.replace("{d}", str(folder)) in "".join(notes := folder_notes(str(folder), Storage()))
    assert len(notes) == bool(note)


def test_a_run_and_ingest_say_which_folders_are_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "d", "yoga/g01/1.mp4", "yoga/g02/2.mp4")
    ingest(IngestOptions(manifest=str(folder)), str(tmp_path / "clips.parquet"), [])
    assert "were read as takes of one class" in " ".join(capsys.readouterr().out.split())


def test_two_videos_of_one_stem_have_ids_of_their_own(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", "run/1.mp4", "run/1.avi", "jump/1.mp4")
    assert [clip_id for clip_id, _, _ in read(folder)] == ["jump/1", "run/1.avi", "run/1.mp4"]


def test_linked_folders_are_read_and_a_loop_ends(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", "run/a.mp4", "jump/b.mp4")
    write(tmp_path / "elsewhere", "c.mp4")
    os.symlink(tmp_path / "elsewhere", folder / "swim")
    os.symlink(folder, folder / "run" / "again")
    assert [label for _, label, _ in read(folder)] == ["jump", "run", "swim"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/a.mp4", "val/b.mp4"], "train, val hold videos and no class folders; what is read is FOLDER/CLASS/NAME.mp4 and"),
        (["train/run/a.mp4", "bus/run/b.mp4"], "of its folders some are splits (train) and some not (bus)"),
        (["labels.csv", "clips/a.mp4", "clips/b.mp4"], "holds tables (labels.csv) and videos; name the table: "),
        (["notes.txt"], "is a folder with neither tables nor videos; name a table"),
        ([".hidden"], "is a folder without files; name a table, or a folder with one folder for each class"),
        (["a.csv", "b.jsonl"], "is a folder with csv and json tables; name a table, or a folder with tables of one kind"),
        (["_delta_log/0.json", "a.parquet"], "is a Delta table, whose files may hold deleted rows; export it as Parquet"),
        (["run/a.mp4", "jump/b.mp4", "c.mp4"], "c.mp4 lies in no class folder; what is read is FOLDER/CLASS/NAME.mp4 and"),
        (["arts/a.mp4", "sport/run/b.mp4"], "b.mp4 lies deeper than a class folder: its class may be 'sport' or 'run'"),
        (["s1/run/a.mp4", "s2/run/b.mp4"], "a.mp4 lies deeper than a class folder: its class may be 's1' or 'run'"),
        (["yoga/g01/a.mp4", "yoga/b/c.mp4", "run/d.mp4"], "its class may be 'yoga' or 'b'"),
        (
            ["mine/yoga/a.mp4"],
            "all videos lie in mine/, in yoga: the label may be 'mine', or what these are called; if it is these, ",
        ),
        (["my_videos/part1/a.mp4", "my_videos/part2/a.mp4"], "my_videos/, in part1, part2: the label may be 'my_videos', or what"),
        (
            ["UCF-101/g01/a.mp4"],
            "d/UCF-101; if it is 'UCF-101', put the videos directly into it, or write a table with the columns",
        ),
    ],
)
def test_what_may_mean_something_else_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        read(write(tmp_path / "d", *names))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_video_in_no_class_is_one_bad_row(tmp_path: Path) -> None:
    skipped = Skipped()
    assert len(read(write(tmp_path / "d", "run/a.mp4", "jump/b.mp4", "c.mp4", "d.mp4"), skipped)) == 2
    assert skipped.count == 2


def test_two_links_to_one_folder_are_both_read(tmp_path: Path) -> None:
    write(tmp_path / "pool", "run/a.mp4", "run/b.mp4")
    folder = write(tmp_path / "d", "train/jump/b.mp4", "val/jump/c.mp4")
    for split in ("train", "val"):
        os.symlink(tmp_path / "pool" / "run", folder / split / "run")
    with pytest.raises(ValueError, match=r"^/.*run/(.).mp4 is in heldout here and in train at .*/\1.mp4, and so are 1 more"):
        read(folder)


def test_a_table_beside_videos_in_several_folders_is_not_passed_over(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", "videos/run/a.mp4", "videos/jump/b.mp4")
    (folder / "readme.csv").write_text("class,notes\nrun,x\n")
    assert [label for _, label, _ in read(folder)] == ["jump", "run"]
    (folder / "labels.csv").write_text("video,label\nvideos/run/a.mp4,run\nvideos/jump/b.mp4,jump\n")
    with pytest.raises(ValueError, match=r"d holds videos, and a table with a column video: name the table itself, .*d/labels.csv"):
        read(folder)
    with pytest.raises(ValueError, match="name the table itself"):
        fingerprint(Data(manifest=str(folder)), Storage())


def test_a_class_may_have_any_name(tmp_path: Path) -> None:
    names = ["NA", "None", "null", "{x}"]
    assert [label for _, label, _ in read(write(tmp_path / "d", *(f"{name}/{name}.mp4" for name in names)))] == names


def test_suffixes_of_every_demuxer_are_videos() -> None:
    assert {*SUFFIXES} == {*SEEKABLE, *MOVING, *RAW}
    sound_and_pictures = {*"avif heic heif isma ism m4a m4b mka mks mpo psp".split()}
    for demuxer, suffixes in SUFFIXES.items():
        assert av.format.ContainerFormat(demuxer, "r").extensions - sound_and_pictures <= {*suffixes.split()} | {"m4v"}, demuxer
    assert is_video("a/b.MXF")


def test_a_split_in_a_part_files_name_holds_where_the_cell_is_empty(tmp_path: Path) -> None:
    for split, cell in (("train", ""), ("validation", "NA"), ("test-00001", "train")):
        (write(tmp_path / "t", f"{split}.csv") / f"{split}.csv").write_text(f"video,label,split\n{split}.mp4,x,{cell}\n")
    assert sorted((clip_id, split) for clip_id, _, split in read(tmp_path / "t")) == [
        ("test-00001", "train"),
        ("train", "train"),
        ("validation", "heldout"),
    ]


def test_names_that_are_not_utf8_are_bad_rows(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", "run/a.mp4", "jump/b.mp4", os.fsdecode(b"jump/\xff.mp4"), os.fsdecode(b"\xfe.mp4"))
    ingest(IngestOptions(manifest=str(folder), skip_bad=True), str(tmp_path / "clips.parquet"), [])
    card = json.loads((tmp_path / "clips.card.json").read_text())
    assert (card["clips"], card["bad_rows"]) == (2, 2)
    assert "jump/\\udcff.mp4' is not a text: it holds a NUL or half a character" in card["first_bad_rows"][0]
    assert "\\udcfe.mp4 lies in no class folder" in card["first_bad_rows"][1]


def test_part_files_of_one_table(tmp_path: Path) -> None:
    folder = write(tmp_path / "t.parquet", "_SUCCESS", ".part-0.parquet.crc")
    for part, label in enumerate(("x", "y")):
        columns = {"video": [f"{part}.mp4"], "label": pa.array([label]).dictionary_encode()}
        pq.write_table(pa.table(columns), folder / f"part-{part}.snappy.parquet")
    assert read(folder) == read(f"{folder}/") == [("0", "x", "train"), ("1", "y", "train")]
    (folder / "part-0.card.json").write_text("{}")
    assert read(folder) == [("0", "x", "train"), ("1", "y", "train")], "data cards lie beside what ingest writes"
    [first, _] = read_manifest(Data(manifest=f"{folder}/"), Storage())
    assert first.video == str(tmp_path / "0.mp4"), "relative to the folder that the table lies in"


def test_names_of_parts_are_columns(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    for name, text in (
        ("split=train/verb=put%20on/part-0.csv", "video,label\na.mp4,x\n"),
        ("split=val/verb=__HIVE_DEFAULT_PARTITION__/part-1.csv", "video,label\nb.mp4,y\n"),
        ("split=val/part-2.csv", ""),
    ):
        write(folder, name)
        (folder / name).write_text(text)
    clips = list(read_manifest(Data(manifest=str(folder)), Storage()))
    assert [(clip.clip_id, clip.split, clip.verb) for clip in clips] == [("a", "train", "put on"), ("b", "heldout", "")]
    (tmp_path / "two").mkdir()
    for split in ("train", "validation"):
        (tmp_path / "two" / f"{split}-00000-of-00001.jsonl").write_text(f'{{"video": "{split}.mp4", "label": "x"}}\n')
    assert [split for _, _, split in read(tmp_path / "two")] == ["train", "heldout"]


def test_folders_in_an_object_store(memory: fsspec.AbstractFileSystem) -> None:
    for name in ("d/train/run/a.mp4", "d/val/run/b.mp4", "d/notes.txt", "d2/x/c.mp4"):
        memory.pipe_file(f"/{name}", b"x")
    memory.pipe_file("/t.jsonl/part-0.json", b'{"video": "a.mp4", "label": "x"}\n')
    memory.pipe_file("/t.jsonl/_SUCCESS", b"")
    assert read("memory://d") == [("train/run/a", "run", "train"), ("val/run/b", "run", "heldout")]
    assert read("memory://t.jsonl") == [("a", "x", "train")]
    with pytest.raises(ValueError, match="no such file: memory://none"):
        read("memory://none")


def test_a_folder_that_changed_has_another_fingerprint(tmp_path: Path) -> None:
    folder, table = write(tmp_path / "d", "run/a.mp4", "jump/b.mp4"), write(tmp_path / "t", "a.csv")
    before = [fingerprint(Data(manifest=str(path)), Storage()) for path in (folder, table)]
    write(folder, "run/notes.txt")
    (table / "a.card.json").write_text("{}")
    same = [fingerprint(Data(manifest=str(path)), Storage()) for path in (folder, table)]
    assert same == before, "neither notes nor data cards have rows"
    write(folder, "run/c.mp4")
    (table / "a.csv").write_text("video,label\n")
    after = [fingerprint(Data(manifest=str(path)), Storage()) for path in (folder, table)]
    assert before[0] != after[0]
    assert before[1] != after[1]
