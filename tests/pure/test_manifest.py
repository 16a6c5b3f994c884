"""Pins what a manifest may hold, and that what a user wrote wrong is one line naming the place and the remedy."""

import errno
import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders import a_clip
from engine.config import Data, EvaluationSet
from engine.evaluate.sets import read_set
from engine.ingest import listing, manifest
from engine.ingest.card import Card
from engine.ingest.clips import from_table, to_table
from engine.ingest.listing import Listing
from engine.ingest.skipped import Skipped
from engine.rows import Clip
from engine.select.conversations import read_conversations
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError


def read(tmp_path: Path, text: str, name: str = "m.csv", **data: object) -> list[Clip]:
    path = tmp_path / name
    path.write_text(text)
    return list(manifest.read_manifest(Data(manifest=str(path), **data), Storage()))  # type: ignore[arg-type]


def test_a_plain_csv(tmp_path: Path) -> None:
    clips = read(tmp_path, "video,label,verb,noun\nyoga.mp4,doing yoga,do,yoga\nsub/a.mkv,dancing,dance,\n", heldout=0.0)
    assert [clip.clip_id for clip in clips] == ["yoga", "sub/a"]
    assert clips[0].video == str(tmp_path / "yoga.mp4")
    assert clips[0].label.text == "doing yoga"
    assert (clips[0].verb, clips[0].noun, clips[1].noun) == ("do", "yoga", "")
    assert {clip.split for clip in clips} == {"train"}


def test_an_id_holds_no_signature_and_other_urls_are_ids_as_they_are(tmp_path: Path) -> None:
    signed = "https://h/a?X-Amz-Signature=f3.1,x\nhttps://h/b.mp4?sig=1.5&sv=2,x\n"
    plain = "https://h/c d.mp4,x\nhttps://H:443/get?id=2.5,x\nhttps://h/get?id=a b,x\n"
    ids = [clip.clip_id for clip in read(tmp_path, f"video,label\n{signed}{plain}")]
    assert ids == ["https://h/a", "https://h/b", "https://h/c d", "https://H:443/get?id=2", "https://h/get?id=a b"]


def test_windows_of_one_video_are_clips_of_their_own(tmp_path: Path) -> None:
    clips = read(tmp_path, "video,label,start_s,end_s\na.mp4,x,0,2\na.mp4,y,2,\n")
    assert [clip.clip_id for clip in clips] == ["a@0-2", "a@2-end"]
    assert clips[0].split == clips[1].split
    late = read(tmp_path, "video,label,start_s,end_s\na.mp4,x,12345.61,12345.64\na.mp4,y,12345.62,1234567\na.mp4,z,0.5,1.25\n")
    assert [clip.clip_id for clip in late] == ["a@12345.61-12345.64", "a@12345.62-1234567", "a@0.5-1.25"]


def test_an_evaluation_set_may_have_any_split_column(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text("video,label,split,clip_id\na.mp4,x,test,1\na.mp4,y,val,2\n")
    clips = read_set(EvaluationSet(name="mine", files=str(path)), "What?", Storage())
    assert [clip.clip_id for clip in clips] == ["1", "2"]


def test_the_column_aliases_adds_to_a_typed_label(tmp_path: Path) -> None:
    label = {"kind": "keywords", "text": "diving", "aliases": ["dive"]}
    rows = [{"video": "a.mp4", "label": label, "aliases": "dive|plunging"}, {"video": "b.mp4", "label": json.dumps(label)}]
    first, second = read(tmp_path, "\n".join(map(json.dumps, rows)), "m.jsonl")
    assert (first.label.aliases, second.label.aliases) == (("dive", "plunging"), ("dive",))  # type: ignore[union-attr]
    number = {"video": "a.mp4", "label": {"kind": "number", "value": 3}, "aliases": "three"}
    with pytest.raises(ValueError, match=r"line 1: a label of kind number has no aliases"):
        read(tmp_path, json.dumps(number), "m.jsonl")


def test_a_label_that_is_nested_too_deeply_is_one_line(tmp_path: Path) -> None:
    cell = '{""a"":' * 20_000
    with pytest.raises(ValueError, match=r"m.csv line 2: label .* is nested too deeply to be read"):
        read(tmp_path, f'video,label\na.mp4,"{cell}"\n')


@pytest.mark.parametrize(("start", "end"), [(0.2, 0.6), (0.97, 0.99)], ids=["page", "footer"])
def test_a_damaged_parquet_file_is_one_line(tmp_path: Path, start: float, end: float) -> None:
    rows = [{"video": f"{i}.mp4", "label": f"label {i * 7919 % 1000}"} for i in range(2000)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "m.parquet")
    data = bytearray((tmp_path / "m.parquet").read_bytes())
    first, last = int(len(data) * start), int(len(data) * end)
    data[first:last] = b"\xff" * (last - first)
    (tmp_path / "m.parquet").write_bytes(data)
    with pytest.raises(ValueError, match=r"m.parquet is not a Parquet file, or damaged.*; get it again") as caught:
        list(manifest.read_manifest(Data(manifest=str(tmp_path / "m.parquet")), Storage()))
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"mixture.examples .*m.parquet does not hold examples"):
        list(read_conversations(str(tmp_path / "m.parquet"), Storage()))


def test_bad_rows_are_left_out_when_the_manifest_is_read_again_for_copies(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_bytes(name.encode() * 2000)
    (tmp_path / "m.csv").write_text("video,label,split\n,x,train\na.mp4,x,train\nb.mp4,x,val\n")
    skipped = Skipped()
    clips = list(manifest.read_manifest(Data(manifest=str(tmp_path / "m.csv")), Storage(), skipped=skipped))
    assert ([clip.clip_id for clip in clips], skipped.count) == (["a", "b"], 1)


def test_jsonl_and_the_parquet_that_ingest_writes(tmp_path: Path) -> None:
    row = {"video": "s3://b/a.mp4", "label": "x", "aliases": "y|z", "split": "heldout", "question": "What?"}
    clips = read(tmp_path, json.dumps(row) + "\n", "m.jsonl")
    assert clips[0].label.aliases == ("y", "z")
    assert from_table(to_table(clips)) == clips
    pq.write_table(to_table(clips), tmp_path / "m.parquet")
    assert list(manifest.read_manifest(Data(manifest=str(tmp_path / "m.parquet")), Storage())) == clips


def test_the_split_is_by_video_and_the_same_everywhere(tmp_path: Path) -> None:
    text = "video,label\n" + "".join(f"v{i}.mp4,x\n" for i in range(400))
    clips = read(tmp_path, text, heldout=0.25)
    heldout = [clip.clip_id for clip in clips if clip.split == "heldout"]
    assert 60 < len(heldout) < 140
    (tmp_path / "elsewhere").mkdir()
    assert heldout == [clip.clip_id for clip in read(tmp_path / "elsewhere", text, heldout=0.25) if clip.split == "heldout"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,verb\na.mp4,x\n", "has no column 'label', only 'video', 'verb'"),
        ("video,label\nzip://a.mp4::file:///b.zip,x\n", "line 2: video 'zip://a.mp4::file:///b.zip' is not a path or one of s3://"),
        ("video,label\nfoo://a/b.mp4,x\n", "line 2: video 'foo://a/b.mp4' is not a path or one of s3://"),
        ("video,label\ns3://bucket,x\n", "line 2: video 's3://bucket' names a bucket and no object in it"),
        ("video,label\na.mp4,\n", "line 2 has no label"),
        ("video,label\na.mp4,--\n", "line 2: label '--' has neither a letter nor a digit; correct it"),
        ("video,label\n,x\n", "line 2 has no video"),
        ("video,label,clip_id\na.mp4,x,1\nb.mp4,y,1\n", "line 3: clip_id '1' is also at"),
        ("video,label,split,clip_id\na.mp4,x,train,1\na.mp4,y,heldout,2\n", "is in heldout here and in train at"),
        ("video,label,split\na.mp4,x,fold1\n", "line 2: split 'fold1' is neither train nor held out"),
        ("video,label,start_s,end_s\na.mp4,x,3,2\n", "start_s 3.0 is not before end_s 2.0"),
        ("video,label,start_s\na.mp4,x,soon\n", "start_s 'soon' is not a number"),
        ("video,label,question\na.mp4,diving,Is he diving?\n", "holds the label 'diving'"),
        ("video,label\na.mp4,x,extra\n", "more cells than the header"),
        ("video,label,star_s\na.mp4,x,1\n", "has a column 'star_s'; did you mean 'start_s'?"),
        ("Video,label\na.mp4,x\n", "has no column 'video'"),
        ('video,label\na.mp4,"{""kind"": ""zzz"", ""text"": ""x""}"\n', "label kind 'zzz' is not known"),
        ("video,label,split,clip_id\n/v/a.mp4,x,train,1\n/v/../v/a.mp4,y,heldout,2\n", "is in heldout here and in train at"),
        ("video,label\n", "has no rows"),
        ("", "has no column 'video'"),
    ],
)
def test_a_wrong_manifest_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_that_is_not_utf8_is_refused_everywhere(tmp_path: Path) -> None:
    for name, row in (("m.csv", "video,label\na.mp4,caf\xe9\n"), ("m.jsonl", '{"video": "a.mp4", "label": "caf\xe9"}\n')):
        (tmp_path / name).write_bytes(row.encode("latin-1"))
        with pytest.raises(ValueError, match="is not UTF-8 text"):
            list(manifest.read_manifest(Data(manifest=str(tmp_path / name)), Storage()))
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + row.encode())
        assert next(manifest.read_manifest(Data(manifest=str(tmp_path / name)), Storage())).label.text == "café"


def test_columns_twice_and_labels_that_are_lists(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two columns 'video'"):
        read(tmp_path, "video,label,video\na.mp4,x,b.mp4\n")
    for cell in ("a\\u0000.mp4", "a\\ud800.mp4"):
        with pytest.raises(ValueError, match=r"line 1: video .*(holds a NUL|is not a text)"):
            read(tmp_path, f'{{"video": "{cell}", "label": "x"}}\n', "m.jsonl")
    with pytest.raises(ValueError, match=r"line 1: label .* is a list; write one label"):
        read(tmp_path, '{"video": "a.mp4", "label": ["x"]}\n', "m.jsonl")


def test_files_that_are_no_manifest(tmp_path: Path) -> None:
    for name, text, message in [
        ("m.jsonl", "{]\n", "line 1 is not JSON"),
        ("m.jsonl", "[1]\n", "item 0 is not a JSON object"),
        ("m.parquet", "nonsense", "is not a Parquet file"),
        ("m.doc", "x", "a manifest is .csv"),
    ]:
        with pytest.raises(ValueError, match=message):
            read(tmp_path, text, name)
    with pytest.raises(ValueError, match="no such file"):
        list(manifest.read_manifest(Data(manifest=str(tmp_path / "none.csv")), Storage()))
    with pytest.raises(ValueError, match="no manifest: set"):
        list(manifest.read_manifest(Data(), Storage()))


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.parquet", "m.csv.gz"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n", "is a pointer of Git LFS .*: git lfs pull"),
        ("\n<!doctype html>\n<html>", r"is a web page \(HTML\) in place of the file"),
    ],
)
def test_what_is_there_in_place_of_a_table_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text, name)


def test_missing_videos_are_counted_not_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    clips = read(tmp_path, "video,label\na.mp4,x\nb.mp4,y\nnone/c.mp4,z\n")
    looked = Listing(Storage())
    for clip in clips:
        looked.count(clip)
    assert (looked.missing.count, looked.missing.first) == (2, ["b", "none/c"])
    assert (looked.unanswered.count, looked.unlisted.count) == (0, 0)


def test_a_folder_of_pictures_is_missing_where_it_has_none(tmp_path: Path) -> None:
    for name in ("castle/00001.jpg", "empty/notes/a.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    looked = Listing(Storage())
    for name in ("castle", "empty", "none"):
        looked.count(a_clip(name, video=f"{tmp_path}/{name}#fps=3"))
    assert (looked.missing.first, looked.unanswered.count) == (["empty", "none"], 0)


def test_what_is_no_file_is_missing_at_ingest_as_it_is_in_the_run(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for name in ("a.mp4", "of two words.mp4"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, target in (("link", "a"), ("dangling", "none"), ("loop", "loop"), ("to_folder", "folder")):
        os.symlink(tmp_path / f"{target}.mp4", tmp_path / f"{name}.mp4")
    for name in ("folder.mp4/x", "a.mp4"):
        memory.pipe_file(f"{tmp_path}/{name}", b"x")
    names = ("a", "folder", "pipe", "link", "dangling", "loop", "to_folder")
    videos = [f"{tmp_path}/{name}.mp4" for name in names] + [f"file://{tmp_path}/of%20two%20words.mp4"]
    videos += [f"memory:/{tmp_path}/a.mp4", f"memory:/{tmp_path}/folder.mp4"]
    storage, looked, missing_in_run = Storage(), Listing(Storage()), []
    for video in videos:
        looked.count(a_clip(video, video=video))
        try:
            with storage.opened(video):
                pass
        except StorageError as error:
            missing_in_run += [video] * (error.trouble == "missing")
    memory.rm(str(tmp_path), recursive=True)
    assert looked.missing.first == missing_in_run
    assert [video.rsplit("/", 1)[-1] for video in missing_in_run] == [
        *(f"{name}.mp4" for name in ("folder", "pipe", "dangling", "loop", "to_folder")),
        "folder.mp4",
    ]


def test_a_folder_that_may_not_be_listed_says_nothing_about_its_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").write_bytes(b"x")
    scandir = os.scandir

    def refused(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)  # a test that runs as root may list any folder
    looked = Listing(Storage())
    for name in ("closed/a", "closed/b", "open/a", "open/b"):
        looked.count(a_clip(name, video=f"{tmp_path}/{name}.mp4"))
    assert (looked.unanswered.first, looked.missing.first) == (["closed/a", "closed/b"], ["open/b"])


@pytest.mark.waits
def test_storage_that_does_not_respond_is_asked_three_times() -> None:
    """A server that hangs up: three clips ask it, no other clip does, and another bucket is asked for itself."""
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                connections.append(address)
                connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        options = {"endpoint_url": f"http://127.0.0.1:{server.getsockname()[1]}", "key": "k", "secret": "s"}
        looked = Listing(Storage({"s3": options}, patience_s=0.0))
        counts = []
        for video in (
            "s3://bucket/0/a.mp4",
            "s3://bucket/1/a.mp4",
            "s3://bucket/2/a.mp4",
            "s3://bucket/3/a.mp4",
            "s3://other/0/a.mp4",
        ):
            looked.count(a_clip(video, video=video))
            counts.append(len(connections))
        server.shutdown(socket.SHUT_RDWR)
    assert 0 < counts[0] < counts[1] < counts[2] == counts[3] < counts[4]
    assert (looked.unanswered.count, looked.missing.count) == (5, 0)


@pytest.mark.waits
def test_servers_that_do_not_respond_count_as_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LISTED_FOLDERS", 2)
    looked = Listing(Storage(patience_s=0.0))
    videos = [a_clip(str(i), video=f"http://127.0.0.{i + 1}:1/a.mp4") for i in range(5)]
    assert list(looked.counted(videos)) == videos
    assert (looked.unanswered.count, looked.unlisted.count, looked.missing.count) == (2, 3, 0)


def test_no_folder_is_listed_once_the_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "BUDGET_S", 0.0)
    looked = Listing(Storage())
    looked.count(a_clip("a", video=f"{tmp_path}/a.mp4"))
    assert (looked.unlisted.count, looked.missing.count) == (1, 0)


@pytest.mark.parametrize("video", ["foo://h/v/b.mp4", "sftp://h/b.mp4", "http://user:pw@h/v.mp4"])
def test_a_video_that_no_storage_opens_is_unanswered(video: str) -> None:
    looked = Listing(Storage())
    looked.count(a_clip("a", video=video))
    assert (looked.unanswered.first, looked.missing.count) == (["a"], 0)


def test_a_bounded_number_of_folders_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LISTED_FOLDERS", 3)
    for i in range(5):
        (tmp_path / str(i)).mkdir()
        (tmp_path / str(i) / "a.mp4").write_bytes(b"x")
    looked = Listing(Storage())
    for i in (0, 1, 2, 3, 0, 4):
        looked.count(a_clip(str(i), video=f"{tmp_path}/{i}/a.mp4"))
    assert (looked.unlisted.count, looked.unlisted.first, looked.missing.count) == (2, ["3", "4"], 0)


def test_a_card_counts_what_there_is(tmp_path: Path) -> None:
    counts = Card()
    (tmp_path / "m.csv").write_text("video,label,split,clip_id\na.mp4,x,train,1\na.mp4,y,train,2\nb.mp4,x,heldout,3\n")
    for _ in manifest.read_manifest(Data(manifest=str(tmp_path / "m.csv")), Storage(), counts):
        pass
    assert counts.id_twice() is None
    assert counts.videos_in_several() == []
    assert counts.counts() == {"clips": 3, "videos": 2, "labels": 2, "labels_with_one_clip": 1, "train": 2, "heldout": 1}
    assert counts.heldout_videos() == 1


def test_a_label_of_several_lines_is_a_label_in_json_and_an_open_quote_in_csv(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"video": "a.mp4", "label": "line one\\nline two"}\n')
    (clip,) = manifest.read_manifest(Data(manifest=str(tmp_path / "m.jsonl")), Storage())
    assert clip.label.text == "line one\nline two"
    (tmp_path / "m.csv").write_text('video,label\na.mp4,"line one\nline two"\n')
    with pytest.raises(
        ValueError, match=r"m.csv line 2: label 'line one\\nline two' goes over several lines; is a quote not closed\?"
    ):
        list(manifest.read_manifest(Data(manifest=str(tmp_path / "m.csv")), Storage()))
