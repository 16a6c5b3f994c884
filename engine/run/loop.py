"""The reconciler: read the seals, do the next step, seal it. Running it again continues; a finished run does nothing.

State is in the store, never in Ray or the driver. plan.py says which step is next, steps.py what does it.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from engine.config import RunConfig
from engine.connection import connect
from engine.report.build import report_page
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
from engine.run.plan import INGEST, TRAIN, Kind, Step, next_step, refuse_gaps, unrationalized
from engine.run.resources import afford, needs
from engine.run.seals import Seal, write_seal
from engine.run.steps import DO
from engine.run.summary import has_report, result_of, summarize
from engine.run.trackers import tracked
from engine.run.waiting import Waiting
from engine.run.work import CHECKPOINTS, RESUME, Progress, Work, read_seals
from engine.store.documents import to_json
from engine.store.files import Store, digest

log = logging.getLogger(__name__)

NEED_RAY: frozenset[Kind] = frozenset({"generate", "train", "evaluate"})


def run(config: RunConfig, report: Callable[[Progress], None], until: str = "") -> dict[str, Any]:
    """Bring the run to its end, or to the step named `until`; returns the summary.

    Raises ValueError for what a user got wrong, StorageError where storage fails, Fenced where another driver took over.
    """
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
        budget = afford(config, TRAIN in splits_for(until))
        for line in filter(None, [*budget, unrationalized(config), greet_elsewhere(config, sealed, until)]):
            log.info("%s", line)
        with ExitStack() as stack:
            lease = stack.enter_context(Lease(store))
            note_costs(store, config)
            report_to_all = stack.enter_context(tracked(config.run.trackers, store.url(), config.model_dump(mode="json"), report))
            sealed = _advance(Driver(config, store, lease, report_to_all), config, until)
    summary = summarize(config, sealed)
    _refresh(store, "summary.json", to_json(summary, indent=1))
    if has_report(summary):
        _refresh(store, "report.html", report_page(store, summary, sealed).encode())
    return summary


class Driver:
    """One command at work on a run, under its lease: connects to Ray when a step first needs it, does steps, seals them."""

    def __init__(self, config: RunConfig, store: Store, lease: Lease, report: Callable[[Progress], None]) -> None:
        self._config, self._store, self._lease, self._report = config, store, lease, report
        self._stack, self._is_connected = ExitStack(), False
        self._waiting: Waiting | None = None
        """Of a step that uses Ray."""

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, *error: Any) -> None:
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
        if step.kind in NEED_RAY and not self._is_connected:
            self._stack.enter_context(connect(config.cluster.address, *needs(config)))
            self._is_connected = True
        identity = digest([step.name, config.identity(), [sealed[name].output for name in step.inputs]])
        self._lease.begin(step.name)
        self._tell(Progress(step=step.name, unit="", done=0, total=0))
        start = time.monotonic()
        with self._waiting_for(step, config):
            result = DO[step.kind](Work(step=step, identity=identity, config=config, store=self._store, report=self._tell))
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
        _tidy(self._store, step.name)
        return written

    @contextmanager
    def _waiting_for(self, step: Step, config: RunConfig) -> Iterator[None]:
        if step.kind not in NEED_RAY:
            yield
            return
        cpus, gpus = needs(config)
        with Waiting(step.name, {"CPU": cpus, "GPU": gpus}) as self._waiting:
            yield

    def _tell(self, progress: Progress) -> None:
        self._lease.check()
        if self._waiting and progress.unit and (progress.done > progress.before or progress.done == progress.total):
            self._waiting.progress()
        self._report(progress)


def _advance(driver: Driver, config: RunConfig, until: str) -> dict[str, Seal]:
    """Step after step, while the lease holds."""
    with driver:
        sealed = driver.sealed()
        while (step := next_step(config, sealed, until)) is not None:
            sealed[step.name] = driver.do(step, sealed)
            if step.name == INGEST:
                refuse_empty_splits(sealed[INGEST], until)
    return sealed


def _refresh(store: Store, path: str, data: bytes) -> None:
    """Write what follows from the seals, unless it stands there already: a finished run is left as it is."""
    if store.read(path) != data:
        store.write(path, data)


def _tidy(store: Store, sealed_step: str) -> None:
    """Delete the checkpoints of a train step: only a step that is not sealed needs them."""
    if sealed_step.endswith("/train"):
        for name in (RESUME, CHECKPOINTS):
            store.delete(f"{sealed_step}/{name}")
