"""A run's clips, in parts of one split each: whoever plans or counts holds one part at a time, a worker reads the part it needs."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from engine.rows import CLIPS, Clip
from engine.store.files import FileRecord, Store

PART_CLIPS = 8192


def path_of(split: str, number: int) -> str:
    """
    >>> path_of("train", 3)
    'ingest/train/00003.parquet'
    """
    return f"ingest/{split}/{number:05d}.parquet"


def write_parts(store: Store, clips: Iterable[Clip], splits: Sequence[str] = ("train", "heldout")) -> dict[str, list[int]]:
    """Write the clips, in their order, by split; returns how many clips each part of a split holds."""
    waiting: dict[str, list[Clip]] = {split: [] for split in splits}
    sizes: dict[str, list[int]] = {split: [] for split in splits}

    def flush(split: str) -> None:
        if waiting[split]:
            store.write_table(path_of(split, len(sizes[split])), to_table(waiting[split]))
            sizes[split].append(len(waiting[split]))
            waiting[split].clear()

    for clip in clips:
        waiting[clip.split].append(clip)
        if len(waiting[clip.split]) == PART_CLIPS:
            flush(clip.split)
    for split in waiting:
        flush(split)
    return sizes


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
