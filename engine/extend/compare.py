"""Reads a new manifest beside the clips of the run before: what is new, changed and removed, and the clips of the new run.

The new run gets a copy of the clips in its own folder, with their splits named: a manifest that is overwritten every night changes
nothing of a run that is under way. Clips whose answers stand come first, so that the others, which are generated for, are together
in whole pieces.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.config import TEST, Data
from engine.extend.known import SPLITS, Known
from engine.generate.lineage import CHANGE, CHANGED_CLIPS, CHANGES, MANIFEST
from engine.generate.reuse import Past, usable
from engine.ingest.card import Card
from engine.ingest.cells import optional_text
from engine.ingest.clips import PART_CLIPS
from engine.ingest.hashes import Hashes, hash_of, ordered
from engine.ingest.manifest import Records, read_manifest, video_of
from engine.ingest.own import own_records
from engine.ingest.splits import DEFAULT_SHARE, split_for
from engine.ingest.tables import Row
from engine.rows import CLIPS, Clip
from engine.store.documents import to_json
from engine.store.files import Store
from engine.store.filesystems import Storage

CHANGED = pa.schema([("clip_id", pa.string()), ("split", pa.string()), ("change", pa.string())])
Changes = dict[str, dict[str, int]]
"""Clips by split and by what the manifest does to them (CHANGE)."""


class Comparison:
    """with Comparison() as new: new.read(...); new.changes; new.write(store). Until then everything is in temporary files."""

    def __init__(self) -> None:
        self.changes: Changes = {}
        self._stack = ExitStack()

    def __enter__(self) -> "Comparison":
        self._first = self._stack.enter_context(tempfile.TemporaryFile())
        self._later = self._stack.enter_context(tempfile.TemporaryFile())
        self._changed = self._stack.enter_context(tempfile.TemporaryFile())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, clips: Iterable[Clip], known: Known, ready: "Ready") -> None:
        """Count what the clips of a manifest change. Raises ValueError for a mistake in it."""
        counts = {split: Counter[str]() for split in SPLITS}
        with (
            RowWriter(self._first, CLIPS) as first,
            RowWriter(self._later, CLIPS) as later,
            RowWriter(self._changed, CHANGED) as changed,
        ):

            def count(split: str, clip: Clip, change: str) -> None:
                counts[split][change] += 1
                if change != "unchanged":
                    changed.write({"clip_id": clip.clip_id, "split": split, "change": change})

            for clip in clips:
                change = known.change(clip)
                count(clip.split, clip, change)
                (first if change == "unchanged" and ready.holds(clip) else later).write(clip.to_row())
            for split, clip in known.removed():
                count(split, clip, "removed")
        splits = [split for split in SPLITS if split != TEST or counts[split]]
        self.changes = {split: {change: counts[split][change] for change in CHANGE} for split in splits}

    def sizes(self) -> dict[str, int]:
        """Clips of the new run by split."""
        return {split: sum(numbers.values()) - numbers["removed"] for split, numbers in self.changes.items()}

    def write(self, store: Store) -> None:
        """The clips of the new run, and what changed, into its folder. It is not claimed by that."""
        for path, schema, drafts in ((MANIFEST, CLIPS, (self._first, self._later)), (CHANGED_CLIPS, CHANGED, (self._changed,))):
            with store.writing(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
                for draft in drafts:
                    draft.seek(0)
                    for batch in pq.ParquetFile(draft).iter_batches(PART_CLIPS):
                        writer.write_batch(batch)
        store.write(CHANGES, to_json(self.changes, indent=1))


def clips_of(data: Data, known: Known, storage: Storage) -> Iterator[Clip]:
    """The clips of a manifest, checked; a video that the run before knows stays in its split, whatever would decide now."""
    records: Records = partial(own_records, data.manifest, storage)
    heldout = data.heldout
    if heldout is None:  # by the manifest's own names of splits, before those of the run before stand among them
        heldout = 0.0 if any(_named(row) for _, row in records() if isinstance(row, dict)) else DEFAULT_SHARE
    resolved = data.model_copy(update={"heldout": heldout})
    return read_manifest(resolved, storage, Card(), _with_known_splits(records, resolved, known))


def _named(row: Row) -> str:
    try:
        return optional_text(row.get("split"))
    except ValueError:
        return ""


def _with_known_splits(records: Records, data: Data, known: Known) -> Records:
    def read() -> Iterator[tuple[str, Row | ValueError]]:
        for place, row in records():
            yield place, row if isinstance(row, ValueError) else _with_known_split(place, row, data, known)

    return read


def _with_known_split(place: str, row: Row, data: Data, known: Known) -> Row | ValueError:
    try:
        video = video_of(row, data)
    except ValueError:
        return row  # it is the main reading's to raise
    split, named = known.split_of(video), _named(row)
    if split and named and split_for(named, data) not in ("", split):
        return ValueError(
            f"{place}: {video} is {named!r} here, and in split {split!r} of the run that is continued, where models were trained "
            "and compared by it; restore its split, or begin another run"
        )
    return row | {"split": split} if split else row


class Ready:
    """The clips whose attempts of before may stand, as hashes of their ids; their videos are looked at later."""

    def __init__(self, past: Past | None, rationalizes: bool) -> None:
        hashes = Hashes()
        for piece in past.all() if past is not None else ():
            for clip_id, attempts in piece.items():
                if usable(attempts, rationalizes):
                    hashes.append(hash_of(clip_id))
        self._hashes = ordered(hashes)

    def holds(self, clip: Clip) -> bool:
        key = np.uint64(hash_of(clip.clip_id))
        place = int(np.searchsorted(self._hashes, key))
        return place < len(self._hashes) and bool(self._hashes[place] == key)


class RowWriter:
    """A table while it is written, in row groups: with RowWriter(file, CLIPS) as writer: writer.write(clip.to_row())"""

    def __init__(self, file: BinaryIO | Any, schema: pa.Schema) -> None:
        self._writer, self._schema = pq.ParquetWriter(file, schema, compression="zstd"), schema
        self._waiting: list[dict[str, Any]] = []

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._writer:
            if kind is None:
                self._flush()

    def write(self, row: dict[str, Any]) -> None:
        self._waiting.append(row)
        if len(self._waiting) == PART_CLIPS:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
        self._waiting.clear()


def is_change(changes: Changes) -> bool:
    """
    >>> is_change({"train": {"unchanged": 9, "new": 0, "changed": 0, "removed": 0}})
    False
    """
    return any(number for of_split in changes.values() for change, number in of_split.items() if change != "unchanged")


def line_of(changes: Changes, manifest: str, run: str) -> str:
    """
    >>> line_of({"train": {"unchanged": 9, "new": 3, "changed": 1, "removed": 2}}, "m.csv", "runs/a")
    'm.csv beside runs/a: train 9 unchanged, 3 new, 1 changed, 2 removed'
    """
    texts = [f"{split} {', '.join(f'{of_split[name]} {name}' for name in CHANGE)}" for split, of_split in changes.items()]
    return f"{manifest} beside {run}: {'; '.join(texts)}"
