"""The tables of a select step, memory-mapped: one file for all ranks of a machine, with the columns that training reads.

A million examples are a gigabyte; eight ranks that each hold them are eight.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.rows import Episode, Example, defaults_of, schema_of
from engine.store.files import RESTORE, FileRecord, Store
from engine.store.troubles import StorageError
from models.caches import temporary_folder

EXAMPLE_COLUMNS = [
    "example_id",
    "video",
    "start_s",
    "end_s",
    "etag",
    "prompt",
    "answer",
    "follow_ups",
    "shown_in",
    "instruction",
    "collection",
    "source",
    "mode",
]
EPISODE_COLUMNS = ["context", "query", "prompts", "epoch"]
BATCH_ROWS = 1 << 16
"""Rows that are held in memory while the file is written."""


def map_tables(store: Store, examples: FileRecord, episodes: FileRecord | None) -> tuple[pa.Table, pa.Table | None]:
    """(examples, episodes as `with_rows` has them), both memory-mapped; written by the first rank that asks.

    Raises StorageError where a table is not as it was recorded, ValueError where this machine has no place for the files.
    """
    with _locked_folder() as folder:
        mapped_examples = _mapped(folder / f"{examples.sha256}.arrow", lambda: _batches(store, examples, EXAMPLE_COLUMNS, Example))
        if episodes is None:
            return mapped_examples, None
        ids = mapped_examples["example_id"]

        def rows() -> Iterator[pa.RecordBatch]:
            for batch in _batches(store, episodes, EPISODE_COLUMNS, Episode):
                table = with_rows(pa.Table.from_batches([batch]), ids)
                yield pa.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], table.column_names)

        return mapped_examples, _mapped(folder / f"{examples.sha256[:32]}-{episodes.sha256[:32]}.arrow", rows)


def remove_files(examples: FileRecord, episodes: FileRecord | None) -> None:
    """Delete the files; who has mapped them keeps what they hold."""
    with _locked_folder() as folder:
        (folder / f"{examples.sha256}.arrow").unlink(missing_ok=True)
        if episodes is not None:
            (folder / f"{examples.sha256[:32]}-{episodes.sha256[:32]}.arrow").unlink(missing_ok=True)


def with_rows(episodes: pa.Table, example_ids: pa.ChunkedArray) -> pa.Table:
    """Episodes with "rows", list<int32>: the rows of the examples that they show, the query last; instead of their ids."""
    columns = {"prompts": episodes["prompts"], "epoch": episodes["epoch"]}
    shots = pc.list_value_length(episodes["context"]).to_pylist()
    context = pc.index_in(pc.list_flatten(episodes["context"]), value_set=example_ids).to_pylist()
    query = pc.index_in(episodes["query"], value_set=example_ids).to_pylist()
    rows, start = [], 0
    for count, last in zip(shots, query, strict=True):
        rows.append([*context[start : start + count], last])
        start += count
    assert not any(row is None for rows_of_episode in rows for row in rows_of_episode), "select names examples that it wrote"
    return pa.table(columns | {"rows": pa.array(rows, pa.list_(pa.int32()))})


def _batches(store: Store, record: FileRecord, columns: list[str], row: type) -> Iterator[pa.RecordBatch]:
    """The columns of a table of `row`s; those that an older version did not write hold their defaults."""
    data, defaults = store.read_recorded(record), defaults_of(row)
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        absent = {name for name in defaults if name not in file.schema_arrow.names}
        schema = pa.schema([(schema_of(row) if name in absent else file.schema_arrow).field(name) for name in columns])
        yield pa.RecordBatch.from_pylist([], schema)  # an empty table has a schema too
        for batch in file.iter_batches(BATCH_ROWS, columns=[name for name in columns if name not in absent]):
            arrays = [
                pa.array([defaults[field.name]] * len(batch), field.type) if field.name in absent else batch.column(field.name)
                for field in schema
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = str(error).partition("\n")[0][:80] or type(error).__name__
        raise StorageError("replaced", f"{store.url(record.path)} is damaged ({reason}); {RESTORE}") from None


def _mapped(path: Path, batches: Callable[[], Iterator[pa.RecordBatch]]) -> pa.Table:
    if not path.exists():
        unfinished = path.with_suffix(".part")
        written = batches()
        first = next(written)
        with pa.ipc.new_file(str(unfinished), first.schema) as writer:
            for batch in chain([first], written):
                writer.write_batch(batch)
        unfinished.rename(path)
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


@contextmanager
def _locked_folder() -> Iterator[Path]:
    """One rank of a machine at a time."""
    folder = temporary_folder("tables")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(descriptor)
