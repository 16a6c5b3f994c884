"""Pins the logs of real runs: JSON lines of the driver and of Ray's processes, each with its place, on standard output and in the
run's folder; what is kept of a run that ends well, of one that an error ends, and of one that is terminated.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from command import ROOT, options, starloop
from engine.presets import load_config
from engine.run import loop
from engine.run.work import Progress
from engine.store.files import Store
from loops import settings

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]
SILENT = "http://127.0.0.1:9/gone.mp4"
"""A web server that refuses each connection: the process that decodes warns about it, and the clip fails."""


def a_manifest(folder: Path, world: Path, heldout: int, others: list[str]) -> Path:
    """So many held-out clips of the world, and held-out clips with other videos."""
    rows = [json.loads(line) for line in world.read_text().splitlines()]
    chosen = [row | {"video": str(world.parent / row["video"])} for row in rows if row["split"] == "heldout"][:heldout]
    chosen += [chosen[0] | {"video": video, "clip_id": f"other-{number}"} for number, video in enumerate(others)]
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in chosen))
    return path


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_driver_and_ray_s_processes_log_json_with_their_places(tmp_path: Path, world: Path, ray_cluster: None) -> None:
    manifest, run = a_manifest(tmp_path, world, 3, [SILENT]), tmp_path / "run"
    arguments = [*settings(manifest, run), "limits.storage_patience_s=1", "data.heldout=0"]
    done = starloop("evaluate", *options(arguments), "--log-format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = objects(done.stdout)
    for line in lines:
        assert {"time", "severity", "level", "logger", "message"} <= set(line), line
        assert line["time"].endswith("Z")
    sealed = next(line for line in lines if line["message"].startswith("base/evaluate: "))
    assert (sealed["run"], sealed["step"], sealed["pool"], sealed["level"]) == (str(run), "base/evaluate", "driver", "INFO")
    assert any(line.get("done") == line.get("total") == 4 and line["unit"] == "clips" for line in lines if "unit" in line)
    summary = next(line["summary"] for line in lines if "summary" in line)
    assert summary["heldout_clips"] == 4
    warnings = [line for line in lines if line["level"] == "WARNING" and line.get("pool") == "decode"]
    assert warnings, done.stdout
    assert warnings[0]["logger"] == "engine.store.filesystems"
    assert "cannot read http://127.0.0.1:9/gone.mp4" in warnings[0]["message"]
    assert (warnings[0]["run"], warnings[0]["step"]) == (str(run), "base/evaluate")
    [piece] = {line["piece"] for line in warnings}
    assert {row["piece_id"] for row in rows_of(Store(str(run)), "base/evaluate")} == {piece}
    folder = run / "logs" / "00001"
    assert sorted(path.name for path in folder.iterdir()) == [
        "cluster.json", "command.json", "driver.log", "ray-data.txt", "workers.log",
    ]  # fmt: skip
    kept = objects((folder / "driver.log").read_text())
    assert any(line.get("piece") == piece and line["pool"] == "decode" for line in kept)
    assert kept[-1]["message"] == "the command ended: finished"
    assert "gone.mp4" in (folder / "workers.log").read_text()
    stats = (folder / "ray-data.txt").read_text()
    assert stats.startswith("base/evaluate\n")
    assert all(f"Operator {number} " in stats for number in (1, 2, 3)), stats
    command, cluster = (json.loads((folder / name).read_text()) for name in ("command.json", "cluster.json"))
    assert (command["outcome"], command["until"]) == ("finished", "base/evaluate")
    assert command["config"]["limits"]["storage_patience_s"] == 1
    assert cluster["resources"]["CPU"] == cluster["nodes"][0]["resources"]["CPU"]


def rows_of(store: Store, step: str) -> list[dict[str, Any]]:
    return [row for name in store.names(f"{step}/pieces") for row in store.read_table(f"{step}/pieces/{name}").to_pylist()]


def test_training_ranks_have_their_place(tmp_path: Path, world: Path, ray_cluster: None) -> None:
    rows = [json.loads(line) for line in world.read_text().splitlines()]
    train = [row | {"video": str(world.parent / row["video"])} for row in rows if row["split"] == "train"][10:14]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in train))
    run = tmp_path / "run"
    arguments = [*settings(tmp_path / "manifest.jsonl", run), "data.heldout=0", "select.source=template", "train.epochs=1.0"]
    done = starloop("train", *options(arguments), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = run / "logs" / "00001"
    assert json.loads((folder / "command.json").read_text())["until"] == "cycle-000/train"
    text = (folder / "driver.log").read_text()
    assert "INFO    [cycle-000/train] cycle-000/train: it begins" in text
    assert re.search(r"INFO    \[cycle-000/train\] cycle-000/train: loss .*, steps 1, ", text), text
    assert re.search(r"INFO    \[cycle-000/train train\] rank 0 of 1 trains on \S+$", (folder / "workers.log").read_text(), re.M)
    assert "rank 0 of 1" not in text + done.stdout


def test_the_error_that_ends_a_run_is_kept_and_is_one_line(tmp_path: Path, world: Path, ray_cluster: None) -> None:
    missing = [f"/no/such/video-{number}.mp4" for number in range(21)]
    manifest, run = a_manifest(tmp_path, world, 1, missing), tmp_path / "run"
    arguments = [*settings(manifest, run), "data.heldout=0"]
    done = starloop("evaluate", *options(arguments), "--log-format", "json", cwd=tmp_path)
    assert done.returncode == 1
    [error] = objects(done.stderr)
    assert error["level"] == "ERROR"
    assert "base/evaluate stopped" in error["message"]
    assert "exception" not in error
    folder = run / "logs" / "00001"
    command = json.loads((folder / "command.json").read_text())
    assert (command["outcome"], command["error"]) == ("failed", error["message"])
    last = objects((folder / "driver.log").read_text())[-1]
    assert (last["level"], last["step"]) == ("ERROR", "base/evaluate")
    assert last["exception"].splitlines()[-1].startswith("ValueError: base/evaluate stopped")
    assert (folder / "ray-data.txt").exists()


def test_a_command_that_is_terminated_leaves_its_logs(tmp_path: Path, world: Path, ray_cluster: None) -> None:
    """As the handler of SIGTERM does it, in this process: it raises SystemExit wherever the driver is."""
    manifest, run = a_manifest(tmp_path, world, 3, []), tmp_path / "run é"
    config = load_config(None, [*settings(manifest, run), "data.heldout=0"])

    def terminate(progress: Progress) -> None:
        if progress.unit == "clips" and progress.done:
            sys.exit(143)

    with pytest.raises(SystemExit):
        loop.run(config, terminate, "base/evaluate")
    folder = run / "logs" / "00001"
    assert json.loads((folder / "command.json").read_text())["outcome"] == "terminated"
    assert (folder / "driver.log").read_text().splitlines()[-1].endswith("the command ended: terminated")
    assert loop.run(config, lambda progress: None, "base/evaluate")["heldout_clips"] == 3
    assert json.loads((run / "logs" / "00002" / "command.json").read_text())["outcome"] == "finished"


@pytest.mark.slow
def test_sigterm_in_a_process_of_its_own(tmp_path: Path, world: Path) -> None:
    manifest, run = a_manifest(tmp_path, world, 3, []), tmp_path / "run"
    arguments = options([*settings(manifest, run), "data.heldout=0"])
    command = [sys.executable, "-m", "jobs", "evaluate", *arguments, "--log-format", "json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (run / "logs" / "00001" / "command.json").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert objects(out)
    assert "terminated; run the same command again to continue" in [line["message"] for line in objects(err)]
    assert json.loads((run / "logs" / "00001" / "command.json").read_text())["outcome"] == "terminated"
