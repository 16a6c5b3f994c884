"""The reconciler: read the seals, do the next step, seal it. Running it again continues; a finished run does nothing.

State is in the store, never in Ray or the driver. plan.py says which step is next, steps.py what does it.
"""

import json
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from typing import Any

from engine import flow
from engine.config import RunConfig, differing_keys
from engine.ingest import manifest
from engine.ingest.card import Card
from engine.ingest.clips import read_parts
from engine.ingest.pieces import cut
from engine.ingest.step import refuse_empty
from engine.report import evidence
from engine.report.page import page
from engine.rows import Attempt, Clip
from engine.run import plan, steps
from engine.run.lease import Lease
from engine.run.plan import BASE, INGEST, Kind, Step
from engine.run.resources import afford, needs
from engine.run.seals import Seal, write_seal
from engine.run.summary import summarize
from engine.run.work import CHECKPOINTS, RESUME, Progress, Work, pieces_of, read_attempts, read_seals
from engine.select.conversations import refuse_no_examples
from engine.store.files import Store, digest
from models.registry import check

log = logging.getLogger(__name__)

STORIES = 8
"""Clips that the report shows of each kind."""
NEED_RAY: frozenset[Kind] = frozenset({"generate", "train", "evaluate"})


def run(config: RunConfig, report: Callable[[Progress], None], until: str = "") -> dict[str, Any]:
    """Bring the run to its end, or to the step named `until`; returns the summary.

    Raises ValueError for what a user got wrong, StorageError where storage fails, Fenced where another driver took over.
    """
    store = Store(config.run.uri, config.access())
    if store.read("config.json") is None:
        _check(config, until)
    _claim(store, config)
    sealed = read_seals(store)
    if INGEST in sealed and sealed[INGEST].facts["manifest"] != manifest.fingerprint(config.data, config.access()):
        raise ValueError(f"{config.data.manifest} has changed since {store.url()} read it; restore it or choose another run.uri")
    if INGEST in sealed:
        sizes = {split: sum(parts) for split, parts in sealed[INGEST].facts["parts"].items()}
        refuse_empty(sizes, _splits_for(until))
    if plan.next_step(config, sealed, until) is None:
        log.info("nothing to do: %s is complete in %s", until or "the run", store.url())
    else:
        for told in afford(config):
            log.info("%s", told)
        with Lease(store) as lease:
            _advance(config, store, lease, report, until)
        sealed = read_seals(store)
    summary = summarize(config, sealed)
    _refresh(store, "summary.json", json.dumps(summary, indent=1, ensure_ascii=False).encode())
    if summary["best_accuracy"] is not None and summary["cycles"]:
        _refresh(store, "report.html", _report(config, store, summary, sealed).encode())
    return summary


def _advance(config: RunConfig, store: Store, lease: Lease, report: Callable[[Progress], None], until: str) -> None:
    """Step after step, while the lease holds."""

    def tell(progress: Progress) -> None:
        lease.check()
        report(progress)

    sealed = read_seals(store)  # what a driver before us sealed while we waited for the lease
    for name in sealed:
        _tidy(store, name)
    with ExitStack() as stack:
        connected = False
        while (step := plan.next_step(config, sealed, until)) is not None:
            if step.kind in NEED_RAY and not connected:
                stack.enter_context(flow.cluster(config.cluster.address, *needs(config)))
                connected = True
            identity = digest([step.name, config.identity(), [sealed[name].output for name in step.inputs]])
            sealed[step.name] = _do(Work(step=step, identity=identity, config=config, store=store, report=tell), lease)


def _refresh(store: Store, path: str, data: bytes) -> None:
    """Write what follows from the seals, unless it stands there already: a finished run is left as it is."""
    if store.read(path) != data:
        store.write(path, data)


def _report(config: RunConfig, store: Store, summary: dict[str, Any], sealed: dict[str, Seal]) -> str:
    """The page, from what the steps left: of a long run the first part of each split. Videos inside the run are named relative."""

    def first_part(split: str) -> tuple[list[Clip], list[str]]:
        for path, clips in islice(read_parts(store, split, sealed[INGEST].files), 1):
            return clips, [f"{piece.piece_id}.parquet" for piece in cut(path, clips, config.generate.piece_clips)]
        return [], []

    def attempts(step: str, pieces: list[str]) -> list[Attempt]:
        return read_attempts(store, [f"{pieces_of(step)}/{piece}" for piece in pieces]) if step in sealed else []

    def nearby(clips: list[Clip]) -> list[Clip]:
        return [replace(clip, video=clip.video.removeprefix(store.url() + "/")) for clip in clips]

    heldout, heldout_pieces = first_part("heldout")
    train, train_pieces = first_part("train")
    best = summary["best_cycle"]
    before = attempts(BASE, heldout_pieces)
    after = attempts(plan.name_of(best, "evaluate") if best >= 0 else BASE, heldout_pieces)
    first = attempts(plan.name_of(0, "generate"), train_pieces)
    return page(
        summary,
        evidence.by_label(heldout, before, after),
        evidence.learned(nearby(heldout), before, after, most=STORIES),
        evidence.rescued(nearby(train), first, most=STORIES),
        evidence.true_reasons(train, first),
    )


def _check(config: RunConfig, until: str) -> None:
    """Find what a user got wrong before the run's folder is claimed by a configuration that cannot work."""
    card = Card()
    for _ in manifest.read_manifest(config.data, config.access(), card):
        pass
    refuse_empty(card.counts(), _splits_for(until))
    refuse_no_examples(config.mixture, config.access())
    afford(config)
    for spec in config.models():
        if "://" not in spec.base:  # else the actors find out: fetching it would cost the driver what it costs them
            check(spec)


def _splits_for(until: str) -> list[str]:
    return {"": ["train", "heldout"], INGEST: [], BASE: ["heldout"]}.get(until, ["train"])


def _claim(store: Store, config: RunConfig) -> None:
    """Save the resolved configuration beside the run; refuse another one for the same run."""
    wanted = json.dumps(config.model_dump(mode="json"), indent=1).encode()
    try:
        if store.create("config.json", wanted):
            return
    except NotImplementedError as error:
        raise ValueError(f"run.uri {config.run.uri!r} cannot be written: {error!r}; choose another") from None
    saved = store.read("config.json")
    assert saved is not None
    if changed := differing_keys(RunConfig.model_validate_json(saved).identity(), config.identity()):
        raise ValueError(
            f"{store.uri} was begun with another configuration ({'; '.join(changed)}); restore it or choose another run.uri"
        )


def _tidy(store: Store, sealed_step: str) -> None:
    """Take away what only the way to the seal needed."""
    if sealed_step.endswith("/train"):
        for name in (RESUME, CHECKPOINTS):
            store.delete(f"{sealed_step}/{name}")


def _do(work: Work, lease: Lease) -> Seal:
    """Run a step and seal it, unless another driver has taken the run over meanwhile."""
    step: Step = work.step
    lease.begin(step.name)
    work.report(Progress(step=step.name, unit="", done=0, total=0))
    start = time.monotonic()
    made = steps.DO[step.kind](work)
    seconds = round(time.monotonic() - start, 3)
    seal = Seal(
        step=step.name,
        identity=work.identity,
        files=work.store.describe(made.files),
        counts=made.counts,
        facts=made.facts,
        seconds=seconds,
        epoch=lease.epoch,
    )
    log.info("%s: %s in %.1f s", step.name, ", ".join(f"{name} {count}" for name, count in made.counts.items()), seconds)
    lease.confirm()
    sealed = write_seal(work.store, seal)
    _tidy(work.store, step.name)
    return sealed
