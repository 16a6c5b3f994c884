"""What follows from a run's seals and from people's words: summary.json, report.html and cards, written again where they differ."""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from engine.audit.audit import SAMPLES
from engine.audit.reviews import records_of
from engine.config import RunConfig
from engine.export.model_card import model_card
from engine.export.run_card import cards
from engine.report.build import Subject, report_page
from engine.report.page import INPUTS, strips_in
from engine.run.collected import collected_of
from engine.run.logs import COMMAND, LOGS
from engine.run.plan import INGEST, history, name_of, next_step
from engine.run.seals import Seal
from engine.run.summary import has_report, summarize
from engine.store.documents import to_json
from engine.store.files import Store, digest
from engine.store.weights import CARD

REPORT = "report.html"
CURVE, ICL = "curve.json", "icl.json"
STEPS = re.compile(r"ingest$|base$|cycle-\d+$|logs$|lease$|report$|audit$|tensorboard$|trackers$|export$|videos$")
"""Folders of a run in which no curve lies."""
PAGE_VERSION = 3
"""Counts up where the same run gives another page."""
HEAD_BYTES = 4096
"""Of a page, that hold the digest of what it was made of."""


def refresh(store: Store, config: RunConfig, sealed: Mapping[str, Seal]) -> dict[str, Any]:
    """Returns the summary. A finished run whose files say what they should is left as it is."""
    summary = summarize(config, sealed)
    _write(store, "summary.json", to_json(summary, indent=1))
    refresh_report(store, config, sealed)
    if INGEST in sealed:
        for path, data in cards(config, sealed, store.url()).items():
            _write(store, path, data)
    for cycle in range(len(history(sealed).cycles)):
        folder = f"{name_of(cycle, 'train')}/model"
        if name_of(cycle, "train") in sealed and folder not in collected_of(store, name_of(cycle, "train")):
            _write(store, f"{folder}/{CARD}", model_card(config, sealed, cycle, store.url()))
    return summary


def refresh_report(store: Store, config: RunConfig, sealed: Mapping[str, Seal]) -> None:
    """Write the report, unless the one that is there was made of the same: nothing is read or decoded for it again."""
    subject = subject_of(store, config, sealed)
    if not has_report(subject.summary) or inputs_of(old := store.read(REPORT)) == subject.inputs:
        return
    strips = strips_in(old.decode()) if old and inputs_of(old) else {}
    store.write(REPORT, report_page(replace(subject, strips=strips)).encode())


def subject_of(store: Store, config: RunConfig, sealed: Mapping[str, Seal]) -> Subject:
    summary = summarize(config, sealed)
    step, beside, curves = next_step(config, sealed), _beside(store), _curves(store)
    audited = [*store.names(SAMPLES), *(asdict(record) for record in records_of(store))]
    outputs = [[name, seal.output, seal.seconds] for name, seal in sealed.items()]
    commands = _commands(store)
    return Subject(
        store=store,
        config=config,
        summary=summary,
        sealed=sealed,
        commands=commands,
        beside=beside,
        curves=curves,
        next_step="" if step is None else step.name,
        inputs=digest([PAGE_VERSION, summary, outputs, audited, beside, curves, [of.get("outcome") for of in commands]]),
    )


def inputs_of(page: bytes | None) -> str:
    """The digest of what a page was made of; "" where there is none.

    >>> inputs_of(b'<meta name="starloop-inputs" content="9f3c">')
    '9f3c'
    """
    _, _, after = (page or b"")[:HEAD_BYTES].partition(f'name="{INPUTS}" content="'.encode())
    return after.partition(b'"')[0].decode(errors="replace")


def _write(store: Store, path: str, data: bytes) -> None:
    """Unless the file says so already."""
    if store.read(path) != data:
        store.write(path, data)


def _commands(store: Store) -> list[dict[str, Any]]:
    """What the first and the last command left about themselves; a file that is no JSON is left out."""
    folders = store.folders(LOGS)
    commands = []
    for name in dict.fromkeys([*folders[:1], *folders[-1:]]):
        try:
            commands.append(json.loads(store.read(f"{LOGS}/{name}/{COMMAND}") or b""))
        except ValueError:
            continue
    return [command for command in commands if isinstance(command, dict)]


def _curves(store: Store) -> dict[str, Any]:
    """The curves that `starloop few-shot` left in folders of the run, and icl.json of the `starloop icl` that the run is part of.

    A file that is no JSON is left out.
    """
    files = {name: (store, f"{name}/{CURVE}") for name in store.folders("") if not STEPS.match(name)}
    if match := re.fullmatch(r"(.+)/trained-on/[^/]+/seed-\d+", store.uri.rstrip("/")):
        files |= {ICL: (Store(match[1], store.storage), ICL)}
    curves = {}
    for name, (folder, path) in files.items():
        if (data := folder.read(path)) is not None:
            with contextlib.suppress(ValueError):
                curves[name] = json.loads(data)
    return curves


def _beside(store: Store) -> dict[str, dict[str, Any]]:
    """The summaries of the run's ablations, which `starloop demo --ablations` writes below it."""
    summaries = {}
    for name in store.folders("ablations"):
        if (data := store.read(f"ablations/{name}/summary.json")) is not None:
            summaries[name] = json.loads(data)
    return summaries
