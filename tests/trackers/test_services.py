"""Pins the trackers at real services: an MLflow server and one that is away, W&B offline, trackio, TensorBoard's own reader."""

import json
import logging
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.run import trackers
from engine.run.trackers import tracked
from engine.store.files import Store
from tracked import EXPECTED, a_store, a_tracked_run, finetune, seals, tell

pytestmark = pytest.mark.trackers
BLOCK = 32768


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import of MLflow takes longer than the end of a command waits, on a busy machine."""
    monkeypatch.setattr(trackers, "CLOSE_S", 90.0)


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A tracker that is left out says why."""
    caplog.set_level(logging.WARNING, logger="engine")
    yield
    lines = [record.getMessage() for record in caplog.get_records("call") if record.name == trackers.log.name]
    assert lines == [] or "away" in request.node.name


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A tracking server on a free port, with a database and artifacts of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/db.sqlite", "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, folder / "log")
        yield f"http://127.0.0.1:{port}", process
    finally:
        os.killpg(process.pid, 9)
        process.wait(30)


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.5)
    raise AssertionError(f"no server at {url}: {log.read_text()[-2000:]}")


def killed_and_continued(name: str, folder: Path) -> Store:
    """A run whose first command is killed in its finetune; the second one repeats two of its steps."""
    store = a_store(folder)
    before, after = seals(store)[:3], seals(store)[3:]
    with tracked([name], a_tracked_run(folder), lambda progress: None) as first:
        for seal in before:
            first.sealed(seal)
        for progress in finetune()[:2]:
            first.report(progress)
    with tracked([name], a_tracked_run(folder, before), lambda progress: None) as second:
        for progress in finetune():
            second.report(progress)
        for seal in after:
            second.sealed(seal)
    return store


def test_mlflow_has_one_run_with_curves_answers_tags_and_no_point_twice(
    server: tuple[str, "subprocess.Popen[bytes]"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server[0])
    killed_and_continued("mlflow", tmp_path)
    client = MlflowClient()
    experiment = client.get_experiment_by_name("starloop")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    curves = {name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)] for name in EXPECTED}
    assert curves == EXPECTED
    assert run.info.status == "FINISHED"
    assert (run.info.run_name, run.data.tags["starloop.run"]) == (tmp_path.name, str(tmp_path))
    assert run.data.tags["starloop.id"] == a_tracked_run(tmp_path).id
    assert run.data.tags["starloop.model.cycle-000-train"] == f"{tmp_path}/cycle-000/train/model"
    assert (run.data.params["loop.max_cycles"], run.data.params["preset"]) == ("3", "strict")
    [table] = client.list_artifacts(run.info.run_id, "answers")
    assert table.path == "answers/cycle-000-generate.json"
    assert (table.file_size or 0) < 10_000  # answers, and no model


def test_a_server_that_is_away_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    store, reported = a_store(tmp_path), []
    with caplog.at_level(logging.WARNING), tracked(["mlflow"], a_tracked_run(tmp_path), reported.append) as away:
        tell(away, store)
    assert len(reported) == 3
    [line] = caplog.messages
    assert line.startswith("tracker mlflow is left out from here on: MlflowException: ")


def test_wandb_offline_has_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "wandb-files"))
    (tmp_path / "wandb-files").mkdir()
    killed_and_continued("wandb", tmp_path / "run")
    folders = sorted((tmp_path / "wandb-files" / "wandb").glob("offline-run-*"))
    identity = a_tracked_run(tmp_path / "run").id
    assert [identity in folder.name for folder in folders] == [True, True]
    files = [next(folder.glob("*.wandb")) for folder in folders]
    until = time.monotonic() + 20
    while len((curves := wandb_curves(files))["train/loss"]) < 3 and time.monotonic() < until:
        time.sleep(0.1)  # W&B's own process writes them, and may still be at it
    assert {name: curves[name] for name in EXPECTED} == EXPECTED
    assert any(name.startswith("answers/cycle-000-generate") for name in curves), list(curves)


def wandb_curves(files: list[Path]) -> dict[str, list[tuple[Any, Any]]]:
    """The rows of history in the files that W&B leaves for `wandb sync`, as curves."""
    from wandb.proto import wandb_internal_pb2

    curves = defaultdict[str, list[tuple[Any, Any]]](list)
    for content in (record for file in files for record in leveldb_records(file.read_bytes())):
        record = wandb_internal_pb2.Record.FromString(content)
        items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for name, value in items.items():
            curves[name].append((items.get("optimizer_step", items.get("cycle")), value))
    return curves


def leveldb_records(content: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log behind W&B's own seven bytes: blocks of 32 KiB, each fragment with checksum, length and kind."""
    place, record = 7, b""
    while place + 7 <= len(content):
        if (left := BLOCK - place % BLOCK) < 7:
            place += left
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last fragment
            yield record
            record = b""


def test_trackio_has_one_run_with_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    killed_and_continued("trackio", tmp_path / "run")
    from trackio.sqlite_storage import SQLiteStorage

    [name] = SQLiteStorage.get_runs("starloop")
    assert name == f"run-{a_tracked_run(tmp_path / 'run').id}"
    curves = defaultdict[str, list[tuple[Any, Any]]](list)
    for row in SQLiteStorage.get_logs("starloop", name):
        for key, value in row.items():
            curves[key].append((row.get("optimizer_step", row.get("cycle")), value))
    assert {key: curves[key] for key in EXPECTED} == EXPECTED
    assert "answers/cycle-000-generate" in curves
    assert [value for _, value in curves["model/cycle-000-train"]] == [f"{tmp_path}/run/cycle-000/train/model"]
    assert capsys.readouterr().out == ""


def test_tensorboards_own_reader_has_curves_and_answers(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    killed_and_continued("tensorboard", tmp_path)
    read = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    read.Reload()
    assert {name: [(event.step, event.value) for event in read.Scalars(name)] for name in EXPECTED} == EXPECTED
    [answers] = read.Tensors("answers/cycle-000-generate/text_summary")
    text = answers.tensor_proto.string_val[0].decode()
    assert "| dropped | label_missing | c1 | rising | It is \\| odd. |" in text
