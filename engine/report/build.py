"""The page of a run, from what its steps left in the store."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from engine.config import HELDOUT
from engine.ingest.clips import read_parts
from engine.ingest.pieces import number_of, span_of
from engine.report import evidence
from engine.report.page import page
from engine.rows import Attempt, Clip
from engine.run.plan import BASE, INGEST, TRAIN, name_of
from engine.run.seals import Seal
from engine.run.work import read_attempts, read_index
from engine.store.files import FileRecord, Store

STORIES = 8
"""Clips that the report shows of each kind."""


def report_page(store: Store, summary: Mapping[str, Any], sealed: Mapping[str, Seal]) -> str:
    """Accuracy by label counts all held-out clips, a part at a time; the clips that are shown are chosen from the first part.

    Videos inside the run are named relative to it.
    """
    best, ingested = summary["best_cycle"], sealed[INGEST].files
    before = _Attempts(store, BASE)
    after = _Attempts(store, name_of(best, "evaluate")) if best >= 0 else before
    counts = evidence.LabelCounts()
    learned: list[evidence.Story] = []
    for path, clips in read_parts(store, HELDOUT, ingested):
        number = number_of(path)
        attempts_before = before.of_part(number)
        attempts_after = after.of_part(number) if best >= 0 else attempts_before
        counts.add(clips, attempts_before, attempts_after)
        if number == 0:
            learned = evidence.learned(_nearby(store, clips), attempts_before, attempts_after, most=STORIES)
    train = next((clips for _, clips in islice(read_parts(store, TRAIN, ingested), 1)), [])
    first = _Attempts(store, name_of(0, "generate")).of_part(0)
    return page(
        summary,
        counts.scores(),
        learned,
        evidence.rescued(_nearby(store, train), first, most=STORIES),
        evidence.word_for_word(train, first),
    )


class _Attempts:
    """The attempts of a sealed step, read a part at a time."""

    def __init__(self, store: Store, step: str) -> None:
        self._store = store
        self._records: dict[int, list[FileRecord]] = {}
        """Of the pieces, by the number of their part."""
        for path, record in (read_index(store, step) or {}).items():
            if span := span_of(path):
                self._records.setdefault(span.part_number, []).append(record)

    def of_part(self, number: int) -> list[Attempt]:
        return read_attempts(self._store, self._records.get(number, ()))


def _nearby(store: Store, clips: list[Clip]) -> list[Clip]:
    return [replace(clip, video=clip.video.removeprefix(store.url() + "/")) for clip in clips]
