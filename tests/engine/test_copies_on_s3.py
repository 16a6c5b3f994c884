"""Pins that a run's own ingest step finds copies on an object store, at one listing a folder, and only where shares decide."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import s3fs

from command import starloop
from engine.config import Data
from engine.ingest.manifest import read_manifest
from engine.presets import load_config
from engine.run import loop
from engine.store.files import Store
from engine.store.filesystems import Storage
from object_store import BUCKET, READER_KEY, READER_SECRET, Swift

pytestmark = pytest.mark.timeout(120)
NUM_PAIRS = 30


@pytest.fixture(scope="module")
def names(swift: Swift) -> list[str]:
    """NUM_PAIRS videos, each there under two names."""
    data = {f"{letter}{number}.mp4": bytes([number]) * 2000 for number in range(NUM_PAIRS) for letter in "ab"}
    swift.filesystem().pipe({f"s3://{BUCKET}/pairs/{name}": content for name, content in data.items()})
    return list(data)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Requests for a listing, as they are sent: the prefixes."""
    prefixes: list[str] = []
    iterdir = s3fs.S3FileSystem._iterdir

    def counting(self: s3fs.S3FileSystem, bucket: str, *arguments: Any, **options: Any) -> Any:
        prefixes.append(options.get("prefix", ""))
        return iterdir(self, bucket, *arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_iterdir", counting)
    return prefixes


Run = Callable[..., tuple[dict[str, str], list[str]]]


@pytest.fixture
def run(swift: Swift, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Run:
    """run("video,label\\n...", *settings): the split of each clip by its id, and what the ingest step says; the run stays."""

    def run(manifest: str | Path, *more: str, until: str = "ingest") -> tuple[dict[str, str], list[str]]:
        if isinstance(manifest, str):
            (tmp_path / "m.csv").write_text(manifest)
            manifest = tmp_path / "m.csv"
        sets = [f"data.manifest={manifest}", f"run.uri={tmp_path / 'run'}", f"storage.s3.endpoint_url={swift.endpoint}", *more]
        caplog.clear()
        with caplog.at_level(logging.INFO):
            loop.run(load_config(None, [*sets, "model.allow_tiny=true"]), lambda progress: None, until=until)
        store = Store(str(tmp_path / "run"))
        tables = [store.read_table(f"ingest/{split}/00000.parquet") for split in ("train", "heldout")]
        return {row["clip_id"]: row["split"] for table in tables for row in table.to_pylist()}, caplog.messages

    return run


def rows(names: list[str]) -> str:
    return "video,label\n" + "".join(f"s3://{BUCKET}/pairs/{name},x\n" for name in names)


def halves(splits: dict[str, str]) -> set[tuple[str, str]]:
    """The splits of the two names of each video."""
    uri = f"s3://{BUCKET}/pairs"
    return {(splits[f"{uri}/a{number}"], splits[f"{uri}/b{number}"]) for number in range(NUM_PAIRS)}


def test_a_run_puts_all_names_of_an_object_into_one_split_at_one_request(names: list[str], run: Run, listed: list[str]) -> None:
    splits, messages = run(rows(names), "data.heldout=0.5")
    assert halves(splits) == {("train", "train"), ("heldout", "heldout")}
    assert listed == ["pairs/"]
    assert "looked for copies: listed 1 folders of object stores" in messages
    assert any("videos are there under several names" in line for line in messages)
    again, messages = run(rows(names), "data.heldout=0.5")
    assert (again, listed) == (splits, ["pairs/"]), "a run that goes on lists nothing"
    assert any("nothing to do" in line for line in messages)


def test_a_split_that_is_fixed_lists_nothing(swift: Swift, names: list[str], run: Run, listed: list[str], tmp_path: Path) -> None:
    (tmp_path / "raw.csv").write_text(rows(names))
    sets = ["--set", f"storage.s3.endpoint_url={swift.endpoint}", "--set", "data.heldout=0.5"]
    done = starloop("ingest", str(tmp_path / "raw.csv"), "--out", str(tmp_path / "clips.parquet"), *sets)
    assert done.returncode == 0, done.stderr
    listed.clear()
    splits, _ = run(tmp_path / "clips.parquet")
    assert listed == []
    fixed = pq.read_table(tmp_path / "clips.parquet").to_pylist()
    assert splits == {row["clip_id"]: row["split"] for row in fixed}
    assert halves(splits) == {("train", "train"), ("heldout", "heldout")}


def test_a_named_split_that_a_copy_contradicts_is_refused_where_other_rows_name_none(names: list[str], run: Run) -> None:
    videos = [f"s3://{BUCKET}/pairs/{name}" for name in names]
    text = "video,label,split\n" + "".join(
        f"{video},x,{split}\n" for video, split in zip(videos, ["train", "val", "", ""], strict=False)
    )
    with pytest.raises(ValueError, match=r"line 3: video .*b0.mp4, heldout here, is a copy of .*a0.mp4, train at .*; put copies"):
        run(text, "data.heldout=0.5")


def test_a_split_that_copies_leave_empty_is_refused(names: list[str], s3: Storage, run: Run, tmp_path: Path) -> None:
    """Of a pair whose shares alone would part it, before the first step that needs both splits."""
    for number in range(NUM_PAIRS):
        (tmp_path / "m.csv").write_text(rows([f"a{number}.mp4", f"b{number}.mp4"]))
        if len({clip.split for clip in read_manifest(Data(manifest=str(tmp_path / "m.csv"), heldout=0.5), s3)}) == 2:
            break
    with pytest.raises(ValueError, match=r"the manifest has no clips in split '(train|heldout)'"):
        run(tmp_path / "m.csv", "data.heldout=0.5", until="")


def test_a_listing_that_is_refused_is_one_line(swift: Swift, names: list[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = swift.filesystem()
    owner.mkdir("unlisted-pairs")
    owner.pipe({f"s3://unlisted-pairs/v/{name}": b"1" * 2000 for name in names})
    swift.configure_bucket("unlisted-pairs", X_Container_Read=".r:*")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", READER_SECRET)
    s3fs.S3FileSystem.clear_instance_cache()
    text = rows(names).replace(f"{BUCKET}/pairs", "unlisted-pairs/v")
    splits, messages = run(text, "data.heldout=0.5")
    assert {*splits.values()} == {"train", "heldout"}
    [note] = [line for line in messages if "copies were not looked for" in line]
    start = (
        f"copies were not looked for among {len(names)} videos (s3://unlisted-pairs/v/a0.mp4 ...), so one of them may be in both"
    )
    assert note.startswith(start)
    assert "\n" not in note
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_listing_that_is_not_answered_is_one_line(run: Run, swift: Swift, names: list[str]) -> None:
    swift.stop("container")
    try:
        splits, messages = run(rows(names), "data.heldout=0.5", "limits.storage_patience_s=0")
    finally:
        swift.start("container")
    assert {*splits.values()} == {"train", "heldout"}
    assert sum("copies were not looked for among 60 videos" in line for line in messages) == 1
