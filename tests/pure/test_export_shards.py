"""Pins what becomes of WebDataset shards whose videos cannot be read: a counted row, or an export that stops and goes on later."""

import json
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from engine.decode.frame_folder import opened
from engine.export.export import FAILURES, export
from engine.export.kept import Source
from engine.rows import Clip
from engine.run.work import read_seals
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.outage import Places
from engine.store.troubles import StorageError
from kept_runs import a_run, answers_to, clips_of, with_videos
from web_server import WebServer

pytestmark = pytest.mark.waits


def a_source(folder: Path, clips: list[Clip], etags: list[str]) -> Source:
    store = Store(str(folder))
    config = a_run(store, clips, answers_to(clips, etags))
    return Source(store=store, config=config, sealed=read_seals(store), cycle=0)


def members(folder: Path) -> list[str]:
    names = list[str]()
    for path in sorted(folder.glob("data/*.tar")):
        with tarfile.open(path) as archive:
            names += archive.getnames()
    return names


def test_credentials_that_expire_stop_an_export_and_the_same_call_goes_on(tmp_path: Path) -> None:
    with_videos(tmp_path / "videos", 9)
    with WebServer(tmp_path / "videos") as web:
        source = a_source(tmp_path / "run", clips_of(9, web.url("ranges")), [""] * 9)
        out, unfinished = Store(str(tmp_path / "out")), tmp_path / ".out.unfinished"
        web.denied = {"a6.mp4"}
        with pytest.raises(StorageError, match=r"a6.mp4: .*; check permissions, and for an object store credentials"):
            export(source, "webdataset", out, shard_rows=4)
        assert (out.names(""), members(unfinished)) == ([], [f"0000000{n}.{kind}" for n in range(4) for kind in ("mp4", "json")])
        web.denied = set()
        done = export(source, "webdataset", out, shard_rows=4)
        assert (done.rows, done.failures) == ({"train": 6}, {})
        assert len(members(tmp_path / "out")) == 12


def test_too_many_rows_without_their_video_stop_an_export_which_goes_on_with_the_shards_that_lack_rows(tmp_path: Path) -> None:
    clips, _ = with_videos(tmp_path / "videos", 48)
    source, out = a_source(tmp_path / "run", clips, [""] * 48), Store(str(tmp_path / "out"))
    for clip in clips[:30]:
        Path(clip.video).unlink()
    stopped = r"the export of train stopped: 20 of 24 rows failed \(missing 20\), more than limits.failure_rate = 0.2; .*/failures"
    with pytest.raises(ValueError, match=stopped):
        export(source, "webdataset", out, shard_rows=8)
    assert out.names("") == []
    left = tmp_path / ".out.unfinished" / FAILURES / "train-00000-of-00004.jsonl"
    assert len(left.read_text().splitlines()) == 8
    limits = source.config.limits.model_copy(update={"failure_rate": 0.9})
    patient = replace(source, config=source.config.model_copy(update={"limits": limits}))
    assert export(patient, "webdataset", Store(str(tmp_path / "few")), shard_rows=8).failures == {"missing": 20}
    with_videos(tmp_path / "videos", 48)
    done = export(source, "webdataset", out, shard_rows=8)
    assert (done.rows, done.failures, out.names(FAILURES)) == ({"train": 32}, {}, [])


def test_a_folder_of_pictures_is_one_file_of_a_shard_and_no_row_of_a_text_format(tmp_path: Path) -> None:
    clips, etags = with_videos(tmp_path / "videos", 4)
    (tmp_path / "videos" / "castle").mkdir()
    for number in range(3):
        (tmp_path / "videos" / "castle" / f"{number}.jpg").write_bytes(f"picture {number}".encode())  # no decoder opens it
    clips[0] = replace(clips[0], video=f"{tmp_path}/videos/castle#fps=3")
    with opened(Places(Storage()), Storage(), clips[0].video, 1 << 20) as film:
        content = film.read(0, film.size)
        source = a_source(tmp_path / "run", clips, [film.etag, *etags[1:]])
    done = export(source, "webdataset", Store(str(tmp_path / "out")))
    assert (done.rows, done.failures) == ({"train": 3}, {})
    assert members(tmp_path / "out")[:3] == ["00000000.mkv", "00000000.json", "00000001.mp4"]
    with tarfile.open(tmp_path / "out" / "data" / "train-00000-of-00001.tar") as archive:
        assert (archive.extractfile("00000000.mkv") or BytesIO()).read() == content
    done = export(source, "messages", Store(str(tmp_path / "text")))
    assert (done.rows, done.failures) == ({"train": 2}, {"not_video": 1})
    failure = json.loads((tmp_path / "text" / FAILURES / "train.jsonl").read_text())
    assert failure["detail"].endswith(
        "castle#fps=3 is a folder of pictures, and ms-swift, LLaMA-Factory open files; --format webdataset holds it as one"
    )


def test_a_split_without_a_video_that_can_be_read_is_no_export(tmp_path: Path) -> None:
    clips, etags = with_videos(tmp_path / "videos", 3)
    source = a_source(tmp_path / "run", clips, etags)
    for clip in clips:
        Path(clip.video).unlink()
    with pytest.raises(ValueError, match=r"stopped: none of its 2 rows could be written \(missing 2\); .* then the same command"):
        export(source, "webdataset", Store(str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
    lines = (tmp_path / ".out.unfinished" / FAILURES / "train-00000-of-00001.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["missing", "missing"]
