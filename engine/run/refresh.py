"""What follows from a run's seals and from people's words: summary.json, report.html and cards, written again where they differ."""

from collections.abc import Mapping
from typing import Any

from engine.config import RunConfig
from engine.export.model_card import model_card
from engine.export.run_card import cards
from engine.run.collected import collected_by_step, collected_of
from engine.run.plan import INGEST, history, name_of
from engine.run.reports import ablations_of, begin_report
from engine.run.seals import Seal
from engine.run.summary import summarize
from engine.store.documents import to_json
from engine.store.files import Store
from engine.store.weights import CARD


def refresh(store: Store, config: RunConfig, sealed: Mapping[str, Seal]) -> dict[str, Any]:
    """Returns the summary; "ablations" are those of the run's ablations, by name, where it has some.

    A finished run whose files say what they should is left as it is.
    """
    summary = summarize(config, sealed)
    if ablations := ablations_of(store):
        summary["ablations"] = ablations
    _write(store, "summary.json", to_json(summary, indent=1))
    begin_report(store, config, sealed).wait()
    write_cards(store, config, sealed)
    for cycle in range(len(history(sealed).cycles)):
        folder = f"{name_of(cycle, 'train')}/model"
        if name_of(cycle, "train") in sealed and folder not in collected_of(store, name_of(cycle, "train")):
            _write(store, f"{folder}/{CARD}", model_card(config, sealed, cycle, store.url()))
    return summary


def write_cards(store: Store, config: RunConfig, sealed: Mapping[str, Seal]) -> None:
    """Of the run's folder and of its clips, by which `datasets` loads them."""
    if INGEST in sealed:
        collected = {path for paths in collected_by_step(store, sealed).values() for path in paths}
        for path, data in cards(config, sealed, store.url(), collected).items():
            _write(store, path, data)


def _write(store: Store, path: str, data: bytes) -> None:
    """Unless the file says so already."""
    if store.read(path) != data:
        store.write(path, data)
