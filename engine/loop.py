"""The reconciler: read the seals, do the next step, seal it. Running it again continues; a finished run does nothing.

State is in the store, never in Ray or the driver. Which step is next is engine/plan.py, what a step does is engine/steps.py.
"""

import json
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from engine import flow, plan, steps
from engine.config import RunConfig, differing_keys
from engine.data import manifest
from engine.plan import BASE, INGEST, Kind, Step
from engine.report import evidence
from engine.report.page import page
from engine.rows import Attempt, Clip
from engine.steps import Made, Progress, Work
from engine.store import Seal, Store, digest, read_seal, write_seal
from engine.summary import KINDS, summarize
from models.base import ModelSpec, frame_spec

log = logging.getLogger(__name__)

DO: dict[Kind, Callable[[Work], Made]] = {
    "ingest": steps.ingest,
    "generate": steps.generate,
    "select": steps.select_examples,
    "train": steps.train,
    "evaluate": steps.evaluate,
}
STORIES = 8
"""Clips that the report shows of each kind."""
NEED_RAY = frozenset({"generate", "train", "evaluate"})


def run(config: RunConfig, report: Callable[[Progress], None], until: str = "") -> dict[str, Any]:
    """Bring the run to its end, or to the step named `until`; returns the summary. Raises ValueError for what a user got wrong."""
    store = Store(config.run.uri, config.run.storage_options)
    if store.read("config.json") is None:
        _check(config, until)
    _claim(store, config)
    sealed = read_seals(store)
    if INGEST in sealed and sealed[INGEST].facts["manifest"] != manifest.fingerprint(config.data):
        raise ValueError(f"{config.data.manifest} has changed since {store.url()} read it; restore it or choose another run.uri")
    with ExitStack() as stack:
        connected, done = False, 0
        while (step := plan.next_step(config, sealed, until)) is not None:
            if step.kind in NEED_RAY and not connected:
                stack.enter_context(flow.cluster(config.cluster.address, *_needs(config)))
                connected = True
            sealed[step.name] = _do(Work(step=step, config=config, store=store, report=report), sealed)
            done += 1
    if not done:
        log.info("nothing to do: %s is complete in %s", until or "the run", store.url())
    summary = summarize(config, sealed)
    _refresh(store, "summary.json", json.dumps(summary, indent=1, ensure_ascii=False).encode())
    if summary["best_accuracy"] is not None and summary["cycles"]:
        _refresh(store, "report.html", _report(store, summary, sealed).encode())
    return summary


def _refresh(store: Store, path: str, data: bytes) -> None:
    """Write what follows from the seals, unless it stands there already: a finished run is left as it is."""
    if store.read(path) != data:
        store.write(path, data)


def _report(store: Store, summary: dict[str, Any], sealed: dict[str, Seal]) -> str:
    """The page, from what the steps left; videos inside the run's folder are named relative to it."""

    def attempts(step: str) -> list[Attempt]:
        return steps.read_attempts(store, [record.path for record in sealed[step].files]) if step in sealed else []

    def local(clip: Clip) -> Clip:
        return replace(clip, video=clip.video.removeprefix(store.url() + "/"))

    clips = [local(clip) for clip in manifest.from_table(store.read_table(steps.CLIPS_PATH))]
    heldout = [clip for clip in clips if clip.split == "heldout"]
    best = summary["best_cycle"]
    before, after = attempts(BASE), attempts(plan.name_of(best, "evaluate") if best >= 0 else BASE)
    first = attempts(plan.name_of(0, "generate"))
    return page(
        summary,
        evidence.by_label(heldout, before, after),
        evidence.learned(heldout, before, after, most=STORIES),
        evidence.rescued(clips, first, most=STORIES),
        evidence.true_reasons(clips, first),
    )


def _check(config: RunConfig, until: str) -> None:
    """Find what a user got wrong before the run's folder is claimed by a configuration that cannot work."""
    clips = manifest.read_manifest(config.data)
    if until != BASE:
        steps.of_split(clips, "train")
    if until == BASE or not until.startswith("cycle-000/"):
        steps.of_split(clips, "heldout")
    frame_spec(ModelSpec(base=config.model.instruct or config.model.base))


def _needs(config: RunConfig) -> tuple[float, float]:
    """CPUs and GPUs without which a step would wait for ever: the actors, and one decode task beside them."""
    cluster, workers = config.cluster, config.train.num_workers
    generating, training = cluster.generator_actors * cluster.generator_cpus, workers * cluster.train_cpus
    gpus = max(cluster.generator_actors * cluster.generator_gpus, workers * cluster.train_gpus)
    return max(generating, training) + cluster.decode_cpus, gpus


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
    except (OSError, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or repr(error)
        raise ValueError(f"run.uri {config.run.uri!r} cannot be written: {why}; choose another") from None
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
