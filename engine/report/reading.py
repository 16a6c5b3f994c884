"""Reads the attempts of a run for its report: each step is counted once, and what is shown is read whole."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.audit.audit import Sample
from engine.config import HELDOUT, Mixture
from engine.ingest.pieces import Span, span_of
from engine.report.chosen import Endings, Place, chosen, fates
from engine.report.counts import StepCounts
from engine.report.digest import Digest, digest_of, keep_digest, read_digest
from engine.report.split import SplitClips
from engine.report.stories import AttemptKey, Uses
from engine.rows import Attempt, Clip
from engine.run.collected import collected_of
from engine.run.plan import INGEST, TRAIN, name_of
from engine.run.seals import Seal
from engine.run.work import attempts_of, indexed, pieces_of
from engine.store.files import FileRecord, Store
from engine.store.parallel import parallel_map

MOST_CLIPS = {TRAIN: 1_200, HELDOUT: 600}
"""Clips of each split that are shown at most."""
LINEAGE = ["clip_id", "cycle", "mode", "seed", "source", "example_id"]
"""Columns of an example by which its attempt is known, and whether a finetune used it."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A clip that is shown, with its place in the split."""

    place: Place
    clip: Clip


class Reading:
    """Reading(store, sealed).count(), which fills the fields; then .shown(split) and .attempts(split, shown) read what is shown."""

    def __init__(self, store: Store, sealed: Mapping[str, Seal]) -> None:
        self._store, self._sealed = store, sealed
        self._clips = {split: SplitClips(store, split, sealed[INGEST].files) for split in MOST_CLIPS}
        self._digests: dict[str, Digest] = {}
        self._pieces: dict[str, dict[int, list[tuple[Span, FileRecord]]]] = {}
        self.fates: dict[str, Endings] = {}
        """By split: how its clips ended in the first and in the last step that asked about them."""

    def steps(self, split: str) -> list[str]:
        """The sealed steps that asked about a split's clips and of which answers are known, in their order."""
        return [step for step in self._sealed_steps(split) if step in self._digests]

    def _sealed_steps(self, split: str) -> list[str]:
        kind = "/generate" if split == TRAIN else "/evaluate"
        return [step for step in self._sealed if step.endswith(kind)]

    def labels(self, split: str) -> Mapping[str, int]:
        """Clips of each label of a split."""
        return self._clips[split].labels

    @property
    def counts(self) -> dict[str, StepCounts]:
        """By step: generate steps, and evaluations on the held-out split."""
        return {step: digest.counts for step, digest in self._digests.items()}

    def sample(self, step: str) -> Sample | None:
        """Of the answers of a generate step, for people to read."""
        return self._digests[step].sample

    def count(self) -> None:
        """Take the digests of the steps, and make those that are not kept."""
        names = sorted(set().union(*(clips.classes for clips in self._clips.values())))
        for split, clips in self._clips.items():
            for step in self._sealed_steps(split):
                if digest := self._digest(step, clips, names):
                    self._digests[step] = digest
            if of_split := [self._digests[step].endings for step in self.steps(split)]:
                self.fates[split] = fates(of_split[0], of_split[-1])

    def _digest(self, step: str, clips: SplitClips, names: Sequence[str]) -> Digest | None:
        """None where `starloop gc` has deleted the pieces, and no digest was kept before."""
        seal = self._sealed[step]
        if (digest := read_digest(self._store, seal)) or self._is_collected(step):
            return digest
        records = {part: [record for _, record in of_part] for part, of_part in self._by_part(step).items()}
        digest = digest_of(self._store, seal, clips, records, names)
        keep_digest(self._store, seal, digest)
        return digest

    def _is_collected(self, step: str) -> bool:
        return pieces_of(step) in collected_of(self._store, step)

    def _by_part(self, step: str) -> dict[int, list[tuple[Span, FileRecord]]]:
        """The pieces of a step, by the number of their part."""
        if step not in self._pieces:
            self._pieces[step] = defaultdict(list)
            for path, record in indexed(self._store, self._sealed[step]).items():
                if span := span_of(path):
                    self._pieces[step][span.part_number].append((span, record))
        return self._pieces[step]

    def shown(self, split: str) -> list[Shown]:
        """The clips of a split that are shown, the first of each fate first."""
        if split not in self.fates:
            return []
        places = chosen(MOST_CLIPS[split], self._clips[split].hashes, self.fates[split])
        clips = self._clips[split].clips([place.row for place in places])
        return [Shown(place=place, clip=clips[place.row]) for place in places]

    def attempts(self, split: str, of_clips: Sequence[Shown]) -> dict[str, list[tuple[str, list[Attempt]]]]:
        """All attempts at some clips of a split: clip_id -> (step, its attempts) of each step."""
        ids = pa.array([shown.clip.clip_id for shown in of_clips], pa.string())
        hashes = self._clips[split].hashes
        by_id: dict[str, list[tuple[str, list[Attempt]]]] = {shown.clip.clip_id: [] for shown in of_clips}
        for step in self.steps(split):
            digest = self._digests[step]
            tables = [digest.attempts.filter(pc.is_in(digest.attempts["clip_id"], ids))]
            others = [shown for shown in of_clips if hashes[shown.place.row] > digest.last_hash]
            if others and not self._is_collected(step):
                records = self._records_with(step, split, [shown.place.row for shown in others])
                other_ids = pa.array([shown.clip.clip_id for shown in others], pa.string())
                tables += parallel_map(partial(self._attempts_in, other_ids), records, self._store.calls_at_once)
            of_step: dict[str, list[Attempt]] = defaultdict(list)
            for table in tables:
                for attempt in attempts_of(table):
                    of_step[attempt.clip_id].append(attempt)
            for clip_id, attempts in of_step.items():
                by_id[clip_id].append((step, attempts))
        return by_id

    def _records_with(self, step: str, split: str, rows: Sequence[int]) -> list[FileRecord]:
        """The pieces of a step that hold these clips of the split."""
        records: dict[str, FileRecord] = {}
        for part, row in map(self._clips[split].place_of, rows):
            records |= {record.path: record for span, record in self._by_part(step).get(part, ()) if span.start <= row < span.end}
        return list(records.values())

    def _attempts_in(self, ids: pa.Array, record: FileRecord) -> pa.Table:
        table = self._store.read_table(record)
        return table.filter(pc.is_in(table["clip_id"], ids))

    def uses(self, clip_ids: Sequence[str], mixture: Mixture) -> Uses:
        """What the select and train steps made of these clips."""
        ids = pa.array(clip_ids, pa.string())
        picked: dict[AttemptKey, list[int]] = defaultdict(list)
        trained: dict[AttemptKey, list[int]] = defaultdict(list)
        copies: dict[str, str] = {}
        selects = [step for step in self._sealed if step.endswith("/select")]
        for step in selects:
            cycle = cycle_of(step)
            rows = [row for row in self._rows(step, "examples.parquet", ids, LINEAGE) if row["source"] in ("star", "template")]
            used = self._used(name_of(cycle, "train"), rows, mixture)
            for row in rows:
                key = row["clip_id"], row["cycle"], row["mode"], row["seed"]
                picked[key].append(cycle)
                if row["example_id"] in used:
                    trained[key].append(cycle)
            for row in self._rows(step, "near_copies.parquet", ids, None):
                copies[row["clip_id"]] = f"{row['copy_of']} ({row['where']})"
        return Uses(chosen=picked, trained=trained, copies=copies, selected=frozenset(map(cycle_of, selects)))

    def _used(self, train: str, examples: Sequence[Mapping[str, Any]], mixture: Mixture) -> set[str]:
        """The ids of those that a finetune used: it is done, they have a weight, and it left none of these out."""
        if train not in self._sealed:
            return set()
        ids = pa.array([row["example_id"] for row in examples if getattr(mixture, row["mode"])], pa.string())
        unused = self._rows(train, "unused.parquet", ids, ["example_id"], "example_id")
        return {*ids.to_pylist()} - {row["example_id"] for row in unused}

    def _rows(
        self, step: str, name: str, ids: pa.Array, columns: list[str] | None, column: str = "clip_id"
    ) -> list[dict[str, Any]]:
        """Those with one of the ids in the column."""
        record = next((record for record in self._sealed[step].files if record.path == f"{step}/{name}"), None)
        if record is None:
            return []
        table = self._store.read_table(record, columns)
        rows: list[dict[str, Any]] = table.filter(pc.is_in(table[column], ids)).to_pylist()
        return rows


def cycle_of(step: str) -> int:
    """
    >>> cycle_of("cycle-002/select"), cycle_of("base/evaluate")
    (2, -1)
    """
    folder = step.partition("/")[0]
    return int(folder.removeprefix("cycle-")) if folder.startswith("cycle-") else -1
