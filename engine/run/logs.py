"""What a command leaves about itself in the run's folder: logs/EPOCH/ with its log, its workers' log, its configuration, and more.

An object store has no append: the files are written whole, when a step is sealed and when the command ends, so a driver that is
killed leaves what it had at its last seal. Each log keeps its first and its last lines, within a few MB. Nothing of this costs a
run more than seconds: where storage is away, the log says so and the run goes on.
"""

import contextlib
import importlib.metadata
import logging
import platform
import sys
import threading
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.config import RunConfig
from engine.logs.kept import Keeping, Kept, handled
from engine.logs.lines import LOGGERS, chosen_format, line_of, utc
from engine.logs.origin import process_at
from engine.logs.workers import WORKERS
from engine.run.command_line import command_line
from engine.run.lease import whoami
from engine.run.work import Progress
from engine.store.documents import to_json
from engine.store.files import Store
from engine.store.locations import masked_values

log = logging.getLogger(__name__)

LOGS = "logs"
"""Folder of the run."""
DRIVER, FROM_WORKERS, STATS, COMMAND, CLUSTER = "driver.log", "workers.log", "ray-data.txt", "command.json", "cluster.json"
WRITE_S = 10.0
"""How long the command waits for its logs to be written: with SIGTERM, Kubernetes gives it 30 s in all."""
PROGRESS_S = 60.0
"""Between two lines about a step's progress."""
RAY_STATS = "engine.flow.stats"
"""Name of the logger to which engine/flow.py gives Ray Data's stats, as DEBUG."""
PACKAGES = ("starloop", "ray", "torch", "transformers", "peft", "deepspeed", "av", "pyarrow", "vllm")


class RunLogs:
    """with RunLogs(store, lease.epoch, config, until) as logs: ... logs.write() when a step is sealed"""

    def __init__(self, store: Store, epoch: int, config: RunConfig, until: str = "") -> None:
        self._run_url, self._form = store.url(), chosen_format()
        self._store = Store(store.uri, replace(store.storage, tries_again=False))
        self._folder = f"{LOGS}/{epoch:05d}"
        self._logs = {name: Kept() for name in (DRIVER, FROM_WORKERS, STATS)}
        self._written: dict[str, int] = {}
        """Hashes of the files as they were written."""
        self._command: dict[str, Any] = {
            "command": command_line(sys.argv),
            "started": utc(time.time()),
            "ended": None,
            "outcome": None,
            "error": None,
            "until": until,
            "driver": whoami(),
            "versions": versions(),
            "config": masked_values(config.model_dump(mode="json")),
        }
        self._cluster: dict[str, Any] | None = None
        self._noted_at = 0.0
        self._stack, self._step = ExitStack(), ExitStack()
        """Of the command, and of the step that it is at work on."""
        self._writing, self._is_claimed = threading.Lock(), False

    def __enter__(self) -> Self:
        """Make the command's folder. A folder that is there belongs to another command: then this one's has a longer name."""
        driver = Keeping(self._logs[DRIVER], logging.INFO, lambda record: line_of(record, self._form))
        for name in LOGGERS:
            self._stack.enter_context(handled(logging.getLogger(name), driver, logging.INFO))
        warnings = Keeping(self._logs[DRIVER], logging.WARNING, lambda record: line_of(record, self._form))
        for name in ("ray", WORKERS.name):
            self._stack.enter_context(handled(logging.getLogger(name), warnings))
        self._stack.enter_context(handled(WORKERS, Keeping(self._logs[FROM_WORKERS], logging.DEBUG, worker_line)))
        stats = Keeping(self._logs[STATS], logging.DEBUG, logging.LogRecord.getMessage)
        self._stack.enter_context(handled(logging.getLogger(RAY_STATS), stats, logging.DEBUG))
        self._stack.enter_context(process_at(run=self._run_url, pool="driver"))
        self.write()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Say how the command ended, and write what there is. Raises nothing: the error that ends the run has to be seen."""
        outcome = outcome_of(error)
        message = f"the command ended: {outcome}{f': {error}' if outcome == 'failed' else ''}"
        info = (kind, error, trace) if outcome == "failed" else None
        level = logging.ERROR if outcome == "failed" else logging.INFO
        ending = logging.LogRecord(log.name, level, __file__, 0, message, None, info)  # type: ignore[arg-type]
        with contextlib.suppress(Exception):
            self._logs[DRIVER].add(line_of(ending, self._form))
            self._command |= {"ended": utc(time.time()), "outcome": outcome, "error": str(error) if outcome == "failed" else None}
        self.write()
        self._step.close()
        self._stack.close()

    def begin(self, step: str) -> None:
        """A step begins: what the driver logs belongs to it."""
        self._step.close()
        self._step.enter_context(process_at(step=step))
        self._noted_at = 0.0

    def _note_cluster(self) -> None:
        """Keep which nodes there are, as soon as this process is connected to Ray."""
        if self._cluster is not None or "ray" not in sys.modules:
            return
        import ray

        if not ray.is_initialized():
            return
        with contextlib.suppress(Exception):
            self._cluster = {
                "at": utc(time.time()),
                "resources": ray.cluster_resources(),
                "nodes": [node_of(n) for n in ray.nodes()],
            }

    def progress(self, progress: Progress) -> None:
        """A line when a step begins, and one a minute."""
        self._note_cluster()
        now = time.monotonic()
        if now - self._noted_at >= PROGRESS_S:
            self._noted_at = now
            done = f"{progress.done} of {progress.total} {progress.unit} done" if progress.unit else "it begins"
            record = logging.LogRecord(log.name, logging.INFO, __file__, 0, f"{progress.step}: {done}", None, None)
            self._logs[DRIVER].add(line_of(record, self._form))

    def write(self) -> None:
        """Write the files that have changed, within WRITE_S seconds; what cannot be written is tried again at the next call."""
        trouble = within(WRITE_S, self._write)
        if trouble:
            log.warning("the logs of this command could not be written into %s: %s", self._store.uri, trouble)

    def _write(self) -> None:
        with self._writing:  # a call that was waited for long enough may be at work still
            if not self._is_claimed and not self._store.create(f"{self._folder}/{COMMAND}", to_json(self._command, indent=1)):
                self._folder += f"-{uuid.uuid4().hex[:6]}"
            self._is_claimed = True
            for name, data in self._files():
                if self._written.get(name) != hash(data):
                    self._store.write(f"{self._folder}/{name}", data)
                    self._written[name] = hash(data)

    def _files(self) -> Iterator[tuple[str, bytes]]:
        yield COMMAND, to_json(self._command, indent=1)
        if self._cluster is not None:
            yield CLUSTER, to_json(self._cluster, indent=1)
        for name, kept in self._logs.items():
            if data := kept.data(self._form if name == DRIVER else "text"):
                yield name, data


def latest_logs(store: Store) -> str:
    """URI of the folder with the logs of the last command that left some; "" where none did."""
    return store.url(f"{LOGS}/{folders[-1]}") if (folders := store.folders(LOGS)) else ""


def within(seconds: float, call: Callable[[], None]) -> str:
    """Call in a thread, and wait for it at most so long; returns why it is not done, "" if it is."""
    troubles: list[str] = []

    def work() -> None:
        try:
            call()
        except Exception as error:  # of any kind: logs are not worth a run
            troubles.append(f"{error or type(error).__name__}")

    thread = threading.Thread(target=work, name="logs", daemon=True)
    thread.start()
    thread.join(seconds)
    return f"storage has not answered for {seconds:.0f} s" if thread.is_alive() else "".join(troubles)


def outcome_of(error: BaseException | None) -> str:
    """
    >>> outcome_of(None), outcome_of(KeyboardInterrupt()), outcome_of(SystemExit(143)), outcome_of(ValueError("x"))
    ('finished', 'interrupted', 'terminated', 'failed')
    """
    if error is None:
        return "finished"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return "terminated" if isinstance(error, SystemExit | GeneratorExit) else "failed"


def worker_line(record: logging.LogRecord) -> str:
    source = getattr(record, "source", "?")
    return f"{source}: {line_of(record, 'text') if record.levelno > logging.DEBUG else record.getMessage()}"


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide what a run does; those that are not installed are left out.

    In a Ray job this package is a folder, and not installed: then its own version is that of the pyproject.toml beside it.
    """
    installed = {"python": platform.python_version()}
    with contextlib.suppress(OSError, ValueError, KeyError):
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
        installed |= {"starloop": project["version"]} if project["name"] == "starloop" else {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed.setdefault(name, importlib.metadata.version(name))
    return installed


def node_of(node: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a node, from what ray.nodes() has of it."""
    keys = {"id": "NodeID", "address": "NodeManagerAddress", "host": "NodeManagerHostname", "alive": "Alive"}
    return {name: node.get(key) for name, key in keys.items()} | {
        "resources": node.get("Resources", {}),
        "labels": node.get("Labels", {}),
    }
