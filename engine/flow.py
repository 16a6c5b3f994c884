"""Stage and run: rows through CPU tasks and GPU actors. The only file that uses ray.data."""

import logging
import re
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from itertools import islice
from typing import Any, Protocol

import pyarrow as pa
import ray
import ray.data
from ray.data._internal.execution.execution_callback import ExecutionCallback

from engine.logs.origin import Origin, at, here
from engine.logs.workers import write_json_lines
from engine.memory import built_to_stay, keep_freed_memory
from engine.store.troubles import StorageError
from models.base import ModelAway

log = logging.getLogger(__name__)
stats_log = logging.getLogger(f"{__name__}.stats")
"""Is given Ray Data's stats of each dataset, as DEBUG."""

Row = dict[str, Any]
WINDOW_ROWS, WINDOW_ROWS_PER_ACTOR = 1024, 256
"""Maximum rows of one dataset: few, because the driver keeps something of each; enough that an actor's start hardly counts."""
FIRST_SHARE = 0.25
"""Of a window: how long the first one is where rows may share blocks. It shows how quick they are."""
BLOCK_S, BLOCK_ROWS = 1.0, 64
"""Quick rows share a block: as many as take so many seconds, and at most so many. Ray Data takes some 20 ms of CPU for each block
in each stage, on the driver and in the workers, whatever is in it."""
SHARED_WINDOW_ROWS = 4096
"""Minimum rows of a dataset whose rows share blocks: its start should hardly count, and the driver holds all of them."""
LOOP_PAUSE_S = 0.01
"""Pause of Ray Data's scheduling loop in each turn."""
OBSERVE_S = 0.05
"""Minimum seconds between two observations of a flow."""
OBJECT_STORE_SHARE = 0.5
"""Of the cluster's object store, for the blocks of all flows: Ray Data's own default for one."""
ACTOR_RESTARTS = 20
CARRIED: dict[str, type[Exception]] = {error.__name__: error for error in (StorageError, ChildProcessError, ModelAway, ValueError)}
"""Errors that leave the flow as they were raised, because a user can act on them; a ValueError only from an actor's constructor."""
ERROR_COLUMN = "carried_error"
"""Column of a row that stands for such an error: the name of its type, and its arguments."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the flow. It does not know where it runs, and it is safe to run twice on the same row.

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
    """Rows that an actor works on at the same time, each in a thread of its own."""
    node_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the nodes that may run it, in the form of Ray's label_selector."""
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    """Ray's runtime environment of its processes: other packages, or another Python (py_executable)."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a flow runs: Manner(name="first/cycle-000/generate", check=work.check), Manner(ordered=True, flows=8)"""

    ordered: bool = False
    """Results come in the order of the rows, or else as they are done."""
    name: str = ""
    """The dataset's name on Ray's dashboard."""
    flows: int = 1
    """How many run at the same time, as those of training workers do: each plans with its share of the object store."""
    shared: bool = False
    """Rows that turn out to be quick may share a block."""
    check: Callable[[], None] = lambda: None
    """Called again and again, also while nothing is done; it raises what ends the flow."""


ANYHOW = Manner()


def run(rows: Iterable[Row], stages: list[Stage], manner: Manner = ANYHOW) -> Generator[Row, None, None]:
    """Stream rows through the stages and yield the results.

    One row is one block, so a row is the unit of travel, of retry and of loss: the caller makes it a piece. Quick rows may share a
    block (manner.shared), and are then retried together. The driver keeps something of each block of a dataset
    (github.com/ray-project/ray/issues/66016), so long inputs are run as several.
    Raises a stage's error of CARRIED as it is, and any other one inside Ray's exception.
    """
    CHECKS.append(manner.check)
    try:
        yield from _run(rows, stages, manner)
    finally:
        CHECKS.remove(manner.check)


def _run(rows: Iterable[Row], stages: list[Stage], manner: Manner) -> Iterator[Row]:
    waiting, at_once = iter(rows), max(stage.actors * stage.in_flight for stage in stages)
    most = max(WINDOW_ROWS, WINDOW_ROWS_PER_ACTOR * max(stage.actors for stage in stages))
    block_rows, window_rows = 1, int(most * FIRST_SHARE) if manner.shared else most
    while window := list(islice(waiting, window_rows)):
        arrivals = _Arrivals()
        for row in _stream(window, stages, manner, block_rows):
            if error := row.get(ERROR_COLUMN):
                kind, *arguments = error
                raise CARRIED[kind](*arguments)
            arrivals.note()
            yield row
        if manner.shared:
            block_rows = rows_of_a_block(arrivals.row_s * max(1, at_once))
        window_rows = max(most, SHARED_WINDOW_ROWS) if block_rows > 1 else most


def rows_of_a_block(row_s: float) -> int:
    """How many rows make a block, where a stage takes so many seconds for one of them.

    >>> rows_of_a_block(30.0), rows_of_a_block(0.26), rows_of_a_block(0.02), rows_of_a_block(0.0)
    (1, 3, 50, 64)
    """
    return max(1, min(BLOCK_ROWS, int(BLOCK_S / max(row_s, BLOCK_S / BLOCK_ROWS))))


class _Arrivals:
    """When the results of a window came. Results that a slow consumer holds up look slow, and then share no block."""

    def __init__(self) -> None:
        self._first_at = self._last_at = 0.0
        self._count = 0

    def note(self) -> None:
        self._last_at, self._count = time.monotonic(), self._count + 1
        self._first_at = self._first_at or self._last_at

    @property
    def row_s(self) -> float:
        """Mean seconds from one to the next; infinite where there were fewer than two."""
        return (self._last_at - self._first_at) / (self._count - 1) if self._count > 1 else float("inf")


def _carrying(work: Callable[..., Any], origin: Origin) -> Callable[..., Any]:
    """The same work, with errors of CARRIED turned into rows: Ray Data wraps a stage's exception and loses its type.

    What it logs has the origin, and the piece that it works on.
    """
    if isinstance(work, type):

        class Carrying(work):  # type: ignore[valid-type,misc]
            def __init__(self, **arguments: Any) -> None:
                self._refused: Row | None = None
                keep_freed_memory()
                write_json_lines()
                try:
                    with at(origin), built_to_stay():
                        super().__init__(**arguments)
                except tuple(CARRIED.values()) as error:
                    self._refused = _error_row(error)

            def __call__(self, batch: pa.Table) -> pa.Table:
                return batch_of(self._refused) if self._refused else _carry(super().__call__, batch, origin)

        return Carrying

    @wraps(work)
    def call(batch: pa.Table, **arguments: Any) -> pa.Table:
        write_json_lines()
        return _carry(work, batch, origin, **arguments)

    return call


def _carry(work: Callable[..., Row], batch: pa.Table, origin: Origin, **arguments: Any) -> pa.Table:
    row = row_of(batch)
    if row.get(ERROR_COLUMN):  # a row that shares a block with one that has the column has it too
        return batch
    try:
        with at(replace(origin, piece=row.get("piece_id", ""))):
            return batch_of(work(row, **arguments))
    except (StorageError, ChildProcessError, ModelAway) as error:
        return batch_of(_error_row(error))


def row_of(batch: pa.Table) -> Row:
    """The only row of a batch. Bytes are views of the object store: a generator would wait while the frames of a piece are copied.

    >>> row_of(batch_of({"piece_id": "9f3c", "frames": b"abc"}))["frames"].tobytes()
    b'abc'
    """
    return {name: _value_of(column[0]) for name, column in zip(batch.column_names, batch.columns, strict=True)}


def _value_of(scalar: pa.Scalar) -> Any:
    is_bytes = pa.types.is_large_binary(scalar.type) and scalar.is_valid
    return memoryview(scalar.as_buffer()) if is_bytes else scalar.as_py()


def batch_of(row: Row) -> pa.Table:
    """A batch of one row. Bytes may be larger than the 2 GiB of Arrow's ordinary binary columns."""
    arrays = {
        name: pa.array([value], pa.large_binary() if isinstance(value, bytes | memoryview) else None) for name, value in row.items()
    }
    return pa.table(arrays)


def _error_row(error: Exception) -> Row:
    trouble = [error.trouble] if isinstance(error, StorageError) else []
    return {ERROR_COLUMN: [type(error).__name__ if type(error).__name__ in CARRIED else "ValueError", *trouble, str(error)]}


def is_rays_own(record: logging.LogRecord) -> bool:
    """Ray Data calls every error of the driver a bug in Ray, with its stack. One that a user can act on is told in one line."""
    return not isinstance(sys.exc_info()[1], tuple(CARRIED.values()))


logging.getLogger("ray.data.exceptions").addFilter(is_rays_own)

CHECKS: list[Callable[[], None]] = []
"""Of the flows of this process. Not in Ray Data's context: that travels to every task."""


class Turn(ExecutionCallback):  # type: ignore[misc]
    """What each turn of Ray Data's scheduling loop does beside its own work: it checks, and it pauses.

    With a slow consumer the loop never waits, and beside training it took 40 % of a core.
    """

    def on_execution_step(self, executor: Any) -> None:
        for check in tuple(CHECKS):
            check()
        time.sleep(LOOP_PAUSE_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """How a stage is at one moment: StageState(name="generate", waiting=3, alive=8, restarting=0, is_blocked=False)"""

    name: str
    waiting: int
    """Rows that wait for it."""
    alive: int
    """Its actors that have been built, dead ones that come back included; 0 for tasks."""
    restarting: int
    is_blocked: bool
    """Rows wait for it and Ray Data holds them back, or its results are not taken."""


class Observer(Protocol):
    """Is told how flows go. `at`: seconds since 1970. All but `ends` is called in a thread of Ray Data's, too."""

    def begins(self, at: float) -> None:
        """A flow begins, or the next dataset of a long one, for which all actors are built anew; the one before is over."""
        ...

    def observe(self, at: float, stages: Sequence[StageState]) -> None: ...

    def ends(self, at: float) -> None:
        """The flow is over, and its rows have been consumed; not called after an error."""
        ...


OBSERVERS: list[tuple[Observer, Sequence[Stage]]] = []
"""Of the flows of this process. Not in Ray Data's context: that travels to every task."""


@contextmanager
def observed(observer: Observer, stages: Sequence[Stage]) -> Iterator[None]:
    """While the block runs, the observer is told how the flow through these stages goes."""
    entry = observer, stages
    OBSERVERS.append(entry)
    try:
        observer.begins(time.time())
        yield
        observer.ends(time.time())
    finally:
        OBSERVERS.remove(entry)


class Observing(ExecutionCallback):  # type: ignore[misc]
    """Tells the observers of this process what Ray Data's scheduling loop knows, at most every OBSERVE_S."""

    next_at = 0.0

    def before_execution_starts(self, executor: Any) -> None:
        for observer, _ in tuple(OBSERVERS):
            observer.begins(time.time())

    def on_execution_step(self, executor: Any) -> None:
        now = time.time()
        if not OBSERVERS or now < self.next_at:
            return
        self.next_at = now + OBSERVE_S
        for observer, stages in tuple(OBSERVERS):
            observer.observe(now, [state for stage in stages for state in _states(executor, stage.name)])


def _states(executor: Any, name: str) -> Iterator[StageState]:
    """The state of the stage of this name: Ray Data's operator is called after it."""
    for operator, state in (executor._topology or {}).items():
        if f"({name})" in operator.name:
            actors, waiting = operator.get_actor_info(), state.total_enqueued_input_blocks()
            holds_back = operator._in_task_output_backpressure or (waiting > 0 and operator._in_task_submission_backpressure)
            yield StageState(
                name=name, waiting=waiting, alive=actors.running, restarting=actors.restarting, is_blocked=bool(holds_back)
            )


def _stream(rows: list[Row], stages: list[Stage], manner: Manner, block_rows: int) -> Iterator[Row]:
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = manner.ordered
    context.override_object_store_memory_limit_fraction = OBJECT_STORE_SHARE / manner.flows
    context.execution_no_progress_timeout_s = -1  # fires on a slow consumer too, and ours may be a training step
    context.memory_usage_poll_interval_s = None  # a thread for each task, for a statistic that nobody reads
    context.max_errored_blocks = 0
    context.max_consecutive_actor_init_deaths = 3
    context.custom_execution_callback_classes = [*context.custom_execution_callback_classes, Turn, Observing]
    with ray.data.DataContext.current(context):
        dataset = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // block_rows))
        for stage in stages:
            dataset = _mapped(dataset, stage)
        if manner.name:
            dataset.set_name(re.sub(r"[^\w.-]+", "-", manner.name, flags=re.ASCII))  # it is a log file's name too
        try:
            yield from dataset.iter_rows()
        finally:
            _log_stats(dataset, here().step or manner.name)


def _log_stats(dataset: ray.data.Dataset, name: str) -> None:
    if not stats_log.isEnabledFor(logging.DEBUG):
        return
    try:
        stats_log.debug("%s\n%s\n", name, dataset.stats())
    except Exception as error:  # of any kind: the stats of a flow that an error has ended are not worth another error
        stats_log.debug("%s\nno stats: %s\n", name, error)


def _mapped(dataset: ray.data.Dataset, stage: Stage) -> ray.data.Dataset:
    placement = {"num_cpus": stage.cpus, "num_gpus": stage.gpus, "label_selector": dict(stage.node_labels) or None}
    work = _carrying(stage.work, replace(here(), pool=stage.name, piece=""))
    work.__name__ = work.__qualname__ = stage.name  # Ray names its operator, and its actors, after it
    one_row = {"batch_size": 1, "batch_format": "pyarrow", "zero_copy_batch": True, "udf_modifying_row_count": False}
    if not stage.actors:
        return dataset.map_batches(
            work, fn_kwargs=dict(stage.args), runtime_env=dict(stage.runtime_env) or None, **one_row, **placement
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*deprecated", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*will be removed in Ray 2.64")  # 2.60 has no other way to bound restarts
        return dataset.map_batches(
            work,
            fn_constructor_kwargs=dict(stage.args),
            compute=ray.data.ActorPoolStrategy(
                size=stage.actors, max_concurrent_calls_per_actor=stage.in_flight, enable_true_multi_threading=stage.in_flight > 1
            ),
            ray_remote_args_fn=partial(_actor_options, stage.runtime_env),
            **one_row,
            **placement,
        )


def _actor_options(runtime_env: Mapping[str, Any]) -> dict[str, Any]:
    """Bounds the restarts: Ray Data would restart an actor that a row kills for ever. engine/generate/watch.py finds that row."""
    bounds: dict[str, Any] = {"max_restarts": ACTOR_RESTARTS, "max_task_retries": ACTOR_RESTARTS}
    return bounds | ({"runtime_env": dict(runtime_env)} if runtime_env else {})
