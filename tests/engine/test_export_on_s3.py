"""Pins that a run in an object store is read and exported there, videos too, and that a stopped export there goes on."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from command import starloop
from engine import load_attempts, load_examples
from engine.export.export import export
from engine.export.kept import Source
from engine.run.work import read_seals
from engine.store.files import Store
from engine.store.filesystems import Storage
from kept_runs import a_run, answers_to, clips_of
from object_store import BUCKET


def test_a_run_in_s3_is_taken_away_to_s3(s3: Storage, tmp_path: Path) -> None:
    store, videos = Store(f"s3://{BUCKET}/taken/run", s3), Store(f"s3://{BUCKET}/taken/videos", s3)
    clips, etags = clips_of(6, videos.url()), []
    for clip in clips:
        videos.write(clip.video.rpartition("/")[2], clip.clip_id.encode() * 1000)
        with s3.opened(clip.video) as source:
            etags.append(source.etag)
    config = a_run(store, clips, answers_to(clips, etags))
    assert load_attempts(store.url(), storage=s3.options).table().num_rows == 10
    ids = [example.example_id for example in load_examples(store.url(), storage=s3.options)]
    videos.delete("a1.mp4")

    taken = Source(store=store, config=config, sealed=read_seals(store), cycle=0)
    out = Store(f"s3://{BUCKET}/taken/shards", s3)
    done = export(taken, "webdataset", out, shard_rows=2)
    assert (done.rows, done.failures, done.is_new) == ({"train": 3}, {"missing": 1}, True)
    assert out.names("data") == ["train-00000-of-00002.tar", "train-00001-of-00002.tar"]
    assert not export(taken, "webdataset", out, shard_rows=2).is_new

    [endpoint] = [["--set", f"storage.s3.{key}={value}"] for key, value in s3.options["s3"].items() if key == "endpoint_url"]
    named = Store(f"s3://{BUCKET}/taken/tables", s3)
    command = starloop("export-data", store.url(), "--format", "hub", "--out", named.url(), *endpoint)
    assert command.returncode == 0, command.stderr
    table = pq.read_table(pa.BufferReader(named.read("data/train-00000-of-00001.parquet") or b""))
    assert table["example_id"].to_pylist() == ids
    assert table["video"][0].as_py() == f"{videos.url()}/a0.mp4"
