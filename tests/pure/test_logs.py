"""Pins logs: a JSON line's fields and origin, what a bounded log keeps, and what a command leaves in its run's folder when it ends
well, with an error, or without its storage.
"""

import asyncio
import json
import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from engine.config import RunConfig
from engine.logs import lines
from engine.logs.kept import Keeping, Kept
from engine.logs.lines import JsonHandler, json_line, record_of, text_line, values_of
from engine.logs.origin import Origin, at, here, process_at
from engine.logs.workers import WORKERS, take
from engine.presets import load_config
from engine.run import logs as run_logs
from engine.run.command_line import command_line
from engine.run.logs import COMMAND, DRIVER, FROM_WORKERS, RAY_STATS, STATS, RunLogs
from engine.run.work import Progress
from engine.store.files import Store
from jobs import json_log
from jobs.json_log import JsonFile, everything_as_json

log = logging.getLogger("engine.somewhere")
GENERATE = Origin(run="s3://b/runs/a", step="cycle-001/generate", pool="decode", piece="9f")


def a_record(message: str, level: int = logging.WARNING, error: BaseException | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("engine.somewhere", level, "", 0, message, None, info)
    record.created = 0.25
    return record


def test_a_line_has_what_collectors_read_and_its_origin() -> None:
    with at(GENERATE):
        line = JsonHandler().format(a_record("two\nlines \ud800"))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.250Z",
        "severity": "WARNING",
        "level": "WARNING",
        "logger": "engine.somewhere",
        "message": "two\nlines \ud800",
        "run": "s3://b/runs/a",
        "cycle": 1,
        "step": "cycle-001/generate",
        "pool": "decode",
        "piece": "9f",
    }


def test_an_exception_is_one_field() -> None:
    try:
        raise OSError("no answer")
    except OSError as error:
        values = json.loads(JsonHandler().format(a_record("it failed", error=error)))
    assert values["exception"].splitlines()[0] == "Traceback (most recent call last):"
    assert values["exception"].splitlines()[-1] == "OSError: no answer"
    assert "exception" not in values_of(a_record("no error"))


def test_a_line_is_read_back_with_its_origin() -> None:
    with at(GENERATE):
        record = record_of(JsonHandler().format(a_record("slow %s")))
    assert record is not None
    assert (record.name, record.levelno, record.getMessage(), record.created) == (
        "engine.somewhere",
        logging.WARNING,
        "slow %s",
        0.25,
    )
    assert text_line(record) == "1970-01-01T00:00:00.250Z WARNING [cycle-001/generate decode 9f] slow %s"


@pytest.mark.parametrize(
    "line", ["", "Traceback (most recent call last):", '{"time": "', '{"time": "x"}', '{"time": "2026-01-01"}']
)
def test_other_lines_of_a_process_are_no_records(line: str) -> None:
    assert record_of(line) is None


def test_threads_have_the_origin_of_the_process_and_pieces_their_own() -> None:
    origins: list[Origin] = []

    def note() -> None:
        origins.append(here())

    async def answer() -> None:
        note()

    with process_at(step="cycle-000/train", pool="train"):
        thread = threading.Thread(target=note)
        thread.start()
        thread.join()
        with at(replace(here(), piece="1")):
            asyncio.run(answer())
        note()
    assert [origin.piece for origin in origins] == ["", "1", ""]
    assert {origin.step for origin in origins} == {"cycle-000/train"}
    assert here() == Origin()


def test_a_log_keeps_its_first_and_its_last_lines() -> None:
    kept = Kept(head_bytes=20, tail_bytes=20)
    for number in range(100):
        kept.add(f"line {number:02d}")
    assert kept.data().decode().splitlines() == ["line 00", "line 01", "... 96 lines are left out here ...", "line 98", "line 99"]
    assert json.loads(kept.data("json").splitlines()[2]) == {"message": "96 lines are left out here"}
    kept.add("x" * 1000)
    assert len(kept.data()) < 100
    kept = Kept(head_bytes=20, tail_bytes=20)
    kept.add("few")
    assert kept.data() == b"few\n"


def a_config(folder: Path) -> RunConfig:
    manifest = "data.manifest=https://h/clips.csv?X-Amz-Signature=f3"
    return load_config(None, [f"run.uri={folder}", manifest, "train.micro_batch_rows=2", "train.batch_rows=4"])


def files_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_command_leaves_its_log_its_configuration_and_what_others_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = a_config(tmp_path)
    monkeypatch.setattr(sys, "argv", ["/venv/bin/starloop", "selftrain", "--set", "storage.s3.profile=mine"])
    with RunLogs(Store(str(tmp_path)), 3, config, "ingest") as logs:
        begun = json.loads((tmp_path / "logs/00003" / COMMAND).read_text())
        logs.begin("ingest")
        log.info("rows read")
        logs.progress(Progress(step="ingest", unit="", done=0, total=0))
        logging.getLogger(RAY_STATS).debug("base/evaluate\nOperator 1 decode")
        with at(GENERATE):
            line = JsonHandler().format(a_record("no answer yet"))
        take({"ip": "10.0.0.7", "pid": 12, "lines": ["a library's words", line], "actor_name": "generate"})
        logs.write()
        under_way = (tmp_path / "logs/00003" / DRIVER).read_text()
    files = files_of(tmp_path / "logs/00003")
    assert sorted(files) == [COMMAND, DRIVER, STATS, FROM_WORKERS]
    assert (begun["outcome"], begun["ended"]) == (None, None)
    command = json.loads(files[COMMAND])
    assert (command["outcome"], command["error"], command["until"]) == ("finished", None, "ingest")
    assert command["command"] == "starloop selftrain --set 'storage.s3.profile=***'"
    assert command["config"] == config.model_dump(mode="json") | {"data": command["config"]["data"]}
    assert command["config"]["data"]["manifest"] == "https://h/clips.csv?***"
    assert command["config"]["train"]["micro_batch_rows"] == 2
    assert {"python", "starloop", "ray", "torch"} <= set(command["versions"])
    messages = [line.partition("Z ")[2] for line in files[DRIVER].splitlines()]
    assert messages == [
        "INFO    [ingest] rows read",
        "INFO    [ingest] ingest: it begins",
        "WARNING [cycle-001/generate decode 9f] no answer yet",
        "INFO    [ingest] the command ended: finished",
    ]
    assert files[DRIVER].startswith(under_way)
    assert files[FROM_WORKERS].splitlines() == [
        "generate 12 on 10.0.0.7: a library's words",
        "generate 12 on 10.0.0.7: 1970-01-01T00:00:00.250Z WARNING [cycle-001/generate decode 9f] no answer yet",
    ]
    assert "Operator 1 decode" in files[STATS]
    assert not any(isinstance(handler, Keeping) for handler in WORKERS.handlers)


def test_with_json_the_command_s_own_log_is_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_form", "json")
    with RunLogs(Store(str(tmp_path)), 1, a_config(tmp_path)):
        log.warning("one\ntwo")
    objects = [json.loads(line) for line in (tmp_path / "logs/00001" / DRIVER).read_text().splitlines()]
    assert [line["message"] for line in objects] == ["one\ntwo", "the command ended: finished"]
    assert {line["run"] for line in objects} == {str(tmp_path)}
    assert {line["pool"] for line in objects} == {"driver"}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(ValueError("too many failed"), "failed"), (SystemExit(143), "terminated"), (KeyboardInterrupt(), "interrupted")],
)
def test_how_a_command_ended_is_kept(tmp_path: Path, error: BaseException, outcome: str) -> None:
    def fail() -> None:
        with RunLogs(Store(str(tmp_path)), 1, a_config(tmp_path)) as logs:
            logs.begin("cycle-000/generate")
            logs.progress(Progress(step="cycle-000/generate", unit="clips", done=3, total=9))
            raise error

    with pytest.raises(type(error)):
        fail()
    files = files_of(tmp_path / "logs/00001")
    assert json.loads(files[COMMAND])["outcome"] == outcome
    assert f"[cycle-000/generate] the command ended: {outcome}" in files[DRIVER]
    assert ("ValueError: too many failed" in files[DRIVER]) == (outcome == "failed")


def test_a_folder_of_another_command_is_left_alone(tmp_path: Path) -> None:
    for _ in range(2):
        with RunLogs(Store(str(tmp_path)), 1, a_config(tmp_path)):
            log.warning("here")
    folders = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert folders[0] == "00001"
    assert folders[1].startswith("00001-")
    assert all((tmp_path / "logs" / name / DRIVER).read_text().count("here") == 1 for name in folders)


class StuckFileSystem(MemoryFileSystem):
    """Storage that does not answer, or refuses, as long as it is told to: stuck://"""

    protocol = ("stuck",)
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    trouble: ClassVar[Callable[[], None]] = staticmethod(lambda: None)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = super()._strip_protocol(path.replace("stuck://", "memory://", 1))
        return stripped

    def pipe_file(self, path: str, *args: Any, **kwargs: Any) -> Any:
        type(self).trouble()
        return super().pipe_file(path, *args, **kwargs)


fsspec.register_implementation("stuck", StuckFileSystem)


def refuse() -> None:
    raise PermissionError(13, "denied")


@pytest.mark.parametrize(
    ("trouble", "reason"), [(lambda: time.sleep(0.5), "storage has not answered for 0 s"), (refuse, "access is denied|denied")]
)
def test_storage_that_is_away_costs_no_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, trouble: Callable[[], None], reason: str
) -> None:
    monkeypatch.setattr(run_logs, "WRITE_S", 0.05)
    config, store = a_config(Path("x")), Store(f"stuck://{reason[:6].strip()}")
    began = time.monotonic()
    with caplog.at_level(logging.WARNING), RunLogs(store, 1, config) as logs:
        monkeypatch.setattr(StuckFileSystem, "trouble", staticmethod(trouble))
        log.warning("while it is away")
        logs.write()
        log.warning("and after")
        monkeypatch.setattr(StuckFileSystem, "trouble", staticmethod(lambda: None))
    assert time.monotonic() - began < 2
    assert any("the logs of this command could not be written" in message for message in caplog.messages)
    deadline = time.monotonic() + 5  # what was begun while it was away may end after the command
    while (data := store.read("logs/00001/driver.log")) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert data is not None
    assert b"while it is away" in data


def test_printed_lines_become_objects(capsys: pytest.CaptureFixture[str]) -> None:
    file = JsonFile()
    for part in ("a first", " line\n\n", "a second\nthird, unfinished"):
        file.write(part)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["message"] for line in printed] == ["a first line", "a second"]
    assert {line["logger"] for line in printed} == {"jobs"}


def test_numbers_that_json_does_not_have_are_null() -> None:
    assert json.loads(json_line({"loss": float("inf"), "path": Path("a")})) == {"loss": None, "path": "a"}


def test_ray_s_own_warnings_are_objects_too(capsys: pytest.CaptureFixture[str]) -> None:
    """ray.init gives each handler of its logger a formatter."""
    rays = logging.getLogger("ray")
    with warnings.catch_warnings(action="always"), everything_as_json():
        for handler in rays.handlers:
            handler.setFormatter(logging.Formatter("%(message)s"))
        rays.warning("no node has a GPU")
        log.info("a line of ours")
        warnings.warn("a library's", stacklevel=1)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["logger"], line["level"]) for line in printed] == [
        ("ray", "WARNING"),
        ("engine.somewhere", "INFO"),
        ("py.warnings", "WARNING"),
    ]
    assert printed[0]["message"] == "no node has a GPU"


def test_a_storm_of_warnings_of_ray_s_processes_is_not_printed_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with everything_as_json():
        line = JsonHandler().format(a_record("no answer yet"))
        take({"ip": "10.0.0.7", "pid": 12, "lines": ["words"] + [line] * 500})
        monkeypatch.setattr(json_log, "WINDOW_S", 0.0)
        take({"ip": "10.0.0.7", "pid": 12, "lines": [line]})
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(printed) == 101
    assert printed[-1]["left_out"] == 400


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["selftrain", "--set", "generate.openai.api_key=sk-1"], "selftrain --set 'generate.openai.api_key=***'"),
        (["selftrain", "--set=storage.s3.endpoint_url=http://a"], "selftrain '--set=storage.s3.endpoint_url=***'"),
        (["selftrain", "--set", 'storage={"s3": {"key": "a"}}'], "selftrain --set 'storage=***'"),
        (["train", "--set", "generate.max_tokens=64"], "train --set generate.max_tokens=64"),
        (["ingest", "https://b/a.csv?X-Amz-Signature=1&x=2"], "ingest 'https://b/a.csv?***'"),
        (["selftrain", "--set", "data.manifest=https://me:pw@b/a.csv"], "selftrain --set 'data.manifest=https://***@b/a.csv'"),
        (["submit", "--hf-token=abc", "--password", "x", "run.toml"], "submit '--hf-token=***' --password '***' run.toml"),
        (["selftrain", "my run.toml", "--dry-run"], "selftrain 'my run.toml' --dry-run"),
    ],
)
def test_a_command_line_has_no_secret(arguments: list[str], line: str) -> None:
    assert command_line(["/usr/bin/starloop", *arguments]) == f"starloop {line}"
    assert command_line(["notebook.py", *arguments]).startswith("notebook.py ")
