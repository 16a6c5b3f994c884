"""The page of a run, from what its steps left in the store."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from engine.config import HELDOUT
from engine.ingest.clips import read_parts
from engine.report import evidence
from engine.report.page import page
from engine.rows import Attempt, Clip
from engine.run.plan import BASE, INGEST, TRAIN, name_of
from engine.run.seals import Seal
from engine.run.work import read_attempts, read_index, spans_by_part
from engine.store.files import Store

STORIES = 8
"""Clips that the report shows of each kind."""


def report_page(store: Store, summary: Mapping[str, Any], sealed: Mapping[str, Seal]) -> str:
    """Of a long run the page shows the first part of each split. Videos inside the run are named relative to it."""
    heldout, train = (_first_part(store, split, sealed[INGEST]) for split in (HELDOUT, TRAIN))
    best = summary["best_cycle"]
    before = _attempts(store, BASE)
    after = _attempts(store, name_of(best, "evaluate") if best >= 0 else BASE)
    first = _attempts(store, name_of(0, "generate"))
    return page(
        summary,
        evidence.by_label(heldout, before, after),
        evidence.learned(_nearby(store, heldout), before, after, most=STORIES),
        evidence.rescued(_nearby(store, train), first, most=STORIES),
        evidence.true_reasons(train, first),
    )


def _first_part(store: Store, split: str, ingested: Seal) -> list[Clip]:
    return next((clips for _, clips in islice(read_parts(store, split, ingested.files), 1)), [])


def _attempts(store: Store, step: str) -> list[Attempt]:
    """The attempts at the first part's clips."""
    records = read_index(store, step) or {}
    first = {span.piece_id for span in spans_by_part(records).get(0, ())}
    return read_attempts(store, [record for path, record in records.items() if path.rsplit("-", 1)[-1][:32] in first])


def _nearby(store: Store, clips: list[Clip]) -> list[Clip]:
    return [replace(clip, video=clip.video.removeprefix(store.url() + "/")) for clip in clips]
