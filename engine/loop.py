"""The reconciler: read the seals, do the next step, seal it. Running it again continues; a finished run does nothing.

State is in the store, never in Ray or the driver. Which step is next is engine/plan.py, what a step does is engine/steps.py.
"""

import json
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from engine import flow, plan, steps
from engine.config import RunConfig, differing_keys
from engine.plan import BASE, INGEST, Kind, Step
from engine.steps import Made, Progress, Work
from engine.store import Seal, Store, digest, read_seal, write_seal
from engine.summary import KINDS, summarize

log = logging.getLogger(__name__)

DO: dict[Kind, Callable[[Work], Made]] = {
    "ingest": steps.ingest,
    "generate": steps.generate,
    "select": steps.select_examples,
    "train": steps.train,
    "evaluate": steps.evaluate,
}
NEED_RAY = frozenset({"generate", "train", "evaluate"})


def run(config: RunConfig, report: Callable[[Progress], None], until: str = "") -> dict[str, Any]:
    """Bring the run to its end, or to the step named `until`; returns the summary. Raises ValueError for what a user got wrong."""
    store = Store(config.run.uri, config.run.storage_options)
    _claim(store, config)
    sealed = read_seals(store)
    with ExitStack() as stack:
        connected = False
        while (step := plan.next_step(config, sealed, until)) is not None:
            if step.kind in NEED_RAY and not connected:
                stack.enter_context(flow.cluster(config.cluster.address))
                connected = True
            sealed[step.name] = _do(Work(step=step, config=config, store=store, report=report), sealed)
    summary = summarize(config, sealed)
    store.write("summary.json", json.dumps(summary, indent=1, ensure_ascii=False).encode())
    return summary


def is_complete(config: RunConfig, until: str = "") -> bool:
    """Whether the run, or the step named `until`, has nothing left to do."""
    sealed = read_seals(Store(config.run.uri, config.run.storage_options))
    return plan.next_step(config, sealed, until) is None


def read_seals(store: Store) -> dict[str, Seal]:
    """All seals of a run, by step: the first cycle without any is the end."""
    sealed = _read(store, [INGEST, BASE])
    cycle = 0
    while found := _read(store, [plan.name_of(cycle, kind) for kind in KINDS]):
        sealed |= found
        cycle += 1
    return sealed


def _read(store: Store, names: list[str]) -> dict[str, Seal]:
    return {name: seal for name in names if (seal := read_seal(store, name)) is not None}


def _claim(store: Store, config: RunConfig) -> None:
    """Save the resolved configuration beside the run; refuse another one for the same run."""
    wanted = json.dumps(config.model_dump(mode="json"), indent=1).encode()
    try:
        if store.create("config.json", wanted):
            return
    except (NotADirectoryError, FileExistsError, PermissionError) as error:
        raise ValueError(f"run.uri {config.run.uri!r} cannot be a run's folder: {error.strerror}; choose another") from None
    saved = store.read("config.json")
    assert saved is not None
    if changed := differing_keys(RunConfig.model_validate_json(saved).identity(), config.identity()):
        raise ValueError(
            f"{store.uri} was begun with another configuration ({'; '.join(changed)}); restore it or choose another run.uri"
        )


def _do(work: Work, sealed: dict[str, Seal]) -> Seal:
    """Run a step and seal it."""
    step: Step = work.step
    identity = digest([step.name, work.config.identity(), [sealed[name].output for name in step.inputs]])
    work.report(Progress(step=step.name, unit="", done=0, total=0))
    start = time.monotonic()
    made = DO[step.kind](work)
    seconds = round(time.monotonic() - start, 3)
    seal = Seal(
        step=step.name,
        identity=identity,
        files=work.store.describe(made.files),
        counts=made.counts,
        facts=made.facts,
        seconds=seconds,
    )
    log.info("%s: %s in %.1f s", step.name, ", ".join(f"{name} {count}" for name, count in made.counts.items()), seconds)
    return write_seal(work.store, seal)
