"""Reads the attempts of a run for its report: first all of them, to be counted, then the shown ones whole."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.config import HELDOUT
from engine.ingest.clips import read_parts
from engine.ingest.pieces import number_of, span_of
from engine.labels import name_of as label_name
from engine.report.chosen import Chosen, Place
from engine.report.counts import StepCounts
from engine.report.stories import Uses
from engine.rows import Attempt, Clip, Trace
from engine.run.plan import INGEST, TRAIN
from engine.run.seals import Seal
from engine.run.work import attempts_of, indexed, read_rows
from engine.store.files import FileRecord, Store
from engine.store.parallel import parallel_map

SEED = 0
"""Of the sample of clips that is shown."""
MOST_CLIPS = {TRAIN: 1_200, HELDOUT: 600}
"""Clips of each split that are shown at most."""
LINEAGE = ["clip_id", "cycle", "mode", "seed"]
"""Columns of an example by which its attempt is known."""


class Reading:
    """Reading(store, sealed).count(), which fills the fields; then .attempts(places) reads what is shown."""

    def __init__(self, store: Store, sealed: Mapping[str, Seal]) -> None:
        self._store, self._sealed = store, sealed
        self._records = {step: self._by_part(step) for split in MOST_CLIPS for step in self.steps(split)}
        self.labels: dict[str, Counter[str]] = {split: Counter() for split in MOST_CLIPS}
        """Clips of each label, by split."""
        self.counts: dict[str, StepCounts] = {}
        """By step: generate steps, and evaluations on the held-out split."""
        self.chosen = {split: Chosen(most=most, seed=SEED) for split, most in MOST_CLIPS.items()}

    def steps(self, split: str) -> list[str]:
        """The sealed steps that asked about a split's clips, in their order."""
        kind = "/generate" if split == TRAIN else "/evaluate"
        return [step for step in self._sealed if step.endswith(kind)]

    def _by_part(self, step: str) -> dict[int, list[FileRecord]]:
        """The records of a step's pieces, by the number of their part."""
        records: dict[int, list[FileRecord]] = defaultdict(list)
        for path, record in indexed(self._store, self._sealed[step]).items():
            if span := span_of(path):
                records[span.part_number].append(record)
        return records

    def count(self) -> None:
        """Read every clip, and the small columns of every attempt; a part is in memory at a time."""
        for split, counted in self.labels.items():
            for _, clips in self._parts(split):
                counted.update(label_name(clip.label) for clip in clips)
        names = sorted(set().union(*self.labels.values()))
        self.counts = {step: StepCounts(names) for step in self._records}
        for split, chosen in self.chosen.items():
            for number, clips in self._parts(split):
                endings = [self.counts[step].add(clips, self._traces(step, number)) for step in self.steps(split)]
                chosen.add(number, clips, _fates(endings))

    def _parts(self, split: str) -> Iterable[tuple[int, list[Clip]]]:
        return ((number_of(path), clips) for path, clips in read_parts(self._store, split, self._sealed[INGEST].files))

    def _traces(self, step: str, part: int) -> list[Trace]:
        pieces = parallel_map(partial(read_rows, self._store, Trace), self._records[step].get(part, ()))
        return [trace for traces in pieces for trace in traces]

    def attempts(self, split: str, places: Collection[Place]) -> dict[str, list[tuple[str, list[Attempt]]]]:
        """All attempts at some clips of a split: clip_id -> (step, its attempts) of each step. Only their parts are read."""
        ids = pa.array([place.clip.clip_id for place in places], pa.string())
        parts = {place.part for place in places}
        of_clips: dict[str, list[tuple[str, list[Attempt]]]] = {place.clip.clip_id: [] for place in places}
        for step in self.steps(split):
            by_clip: dict[str, list[Attempt]] = defaultdict(list)
            records = [record for part in parts for record in self._records[step].get(part, ())]
            for attempts in parallel_map(partial(self._attempts_in, ids), records):
                for attempt in attempts:
                    by_clip[attempt.clip_id].append(attempt)
            for clip_id, attempts in by_clip.items():
                of_clips[clip_id].append((step, attempts))
        return of_clips

    def _attempts_in(self, ids: pa.Array, record: FileRecord) -> list[Attempt]:
        table = self._store.read_table(record)
        return attempts_of(table.filter(pc.is_in(table["clip_id"], ids)))

    def uses(self, clip_ids: Sequence[str]) -> Uses:
        """What the select steps made of these clips."""
        ids = pa.array(clip_ids, pa.string())
        trained: dict[tuple[str, int, str, int], list[int]] = defaultdict(list)
        copies: dict[str, str] = {}
        selects = [step for step in self._sealed if step.endswith("/select")]
        for step in selects:
            cycle = cycle_of(step)
            for row in self._rows(step, "examples.parquet", ids, LINEAGE):
                trained[row["clip_id"], row["cycle"], row["mode"], row["seed"]].append(cycle)
            for row in self._rows(step, "near_copies.parquet", ids, None):
                copies[row["clip_id"]] = f"{row['copy_of']} ({row['where']})"
        return Uses(trained=trained, copies=copies, selected=frozenset(map(cycle_of, selects)))

    def _rows(self, step: str, name: str, ids: pa.Array, columns: list[str] | None) -> list[dict[str, Any]]:
        record = next((record for record in self._sealed[step].files if record.path == f"{step}/{name}"), None)
        if record is None:
            return []
        table = self._store.read_table(record, columns)
        rows: list[dict[str, Any]] = table.filter(pc.is_in(table["clip_id"], ids)).to_pylist()
        return rows


def _fates(endings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """How each clip ended in the first step that asked about it and, where that is another ending, in the last.

    >>> _fates([{"a": "dropped label_missing", "b": "kept direct"}, {"a": "kept direct", "b": "kept direct"}])
    {'a': 'dropped label_missing > kept direct', 'b': 'kept direct'}
    """
    fates: dict[str, str] = {}
    for of_step in [*endings[:1], *endings[-1:]]:
        for clip_id, ending in of_step.items():
            first = fates.get(clip_id, ending).partition(" > ")[0]
            fates[clip_id] = ending if first == ending else f"{first} > {ending}"
    return fates


def cycle_of(step: str) -> int:
    """
    >>> cycle_of("cycle-002/select"), cycle_of("base/evaluate")
    (2, -1)
    """
    folder = step.partition("/")[0]
    return int(folder.removeprefix("cycle-")) if folder.startswith("cycle-") else -1
