"""Pins the command line: help at once, one line and no traceback for what a user got wrong."""

import time
from pathlib import Path

import pytest

from command import starloop

JOBS = ["demo", "ingest", "selftrain", "generate", "train", "evaluate", "submit", "make-base"]


def test_help_names_every_job_at_once() -> None:
    starloop("--help")  # the first run compiles
    start = time.monotonic()
    done = starloop("--help")
    seconds = time.monotonic() - start
    assert done.returncode == 0
    assert all(job in done.stdout for job in JOBS)
    assert seconds < 3  # well under one on an idle machine; tests share theirs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["selftrain", "--set", "train.rate=1"], "error: --set: no key 'train.rate'"),
        (["selftrain", "none.toml"], "error: no such config: none.toml"),
        (["selftrain"], "error: no manifest: set data.manifest"),
        (["selftrain", "--set", "data.manifest=none.csv"], "error: no such manifest: none.csv"),
        (["generate", "--set", "model.base=/nowhere", "--set", "data.manifest=m.csv"], "error: no checkpoint folder '/nowhere'"),
        (["generate", "--set", "run.uri=m.csv", "--set", "data.manifest=m.csv"], "error: run.uri 'm.csv' cannot be written"),
        (["generate", "--set", "run.uri=/proc/x", "--set", "data.manifest=m.csv"], "error: run.uri '/proc/x' cannot be written"),
        (
            ["generate", "--set", "data.manifest=m.csv", "--set", "cluster.address=127.0.0.1:1"],
            "error: no Ray cluster at 127.0.0.1:1",
        ),
        (["generate", "--set", "data.manifest=m.csv", "--set", "cluster.generator_gpus=64"], "asks for 64 GPUs at once"),
        (["selftrain", "--set", "data.manifest=m.csv"], "error: the manifest has no clips in split 'heldout'"),
        (["ingest", "m.csv", "--out", "m.csv/c.parquet"], "error: --out m.csv/c.parquet cannot be written"),
        (["ingest", "m.csv", "--out", "clips.csv"], "clips are written as one .parquet file"),
        (["submit", "none.toml", "--address", "http://127.0.0.1:1"], "error: no such config"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\n")
    done = starloop(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_mistake_does_not_claim_the_run_folder(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\n")
    assert starloop("generate", "--set", "data.manifest=mm.csv", cwd=tmp_path).returncode == 1
    assert not (tmp_path / "runs").exists()


def test_a_manifest_that_changed_is_not_ignored(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\n")
    arguments = ["generate", "--set", "data.manifest=m.csv"]
    done = starloop(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 missing" in done.stdout
    assert "nothing to do" in starloop(*arguments, cwd=tmp_path).stdout
    (tmp_path / "m.csv").write_text("video,label\na.mp4,y\n")
    changed = starloop(*arguments, cwd=tmp_path)
    assert changed.returncode == 1
    assert "m.csv has changed since" in changed.stderr


def test_ingest_writes_clips_and_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\nb.mp4,y\n")
    (tmp_path / "a.mp4").write_bytes(b"x")
    done = starloop("ingest", "m.csv", "--out", "out/clips.parquet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "clips 2" in done.stdout
    assert "1 clips have no video (b" in done.stdout
    again = starloop("ingest", "out/clips.parquet", "--out", "out/again.parquet", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out" / "clips.parquet").read_bytes() == (tmp_path / "out" / "again.parquet").read_bytes()
