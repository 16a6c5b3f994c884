"""Pins the command line: help at once, one line and no traceback for what a user got wrong."""

import time
from pathlib import Path

import pytest

from command import starloop
from videos import write_noisy

JOBS = ["demo", "ingest", "selftrain", "generate", "train", "evaluate", "submit", "make-base", "status", "failures", "doctor"]


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
        (["selftrain", "--set", "data.manifest=none.csv"], "error: no such file: none.csv"),
        (["generate", "--set", "model.base=/nowhere", "--set", "data.manifest=m.csv"], "error: no checkpoint folder '/nowhere'"),
        (
            ["generate", "--set", "run.uri=m.csv", "--set", "data.manifest=m.csv"],
            "error: cannot create m.csv/config.json: a file is in the way",
        ),
        (["generate", "--set", "run.uri=/proc/x", "--set", "data.manifest=m.csv"], "error: cannot create /proc/x/config.json"),
        (
            ["generate", "--set", "data.manifest=m.csv", "--set", "cluster.address=127.0.0.1:1"],
            "error: no Ray cluster at 127.0.0.1:1",
        ),
        (["generate", "--set", "data.manifest=m.csv", "--set", "cluster.generator_gpus=64"], "asks for 64 GPUs at once"),
        (["selftrain", "--set", "data.manifest=m.csv"], "error: the manifest has no clips in split 'heldout'"),
        (["ingest", "m.csv", "--out", "m.csv/c.parquet"], "error: cannot write m.csv/c.parquet: a file is in the way"),
        (["ingest", "m.csv", "--out", "clips.csv"], "clips are written as one .parquet file"),
        (
            ["ingest", "m.csv", "--out", "c.parquet", "--set", "data.manifest=n.csv"],
            "error: --set data.manifest=n.csv: the manifest is",
        ),
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


def test_status_and_failures_of_a_run_that_is_not_there(tmp_path: Path) -> None:
    for job in ("status", "failures"):
        done = starloop(job, "nowhere", cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr == "error: no run at nowhere: it has no config.json\n"


def test_failures_are_listed_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\nb.mp4,y\n")
    arguments = ["generate", "--set", "data.manifest=m.csv", "--set", "run.uri=r"]
    assert starloop(*arguments, cwd=tmp_path).returncode == 0
    listed = starloop("failures", "r", cwd=tmp_path)
    assert [line.split("\t")[:3] for line in listed.stdout.splitlines()[:2]] == [
        ["cycle-000/generate", "a", "missing"],
        ["cycle-000/generate", "b", "missing"],
    ]
    assert "2 failed: 2 missing" in listed.stdout
    told = starloop("status", "r", cwd=tmp_path).stdout
    assert "cycle-000/generate" in told
    assert "2 missing" in told
    assert "no driver holds the lease" in told
    write_noisy(tmp_path / "a.mp4", 2, 64, 64)
    assert "no clip failed as codec" in starloop("failures", "r", "--retry", "codec", cwd=tmp_path).stdout
    assert "known are missing, denied" in starloop("failures", "r", "--retry", "bogus", cwd=tmp_path).stderr
    assert "--rewind goes with --retry KIND" in starloop("failures", "r", "--rewind", cwd=tmp_path).stderr
    told = starloop("failures", "r", "--retry", "missing", cwd=tmp_path).stdout
    assert "2 clips of cycle-000/generate failed as missing; the 2 clips of their 1 pieces will be made again" in told
    assert ["cycle-000/generate", "next"] in [line.split() for line in starloop("status", "r", cwd=tmp_path).stdout.splitlines()]
    again = starloop(*arguments, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "1 missing" in starloop("status", "r", cwd=tmp_path).stdout
    assert "no piece is damaged" in starloop("failures", "r", "--retry", "damaged", cwd=tmp_path).stdout
    for name, message in (("cycle-000/generate/seal.json", "is not a valid seal"), ("config.json", "is not what a run writes")):
        (tmp_path / "r" / name).write_text("{")
        told = starloop("status", "r", cwd=tmp_path)
        assert told.stderr.startswith(f"error: {tmp_path}/r/{name} {message}")
        assert told.stderr.count("\n") == 1


def test_too_many_failures_stop_the_step_and_say_why(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("video,label\n" + "".join(f"v{i}.mp4,x\n" for i in range(60)))
    arguments = ["generate", "--set", "data.manifest=m.csv", "--set", "generate.piece_clips=10"]
    stopped = starloop(*arguments, cwd=tmp_path)
    assert stopped.returncode == 1
    assert "error: cycle-000/generate stopped: " in stopped.stderr
    assert "clips failed (missing " in stopped.stderr
    assert "more than limits.failure_rate = 0.2; `starloop failures runs/default` lists them" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    told = starloop("status", "runs/default", cwd=tmp_path).stdout
    assert "cycle-000/generate" in told
    assert "not finished, " in told
    assert " missing" in told
    assert "starloop failures runs/default names the failed clips" in told
    assert starloop(*arguments, "--set", "limits.failure_rate=1.0", cwd=tmp_path).returncode == 0


def test_the_doctor_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\nb.mp4,y\n")
    (tmp_path / "b.mp4").write_text("not a video")
    sets = ["data.manifest=m.csv", "model.base=/nowhere", "cluster.generator_gpus=8", "run.uri=m.csv"]
    environment = {"RAY_DATA_AUTOLOAD_PICKLE_OBJECT_SCALAR": "1"}
    done = starloop("doctor", *(part for one in sets for part in ("--set", one)), cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    bad = [line for line in done.stdout.splitlines() if line.startswith("not ok")]
    for text in (
        "RAY_DATA_AUTOLOAD_PICKLE_OBJECT_SCALAR lets data files run code; unset it",
        "run folder: cannot create m.csv",
        "no clips in split 'heldout': selftrain will refuse it; give it a split column",
        "model: no checkpoint folder '/nowhere'",
        "1 of 2 sampled clips: missing",
        "1 of 2 sampled clips: not_video",
        "asks for 8 GPUs at once",
    ):
        assert any(text in line for line in bad), text
    good = [line for line in done.stdout.splitlines() if line.startswith("ok")]
    assert any("manifest: clips 2" in line for line in good)
    assert "Traceback" not in done.stderr
