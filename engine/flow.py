"""Stage and run: rows through CPU tasks and GPU actors. The only file that uses ray.data."""

import logging
import re
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial, wraps
from itertools import islice
from typing import Any

import ray
import ray.data
from ray.data._internal.execution.execution_callback import ExecutionCallback

from engine.memory import built_to_stay, keep_freed_memory
from engine.store.troubles import StorageError
from models.base import ModelAway

log = logging.getLogger(__name__)

Row = dict[str, Any]
WINDOW_ROWS, WINDOW_ROWS_PER_ACTOR = 1024, 256
"""Maximum rows of one dataset: few, because the driver keeps something of each; enough that an actor's start hardly counts."""
LOOP_PAUSE_S = 0.01
"""Pause of Ray Data's scheduling loop in each turn."""
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


def run(
    rows: Iterable[Row], stages: list[Stage], ordered: bool = False, name: str = "", flows: int = 1
) -> Generator[Row, None, None]:
    """Stream rows through the stages and yield the results, as they come or in the order of the rows.

    `name`: the dataset's name on Ray's dashboard. `flows`: how many run at the same time, as those of training workers do: each
    plans with its share of the object store.

    One row is one block, so a row is the unit of travel, of retry and of loss: the caller makes it a piece. The driver keeps
    something of each block of a dataset (github.com/ray-project/ray/issues/66016), so long inputs are run as several datasets.
    Raises a stage's error of CARRIED as it is, and any other one inside Ray's exception.
    """
    waiting = iter(rows)
    while window := list(islice(waiting, max(WINDOW_ROWS, WINDOW_ROWS_PER_ACTOR * max(stage.actors for stage in stages)))):
        for row in _stream(window, stages, ordered, name, flows):
            if ERROR_COLUMN in row:
                kind, *arguments = row[ERROR_COLUMN]
                raise CARRIED[kind](*arguments)
            yield row


def _carrying(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same work, with errors of CARRIED turned into rows: Ray Data wraps a stage's exception and loses its type."""
    if isinstance(work, type):

        class Carrying(work):  # type: ignore[valid-type,misc]
            def __init__(self, **arguments: Any) -> None:
                self._refused: Row | None = None
                keep_freed_memory()
                try:
                    with built_to_stay():
                        super().__init__(**arguments)
                except tuple(CARRIED.values()) as error:
                    self._refused = _error_row(error)

            def __call__(self, row: Row) -> Row:
                return self._refused or _carry(super().__call__, row)

        return Carrying

    @wraps(work)
    def call(row: Row, **arguments: Any) -> Row:
        return _carry(work, row, **arguments)

    return call


def _carry(work: Callable[..., Row], row: Row, **arguments: Any) -> Row:
    if ERROR_COLUMN in row:
        return row
    try:
        return work(row, **arguments)
    except (StorageError, ChildProcessError, ModelAway) as error:
        return _error_row(error)


def _error_row(error: Exception) -> Row:
    trouble = [error.trouble] if isinstance(error, StorageError) else []
    return {ERROR_COLUMN: [type(error).__name__ if type(error).__name__ in CARRIED else "ValueError", *trouble, str(error)]}


class LoopPause(ExecutionCallback):  # type: ignore[misc]
    """Makes Ray Data's scheduling loop pause: with a slow consumer it never waits, and beside training it took 40 % of a core."""

    def on_execution_step(self, executor: Any) -> None:
        time.sleep(LOOP_PAUSE_S)


def _stream(rows: list[Row], stages: list[Stage], ordered: bool, name: str, flows: int) -> Iterator[Row]:
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = ordered
    context.override_object_store_memory_limit_fraction = OBJECT_STORE_SHARE / flows
    context.execution_no_progress_timeout_s = -1  # fires on a slow consumer too, and ours may be a training step
    context.max_errored_blocks = 0
    context.max_consecutive_actor_init_deaths = 3
    context.custom_execution_callback_classes = [*context.custom_execution_callback_classes, LoopPause]
    with ray.data.DataContext.current(context):
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
        for stage in stages:
            dataset = _mapped(dataset, stage)
        if name:
            dataset.set_name(re.sub(r"[^\w.-]+", "-", name))  # it is a log file's name too
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
    """Bounds the restarts: Ray Data would restart an actor that a row kills for ever. engine/generate/watch.py finds that row."""
    bounds: dict[str, Any] = {"max_restarts": ACTOR_RESTARTS, "max_task_retries": ACTOR_RESTARTS}
    return bounds | ({"runtime_env": dict(runtime_env)} if runtime_env else {})
