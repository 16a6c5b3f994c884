"""One column of a large table, and the rows that hold a value, by ranges of bytes: the rest of the file is not read."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.store.files import RESTORE, Store
from engine.store.sources import SourceFile
from engine.store.troubles import StorageError

BUFFER_BYTES = 64 << 10
"""Read ahead of what is asked for: a footer and a column of ids are one request each, and not one for each page."""


@dataclass(frozen=True, slots=True)
class Match:
    """The rows of a table whose column holds a value, with their numbers in the table."""

    numbers: list[int]
    rows: pa.Table


def read_column(store: Store, path: str, column: str) -> pa.ChunkedArray:
    """Raises StorageError where the file is gone or damaged."""
    with _opened(store, path) as file:
        return file.read([column]).column(0)


def rows_with(store: Store, path: str, column: str, value: str) -> Match:
    """Row groups whose bounds exclude the value are not read, and of the others all columns only where the value is in them."""
    with _opened(store, path) as file:
        numbers, tables, first = list[int](), [], 0
        for group in range(file.metadata.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if _may_hold(file, group, column, value):
                places = pc.indices_nonzero(pc.equal(file.read_row_group(group, [column]).column(0), value))
                if len(places):
                    tables.append(file.read_row_group(group).take(places))
                    numbers += [first + place for place in places.to_pylist()]
            first += size
        return Match(numbers, pa.concat_tables(tables) if tables else file.schema_arrow.empty_table())


def _may_hold(file: pq.ParquetFile, group: int, column: str, value: str) -> bool:
    described = file.metadata.row_group(group).column(file.schema_arrow.get_field_index(column))
    bounds = described.statistics
    if bounds is None or not bounds.has_min_max:
        return True
    return bool(bounds.min <= value <= bounds.max)


@contextmanager
def _opened(store: Store, path: str) -> Iterator[pq.ParquetFile]:
    try:
        with store.storage.opened(store.url(path)) as source:
            yield pq.ParquetFile(io.BufferedReader(SourceFile(source), BUFFER_BYTES))
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError("replaced", f"{store.url(path)} is damaged ({str(error).splitlines()[0][:80]}); {RESTORE}") from None
