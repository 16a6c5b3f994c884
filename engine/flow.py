"""Stage and run: rows through CPU tasks and GPU actors. The only file that uses ray.data."""

import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from itertools import islice
from typing import Any

import ray
import ray.data
from ray.data._internal.execution.execution_callback import ExecutionCallback

from engine.store.filesystems import StorageError

log = logging.getLogger(__name__)

Row = dict[str, Any]
WINDOW_ROWS, WINDOW_ROWS_PER_ACTOR = 1024, 256
"""Rows of one dataset: as few as memory wants, and enough for each actor that loading its model anew hardly counts."""
BREATH_S = 0.01
"""Between two looks at what is to be scheduled."""
ACTOR_RESTARTS = 20
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""For glibc: an actor's next row needs as much as its last one. Given back between them, it was a tenth of the time on a CPU."""
CARRIED: dict[str, type[Exception]] = {error.__name__: error for error in (StorageError, ChildProcessError, ValueError)}
"""What a user can mend: it comes out of the flow as it was raised. A ValueError only where a pool's worker was being built."""
AWAY = "carried_error"
"""Column of a row that stands for such an error: its name and arguments."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the flow; it knows nothing of where it runs, and is safe to run twice on the same row.

    Stage(name="decode", work=decode_piece, args={"size_px": 336}, cpus=1)            a function: tasks
    Stage(name="generate", work=Generator, args={"spec": spec}, actors=8, gpus=1)     a class: a pool, built once per actor
    """

    name: str
    work: Callable[..., Any]
    args: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the function, or of the class's constructor."""
    actors: int = 0
    """0: tasks."""
    cpus: float = 1.0
    gpus: float = 0.0
    in_flight: int = 1
    """Rows that an actor works on at once, each in a thread of its own."""
    node_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that a node must have to run it, as Ray's label_selector takes them."""
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    """Of its processes, as Ray takes it: other packages, or another Python (py_executable)."""


def run(rows: Iterable[Row], stages: list[Stage], ordered: bool = False, name: str = "") -> Iterator[Row]:
    """Stream rows through the stages and yield what comes out, as it comes or in order. `name`: the dataset's on Ray's dashboard.

    One row is one block, so a row is the unit of travel, of retry and of loss: whoever calls makes it a piece. The driver keeps
    something of each block of a dataset (github.com/ray-project/ray/issues/66016), so long inputs go as several datasets.
    Raises what is CARRIED where a stage did; whatever else a stage raises comes as Ray's exception around it.
    """
    waiting = iter(rows)
    while window := list(islice(waiting, max(WINDOW_ROWS, WINDOW_ROWS_PER_ACTOR * max(stage.actors for stage in stages)))):
        for row in _stream(window, stages, ordered, name):
            if AWAY in row:
                name, *arguments = row[AWAY]
                raise CARRIED[name](*arguments)
            yield row


def _carrying(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same work, but what is CARRIED travels on as a row: Ray Data wraps what a stage raises and loses what it was."""
    if isinstance(work, type):

        class Carrying(work):  # type: ignore[valid-type,misc]
            def __init__(self, **arguments: Any) -> None:
                self._refused: Row | None = None
                try:
                    super().__init__(**arguments)
                except tuple(CARRIED.values()) as error:
                    self._refused = _away(error)

            def __call__(self, row: Row) -> Row:
                return self._refused or _carry(super().__call__, row)

        return Carrying

    @wraps(work)
    def call(row: Row, **arguments: Any) -> Row:
        return _carry(work, row, **arguments)

    return call


def _carry(work: Callable[..., Row], row: Row, **arguments: Any) -> Row:
    if AWAY in row:
        return row
    try:
        return work(row, **arguments)
    except (StorageError, ChildProcessError) as error:
        return _away(error)


def _away(error: Exception) -> Row:
    trouble = [error.trouble] if isinstance(error, StorageError) else []
    return {AWAY: [type(error).__name__ if type(error).__name__ in CARRIED else "ValueError", *trouble, str(error)]}


class Breath(ExecutionCallback):  # type: ignore[misc]
    """Ray Data's scheduling loop never waits where its consumer is the slow one: beside a training step it took 40 % of a core."""

    def on_execution_step(self, executor: Any) -> None:
        time.sleep(BREATH_S)


def _stream(rows: list[Row], stages: list[Stage], ordered: bool, name: str) -> Iterator[Row]:
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = ordered
    context.execution_no_progress_timeout_s = -1  # fires on a slow consumer too, and ours may be a training step
    context.max_errored_blocks = 0
    context.max_consecutive_actor_init_deaths = 3
    context.custom_execution_callback_classes = [*context.custom_execution_callback_classes, Breath]
    with ray.data.DataContext.current(context):
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
        for stage in stages:
            dataset = _mapped(dataset, stage)
        if name:
            dataset.set_name(name)
        yield from dataset.iter_rows()


def _mapped(dataset: ray.data.Dataset, stage: Stage) -> ray.data.Dataset:
    placement = {"num_cpus": stage.cpus, "num_gpus": stage.gpus, "label_selector": dict(stage.node_labels) or None}
    work = _carrying(stage.work)
    work.__name__ = work.__qualname__ = stage.name  # Ray names its operator, and its actors, after it
    if not stage.actors:
        return dataset.map(work, fn_kwargs=dict(stage.args), runtime_env=dict(stage.runtime_env) or None, **placement)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*deprecated", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*will be removed in Ray 2.64")  # 2.60 has no other way to bound restarts
        return dataset.map(
            work,
            fn_constructor_kwargs=dict(stage.args),
            compute=ray.data.ActorPoolStrategy(
                size=stage.actors, max_concurrent_calls_per_actor=stage.in_flight, enable_true_multi_threading=stage.in_flight > 1
            ),
            ray_remote_args_fn=partial(_actor_options, stage.runtime_env),
            **placement,
        )


def _actor_options(runtime_env: Mapping[str, Any]) -> dict[str, Any]:
    """Ray Data would restart an actor that dies of one row for ever. Which row is to blame is engine/generate/watch.py's to say."""
    environment = {**runtime_env, "env_vars": {**KEEP_MEMORY, **runtime_env.get("env_vars", {})}}
    return {"max_restarts": ACTOR_RESTARTS, "max_task_retries": ACTOR_RESTARTS, "runtime_env": environment}


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hold back what Ray's C++ core prints past Python's logging while it starts; show it if starting fails."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@contextmanager
def cluster(address: str, cpus: float = 0, gpus: float = 0) -> Iterator[Mapping[str, float]]:
    """Connect to the Ray at `address`, else at RAY_ADDRESS, else start one on this machine for as long as the block runs.

    Gives the resources that it has by kind, e.g. {"CPU": 64, "GPU": 8}.
    Raises ValueError where nobody listens at the address, or where this machine has less than the CPUs and GPUs asked for; a
    cluster that has less now may be growing, so there it is a warning.
    """
    if ray.is_initialized():
        yield ray.cluster_resources()
        return
    remote = address or os.environ.get("RAY_ADDRESS")
    if remote:
        _knock(remote)
    for name in ("ray.data", "ray._private.authentication"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # else a warning per actor pool, of no use to whoever reads it: github.com/ray-project/ray/issues/53727
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # by default 1 s, after which every window starts its processes anew, imports and all; heard by a Ray that is started here
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "30000")
    terminated = signal.getsignal(signal.SIGTERM)
    with _quiet_stderr():
        ray.init(
            address=remote or "local",
            logging_level=logging.WARNING,
            log_to_driver=False,
            include_dashboard=None if remote else False,
        )
    if threading.current_thread() is threading.main_thread() and terminated is not None:  # None: not Python's, no way back
        signal.signal(signal.SIGTERM, terminated)  # Ray's own prints its stack
    try:
        there = ray.cluster_resources()
        _compare({"CPU": cpus, "GPU": gpus}, there, is_remote=bool(remote))
        yield there
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """ray.init waits minutes for a head that is not there."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.rpartition("/")[2].strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise ValueError(f"no Ray cluster at {address} ({error}); check cluster.address and RAY_ADDRESS") from None


def _compare(needed: dict[str, float], there: Mapping[str, float], is_remote: bool) -> None:
    for kind, amount in needed.items():
        if there.get(kind, 0) >= amount:
            continue
        lack = f"the [cluster] section asks for {amount:g} {kind}s at once, and there are {there.get(kind, 0):g}"
        if not is_remote:
            raise ValueError(f"{lack} on this machine; lower its numbers or name a cluster's address")
        log.warning("%s now; waiting for the cluster to grow", lack)
