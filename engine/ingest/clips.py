"""A run's clips, in parts of one split each: whoever plans or counts holds one part at a time, a worker reads the part it needs."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from engine.rows import CLIPS, Clip
from engine.store.files import FileRecord, Store

PART_CLIPS = 8192
ROWS_AT_ONCE = 512
"""Clips that wait as objects, which take ten times the memory of their table."""


def path_of(split: str, number: int) -> str:
    """
    >>> path_of("train", 3)
    'ingest/train/00003.parquet'
    """
    return f"ingest/{split}/{number:05d}.parquet"


def write_parts(store: Store, clips: Iterable[Clip], splits: Sequence[str] = ("train", "heldout")) -> dict[str, list[int]]:
    """Write the clips, in their order, by split; returns how many clips each part of a split holds."""
    parts = {split: _Parts(store, split) for split in splits}
    for clip in clips:
        parts[clip.split].add(clip)
    return {split: written.end() for split, written in parts.items()}


class _Parts:
    """The parts of a split, of which one is being filled."""

    def __init__(self, store: Store, split: str) -> None:
        self._store, self._split = store, split
        self._sizes: list[int] = []
        self._tables: list[pa.Table] = []
        self._clips: list[Clip] = []

    def add(self, clip: Clip) -> None:
        self._clips.append(clip)
        if len(self._clips) == ROWS_AT_ONCE:
            self._settle()
        if len(self._tables) * ROWS_AT_ONCE == PART_CLIPS:
            self._write()

    def end(self) -> list[int]:
        """Write what is left; returns the sizes of all parts."""
        self._settle()
        self._write()
        return self._sizes

    def _settle(self) -> None:
        if self._clips:
            self._tables.append(to_table(self._clips))
            self._clips.clear()

    def _write(self) -> None:
        if self._tables:
            table = pa.concat_tables(self._tables).combine_chunks()
            self._store.write_table(path_of(self._split, len(self._sizes)), table)
            self._sizes.append(table.num_rows)
            self._tables.clear()


def read_parts(store: Store, split: str, written: Iterable[FileRecord]) -> Iterator[tuple[str, list[Clip]]]:
    """The path and clips of each part of a split, of those that ingest sealed. Raises StorageError where one is not what it was."""
    for record in written:
        if record.path.startswith(f"ingest/{split}/"):
            yield record.path, from_table(store.read_table(record))


_PARTS: dict[str, tuple[Clip, ...]] = {}


def part(store: Store, path: str) -> tuple[Clip, ...]:
    """A part, kept in this process for the next piece of it; parts never change."""
    key = store.url(path)
    if key not in _PARTS:
        clips = tuple(from_table(store.read_table(path)))
        _PARTS.clear()
        _PARTS[key] = clips
    return _PARTS[key]


def to_table(clips: Iterable[Clip]) -> pa.Table:
    return pa.Table.from_pylist([clip.to_row() for clip in clips], schema=CLIPS)


def from_table(table: pa.Table) -> list[Clip]:
    return [Clip.from_row(row) for row in table.to_pylist()]
