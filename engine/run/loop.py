"""The reconciler: read the seals, do the next step, seal it. Running it again continues; a finished run does nothing.

State is in the store, never in Ray or the driver. plan.py says which step is next, steps.py what does it.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from engine.audit.reviews import records_of
from engine.config import RunConfig
from engine.connection import connect
from engine.metrics import emit
from engine.run.caveats import caveats
from engine.run.checks import (
    check_inputs,
    claim,
    greet_elsewhere,
    note_costs,
    refuse_changed_inputs,
    refuse_empty_splits,
    splits_for,
)
from engine.run.lease import Lease
from engine.run.logs import RunLogs
from engine.run.measures import measure_progress, measure_seal
from engine.run.place import place, refuse_other_nodes
from engine.run.plan import INGEST, TRAIN, Kind, Step, next_step, refuse_gaps
from engine.run.refresh import refresh
from engine.run.reports import Writing, begin_report
from engine.run.resources import afford, needs
from engine.run.seals import Seal, write_seal
from engine.run.steps import DO
from engine.run.summary import result_of
from engine.run.trackers import Tracked, TrackedRun, refuse_missing_trackers, tracked
from engine.run.waiting import Waiting
from engine.run.work import CHECKPOINTS, RESUME, Progress, Work, read_seals
from engine.store.files import Store, digest
from engine.store.locations import refuse_placeholder
from engine.store.troubles import StorageError

log = logging.getLogger(__name__)

NEED_RAY: frozenset[Kind] = frozenset({"generate", "train", "evaluate"})


def run(config: RunConfig, report: Callable[[Progress], None], until: str = "") -> dict[str, Any]:
    """Bring the run to its end, or to the step named `until`; returns the summary.

    Raises ValueError for what a user got wrong, StorageError where storage fails, Fenced where another driver took over.
    """
    refuse_placeholder("run.uri", config.run.uri)
    store = Store(config.run.uri, config.access())
    if store.read("config.json") is None:
        check_inputs(config, until)
    config = claim(store, config)
    sealed = read_seals(store)
    refuse_gaps(config, sealed)
    if INGEST in sealed:
        refuse_changed_inputs(config, store, sealed[INGEST], until)
    if next_step(config, sealed, until) is None:
        log.info("nothing to do: %s is complete in %s", until or "the run", store.url())
    else:
        refuse_missing_trackers(config.run.trackers)
        budget = afford(config, TRAIN in splits_for(until))
        lines = [*budget, *caveats(config), greet_elsewhere(config, sealed, until)]
        with ExitStack() as stack:
            stack.enter_context(emit.reporting(store.url(), config.cluster.metrics_port))
            lease = stack.enter_context(Lease(store, on_beat=emit.lease_renewed, on_loss=emit.lease_lost))
            logs = stack.enter_context(RunLogs(store, lease.epoch, config, until))
            for line in filter(None, lines):
                log.info("%s", line)
            note_costs(store, config)
            trackers = stack.enter_context(
                tracked(config.run.trackers, TrackedRun.of(config, store, list(sealed.values())), report)
            )
            sealed = _advance(Driver(config, store, lease, logs, trackers), config, until)
    return refresh(store, config, sealed)


class Driver:
    """One command at work on a run, under its lease: connects to Ray when a step first needs it, does steps, seals them."""

    def __init__(self, config: RunConfig, store: Store, lease: Lease, logs: RunLogs, trackers: Tracked) -> None:
        self._config, self._store, self._lease, self._logs, self._trackers = config, store, lease, logs, trackers
        self._stack, self._is_connected = ExitStack(), False
        self._waiting: Waiting | None = None
        """Of a step that uses Ray."""
        self._writing = Writing()
        """The report after the last evaluation."""

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, kind: Any, *error: Any) -> None:
        try:
            if kind is None:
                self._end_report()
        finally:
            self._writing.stop()
            emit.flush()
            self._stack.close()

    def sealed(self) -> dict[str, Seal]:
        """What is sealed by now, also by a driver that held the lease before. Deletes the checkpoints of sealed train steps."""
        sealed = read_seals(self._store)
        for name in sealed:
            _tidy(self._store, name)
        return sealed

    def do(self, step: Step, sealed: Mapping[str, Seal], config: RunConfig | None = None) -> Seal:
        """Run a step and seal it, unless another driver has taken the run over meanwhile.

        `config`: the one that the step follows where it is not the run's own.
        """
        config = config or self._config
        reviews = records_of(self._store) if step.kind == "select" else ()
        inputs = [sealed[name].output for name in step.inputs] + [record.sha256 for record in reviews]
        identity = digest([step.name, config.identity(), inputs])
        self._lease.begin(step.name)
        self._logs.begin(step.name)
        self._tell(Progress(step=step.name, unit="", done=0, total=0))
        start = time.monotonic()
        with emit.doing(step.name, step.cycle), self._placed(step, config) as placed:
            work = Work(
                step=step,
                identity=identity,
                config=placed,
                store=self._store,
                report=self._tell,
                epoch=self._lease.epoch,
                reviews=reviews,
                check=self._check,
                at_work=self._at_work,
            )
            result = DO[step.kind](work)
        seal = Seal(
            step=step.name,
            identity=identity,
            files=self._store.describe(result.files),
            counts=result.counts,
            facts=result.facts,
            seconds=round(time.monotonic() - start, 3),
            epoch=self._lease.epoch,
        )
        log.info(
            "%s: %s in %.1f s",
            step.name,
            ", ".join([*filter(None, [result_of(seal)]), *(f"{name} {count}" for name, count in seal.counts.items())]),
            seal.seconds,
        )
        self._lease.confirm()
        written = write_seal(self._store, seal)
        measure_seal(seal)
        _tidy(self._store, step.name)
        self._trackers.sealed(written)
        self._logs.write()
        return written

    def report(self, sealed: Mapping[str, Seal]) -> None:
        """The report as it is by now. What cannot be reported now, the end of the run reports or says: it costs no run its way."""
        self._end_report()
        with _warned():
            self._writing = begin_report(self._store, self._config, sealed)

    def _end_report(self) -> None:
        with _warned():
            self._writing.wait()

    @contextmanager
    def _placed(self, step: Step, config: RunConfig) -> Iterator[RunConfig]:
        """The configuration with what the cluster decides; while the block runs, it is said what the step waits for."""
        if step.kind not in NEED_RAY:
            yield config
            return
        if not self._is_connected:
            self._stack.enter_context(connect(config.cluster.address, *needs(config), run=config.run.uri))
            self._is_connected = True
            refuse_other_nodes(config)
        cluster, demands = place(step, config)
        try:
            with Waiting(step.name, demands, config.limits.resource_patience_s) as self._waiting:
                yield config.model_copy(update={"cluster": cluster})
        finally:
            self._waiting = None

    def _check(self) -> None:
        self._lease.check()
        if self._waiting:
            self._waiting.check()

    def _at_work(self) -> None:
        if self._waiting:
            self._waiting.progress()

    def _tell(self, progress: Progress) -> None:
        self._lease.check()
        measure_progress(progress)
        if self._waiting and progress.unit and (progress.done > progress.before or progress.done == progress.total):
            self._waiting.progress()
        self._logs.progress(progress)
        self._trackers.report(progress)


@contextmanager
def _warned() -> Iterator[None]:
    try:
        yield
    except (ValueError, StorageError) as error:
        log.warning("report.html could not be written: %s", error)


def _advance(driver: Driver, config: RunConfig, until: str) -> dict[str, Seal]:
    """Step after step, while the lease holds."""
    with driver:
        sealed = driver.sealed()
        while (step := next_step(config, sealed, until)) is not None:
            sealed[step.name] = driver.do(step, sealed)
            if step.name == INGEST:
                refuse_empty_splits(sealed[INGEST], until)
            if step.kind == "evaluate" and next_step(config, sealed, until) is not None:  # else the command's end writes it
                driver.report(sealed)
    return sealed


def _tidy(store: Store, sealed_step: str) -> None:
    """Delete the checkpoints of a train step: only a step that is not sealed needs them."""
    if sealed_step.endswith("/train"):
        for name in (RESUME, CHECKPOINTS):
            store.delete(f"{sealed_step}/{name}")
