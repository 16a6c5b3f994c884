"""Pins the command line: help at once, one line and no traceback for what a user got wrong."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command import ROOT, Done, options, process, starloop
from engine.presets import load_config
from engine.run import loop
from jobs.exits import Exit
from videos import write_noisy

TINY = options(["model.allow_tiny=true"])
JOBS = [
    "demo",
    "ingest",
    "selftrain",
    "generate",
    "train",
    "evaluate",
    "submit",
    "make-base",
    "status",
    "failures",
    "doctor",
    "extend",
    "runs",
    "gc",
]


def assert_one_line(done: Done, message: str) -> None:
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_names_every_job_at_once() -> None:
    process("--help")  # the first run compiles
    start = time.monotonic()
    done = process("--help")
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
            ["generate", *TINY, "--set", "run.uri=m.csv", "--set", "data.manifest=m.csv"],
            "error: cannot create m.csv/config.json: a file is in the way",
        ),
        (
            ["generate", *TINY, "--set", "run.uri=/proc/x", "--set", "data.manifest=m.csv"],
            "error: cannot create /proc/x/config.json",
        ),
        (["selftrain", "--set", "data.manifest=m.csv"], "error: the manifest has no clips in split 'heldout'"),
        (["ingest", "m.csv", "--out", "m.csv/c.parquet"], "error: cannot write m.csv/c.parquet: a file is in the way"),
        (["ingest", "m.csv", "--out", "clips.csv"], "clips are written as one .parquet file"),
        (
            ["ingest", "m.csv", "--out", "c.parquet", "--set", "data.manifest=n.csv"],
            "error: --set data.manifest=n.csv: the manifest is",
        ),
        (
            ["submit", "own.toml", "--address", "http://127.0.0.1:1"],
            "error: run.uri = 'runs/default' is relative: the job would write into Ray's own copy",
        ),
        (["submit", "none.toml", "--address", "http://127.0.0.1:1"], "error: no such config"),
        (["demo", "--out", "s3://bucket/demo"], "error: --out s3://bucket/demo: this command writes into a folder of this machine"),
        (["icl", "--out", "m.csv"], "error: --out m.csv: Not a directory; choose another folder"),
        (["make-base", "--out", "m.csv"], "error: --out m.csv: File exists; choose another folder"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\n")
    (tmp_path / "own.toml").write_text("[model]\nallow_tiny = true\n")
    assert_one_line(starloop(*arguments, cwd=tmp_path), message)


def test_a_cluster_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # this process may be connected to the tests' own
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\n")
    sets = ["data.manifest=m.csv", "cluster.address=127.0.0.1:1", "model.allow_tiny=true"]
    assert_one_line(starloop("generate", *options(sets), cwd=tmp_path), "error: no Ray cluster at 127.0.0.1:1")


def test_a_machine_that_is_too_small_is_one_line(tmp_path: Path) -> None:
    """In a process of its own, which starts a Ray of its own: the interpreter prints the line and returns the status."""
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\n")
    sets = ["data.manifest=m.csv", "cluster.generator_actors=64", "model.allow_tiny=true"]
    assert_one_line(process("generate", *options(sets), cwd=tmp_path), "asks for 65 CPUs at once")


def test_a_mistake_does_not_claim_the_run_folder(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\n")
    assert starloop("generate", "--set", "data.manifest=mm.csv", cwd=tmp_path).returncode == 1
    assert not (tmp_path / "runs").exists()


def test_a_manifest_that_changed_is_not_ignored(tmp_path: Path) -> None:
    manifest, sets = tmp_path / "m.csv", [f"data.manifest={tmp_path}/m.csv", f"run.uri={tmp_path}/r", "model.allow_tiny=true"]
    manifest.write_text("video,label\na.mp4,x\n")
    loop.run(load_config(None, sets), lambda progress: None, until="ingest")
    manifest.write_text("video,label\na.mp4,y\n")
    remedy = f"or continue the run with what it holds now: `starloop extend {tmp_path}/r {manifest}`"
    for what in ("m.csv has changed since", remedy):
        assert_one_line(starloop("generate", *options(sets)), what)
    (tmp_path / "other.csv").write_text("video,label\na.mp4,y\n")
    other = [f"data.manifest={tmp_path}/other.csv", *sets[1:]]
    assert_one_line(starloop("generate", *options(other)), f"`starloop extend {tmp_path}/r {tmp_path}/other.csv`")


def test_a_placeholder_of_a_shipped_configuration_is_named() -> None:
    for what in ("BUCKET is a placeholder; name your own", "or plan on paper with --clips 10000"):
        assert_one_line(starloop("plan", "jobs/configs/pllava-7b.toml"), what)
    sets = options(["data.manifest=m.csv"])
    assert_one_line(starloop("generate", "jobs/configs/pllava-7b.toml", *sets), "run.uri is 's3://BUCKET/runs/pllava-7b'")


def test_a_run_of_one_cycle_says_before_it_generates_that_nothing_is_rationalized(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\n")
    sets = [f"data.manifest={tmp_path}/m.csv", f"run.uri={tmp_path}/r", "model.allow_tiny=true", "loop.max_cycles=1"]
    with caplog.at_level("INFO", logger="engine"):
        loop.run(load_config(None, sets), lambda progress: None, until="ingest")
    assert any(line.startswith("loop.max_cycles is 1: the only cycle is the last one") for line in caplog.messages)


def test_ingest_writes_clips_and_says_what_is_missing(tmp_path: Path) -> None:
    """The first time in a process of its own, as a user runs it."""
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\nb.mp4,y\n")
    (tmp_path / "a.mp4").write_bytes(b"x")
    done = process("ingest", "m.csv", "--out", "out/clips.parquet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "clips 2" in done.stdout
    assert "clips without a video: 1, among them b" in done.stdout
    again = starloop("ingest", "out/clips.parquet", "--out", "out/again.parquet", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out" / "clips.parquet").read_bytes() == (tmp_path / "out" / "again.parquet").read_bytes()


@pytest.mark.parametrize("job", ["status", "failures", "audit", "inspect", "lineage", "compare"])
def test_a_run_that_is_not_there_is_one_line(tmp_path: Path, job: str) -> None:
    line = "error: no run at nowhere: it has no config.json; name the folder or URI that run.uri named"
    more = ["x"] if job in ("inspect", "lineage", "compare") else []
    assert_one_line(starloop(job, "nowhere", *more, cwd=tmp_path), line)


@pytest.mark.parametrize(
    "arguments", [["status"], ["failures"], ["alpha-sweep"], ["attach", "--address", "http://127.0.0.1:1"], ["compare", "a"]]
)
def test_an_empty_name_is_not_the_working_directory(arguments: list[str]) -> None:
    done = starloop(*arguments, "")
    assert done.returncode == Exit.USAGE
    assert "it is empty; name the run's" in done.stderr


def test_a_key_that_no_run_writes_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"train": {"lrr": 1}}')
    assert_one_line(starloop("status", str(tmp_path)), "config.json is not what a run writes (no key 'train.lrr'; did you mean")


def test_sigterm_is_named_once_and_not_by_each_forked_process() -> None:
    """A pool's workers are forked with the handler of the command."""
    program = (
        "import os, signal, jobs.cli\n"
        "def app():\n"
        "    if (child := os.fork()) == 0:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    os.waitpid(child, 0)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "jobs.cli.app = app\n"
        "jobs.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (Exit.TERMINATED, "terminated; run the same command again to continue\n")


@pytest.mark.parametrize(("name", "status"), [("SIGINT", Exit.INTERRUPTED), ("SIGTERM", Exit.TERMINATED)])
def test_a_command_that_is_stopped_says_so_in_one_line(name: str, status: Exit) -> None:
    program = (
        "import os, signal, jobs.cli, jobs.status\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"jobs.status.status = lambda *_: os.kill(os.getpid(), signal.{name})\n"
        "jobs.cli.main()\n"
    )
    command = [sys.executable, "-c", program, "status", "r"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    words = {"SIGINT": "interrupted", "SIGTERM": "terminated"}[name]
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"{words}; run the same command again to continue\n")


@pytest.mark.parametrize(("name", "status"), [("SIGINT", Exit.INTERRUPTED), ("SIGTERM", Exit.TERMINATED)])
def test_a_signal_whose_exception_python_drops_stops_the_command_all_the_same(name: str, status: Exit) -> None:
    """What is raised in the callback of a weak reference goes nowhere."""
    program = (
        "import os, signal, time, weakref, jobs.cli, jobs.status\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Kept: pass\n"
        "def status(*_):\n"
        "    kept = Kept()\n"
        f"    reference = weakref.ref(kept, lambda _: os.kill(os.getpid(), signal.{name}) or time.time())\n"
        "    del kept\n"
        "    time.sleep(30)\n"
        "    print('it went on')\n"
        "jobs.status.status = status\n"
        "jobs.cli.main()\n"
    )
    command = [sys.executable, "-c", program, "status", "r"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    words = {"SIGINT": "interrupted", "SIGTERM": "terminated"}[name]
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"{words}; run the same command again to continue\n")


def test_ctrl_c_while_ray_starts_is_one_line() -> None:
    """A terminal sends it to the whole group, and the standard error is held back meanwhile."""
    program = (
        "import os, signal, jobs.cli, jobs.status\n"
        "from engine.connection import _quiet_stderr\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def status(*_):\n"
        "    with _quiet_stderr():\n"
        "        os.write(2, b'what Ray prints')\n"
        "        os.killpg(0, signal.SIGINT)\n"
        "jobs.status.status = status\n"
        "jobs.cli.main()\n"
    )
    command = [sys.executable, "-c", program, "status", "r"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, start_new_session=True)
    assert (done.returncode, done.stderr) == (Exit.INTERRUPTED, "interrupted; run the same command again to continue\n")


def test_what_runs_in_the_background_goes_on_ignoring_ctrl_c() -> None:
    program = (
        "import os, signal, jobs.cli\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "jobs.cli.app = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "jobs.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> tuple[Path, Done]:
    """A folder with a manifest of 30 clips without videos, a run `r` that too many failures stopped, and what the command said."""
    folder = tmp_path_factory.mktemp("stopped")
    (folder / "m.csv").write_text("video,label\n" + "".join(f"v{i:02d}.mp4,x\n" for i in range(30)))
    return folder, starloop(*GENERATE, cwd=folder)


GENERATE = ["generate", *TINY, *options(["data.manifest=m.csv", "run.uri=r", "generate.piece_clips=10"])]


@pytest.mark.ray
def test_too_many_failures_stop_the_step_and_say_why(stopped: tuple[Path, Done]) -> None:
    folder, done = stopped
    assert_one_line(done, "error: cycle-000/generate stopped: ")
    assert "clips failed (missing " in done.stderr
    assert "more than limits.failure_rate = 0.2; `starloop failures r` lists them" in done.stderr
    lines = starloop("status", "r", cwd=folder).stdout
    assert "cycle-000/generate" in lines
    assert "not finished, " in lines
    assert " missing" in lines
    assert "starloop failures r names what failed" in lines


@pytest.mark.ray
def test_a_higher_limit_lets_a_stopped_run_go_on_and_what_failed_is_listed_and_tried_again(
    stopped: tuple[Path, Done], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(stopped[0], folder)
    arguments = [*GENERATE, "--set", "limits.failure_rate=1.0"]
    done = starloop(*arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "30 missing" in done.stdout
    assert "nothing to do" in starloop(*arguments, cwd=folder).stdout
    *listed, total = starloop("failures", "r", cwd=folder).stdout.splitlines()
    names = [["cycle-000/generate", f"v{i:02d}", "missing"] for i in range(30)]
    assert sorted(line.split("\t")[:3] for line in listed) == names
    assert total == "30 failed: 30 missing"
    lines = starloop("status", "r", cwd=folder).stdout
    assert "cycle-000/generate" in lines
    assert "30 missing" in lines
    assert "no driver holds the lease" in lines
    assert "no clip failed as codec" in starloop("failures", "r", "--retry", "codec", cwd=folder).stdout
    assert "known are missing, denied" in starloop("failures", "r", "--retry", "bogus", cwd=folder).stderr
    assert "--rewind goes with --retry KIND" in starloop("failures", "r", "--rewind", cwd=folder).stderr
    write_noisy(stopped[0] / "v00.mp4", 2, 64, 64)  # clips name their videos by absolute paths
    text = starloop("failures", "r", "--retry", "missing", cwd=folder).stdout
    assert "30 clips of cycle-000/generate failed as missing; they are in 3 pieces, whose 30 clips will be made again" in text
    assert ["cycle-000/generate", "next"] in [line.split() for line in starloop("status", "r", cwd=folder).stdout.splitlines()]
    again = starloop(*arguments, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "29 missing" in starloop("status", "r", cwd=folder).stdout
    assert "no file is damaged" in starloop("failures", "r", "--retry", "damaged", cwd=folder).stdout
    for name, message in (("cycle-000/generate/seal.json", "is not a valid seal"), ("config.json", "is not what a run writes")):
        (folder / "r" / name).write_text("{")
        assert_one_line(starloop("status", "r", cwd=folder), f"error: {folder}/r/{name} {message}")


@pytest.mark.ray
def test_the_doctor_finds_what_is_wrong(tmp_path: Path, ray_cluster: None) -> None:
    (tmp_path / "m.csv").write_text("video,label\na.mp4,x\nb.mp4,y\n")
    (tmp_path / "b.mp4").write_text("not a video")
    sets = ["data.manifest=m.csv", "model.base=/nowhere", "cluster.generator_actors=8", "cluster.generator_gpus=1", "run.uri=m.csv"]
    environment = {"RAY_DATA_AUTOLOAD_PICKLE_OBJECT_SCALAR": "1"}
    done = starloop("doctor", *options(sets), cwd=tmp_path, environment=environment)
    assert done.returncode == 1
    bad = [line for line in done.stdout.splitlines() if line.startswith("not ok")]
    for text in (
        "RAY_DATA_AUTOLOAD_PICKLE_OBJECT_SCALAR lets data files run code; unset it",
        "run folder: cannot create m.csv",
        "no clips in split 'heldout': selftrain will refuse it; give it a split column",
        "model: no checkpoint folder '/nowhere'",
        "1 of 2 sampled clips: missing",
        "1 of 2 sampled clips: not_video",
        "8 GPU are asked for at once",
    ):
        assert any(text in line for line in bad), text
    good = [line for line in done.stdout.splitlines() if line.startswith("ok")]
    assert any("manifest: clips 2" in line for line in good)
    assert "Traceback" not in done.stderr


def test_only_commands_with_a_log_have_its_form(tmp_path: Path) -> None:
    """The environment of a pod holds for a `starloop status` in it, too, whose table is for people."""
    as_json = {"STARLOOP_LOG_FORMAT": "json"}
    refused = starloop("status", str(tmp_path), environment=as_json)
    assert refused.stderr.startswith("error: no run at ")
    refused = starloop("selftrain", "--set", "nothing=1", environment=as_json)
    [error] = [json.loads(line) for line in refused.stderr.splitlines()]
    assert (refused.returncode, error["level"]) == (1, "ERROR")
    assert "nothing" in error["message"]
    assert "exception" not in error
    assert starloop("selftrain", "--set", "nothing=1", "--log-format", "text", environment=as_json).stderr.startswith("error: ")
    assert starloop("selftrain", "--log-format", "xml").returncode == 2
