"""Rows of CSV, TSV, JSONL and Parquet files, as a stream: each with its place, or with the reason why it cannot be read."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.rows import CLIPS
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError

Row = dict[str, Any]
Record = tuple[str, Row | ValueError]
"""The place of a row ("labels.csv line 7"), and the row; or its error, in one line that begins with the place."""
BATCH_ROWS = 8192
KNOWN_COLUMNS = frozenset({*CLIPS.names, "aliases"})
"""Columns that a manifest may have."""
UNREADABLE_PARQUET = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What pyarrow raises where a footer or a page is damaged; a StorageError, which is an OSError too, is about reading the file."""
SUFFIXES = ("csv", "tsv", "jsonl", "parquet")


@contextmanager
def opened(path: str, storage: Storage) -> Iterator[BinaryIO]:
    """The file, for reading. Raises ValueError where there is none, StorageError."""
    try:
        with storage.file(path) as file:
            yield file
    except StorageError as error:
        if error.trouble != "missing":
            raise
        raise ValueError(
            f"no such file: {path}; name a CSV, TSV, JSONL or Parquet file, or the dataset's own annotations"
        ) from None


def table_records(path: str, storage: Storage) -> Iterator[Record]:
    """The rows of a file. Raises ValueError for a file of another kind, or one that is cut off."""
    suffix = path.rsplit(".", 1)[-1].lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: a manifest is .csv, .tsv, .jsonl or .parquet; other annotations need --format")
    with opened(path, storage) as file:
        if suffix == "parquet":
            yield from _parquet_records(path, file)
            return
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="" if suffix != "jsonl" else "\n")
        try:
            yield from (
                _jsonl_records(path, text) if suffix == "jsonl" else csv_records(path, text, "\t" if suffix == "tsv" else ",")
            )
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from None
        finally:
            text.detach()


def _parquet_records(path: str, file: BinaryIO) -> Iterator[Record]:
    number = 0
    try:
        for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS):
            for row in batch.to_pylist():
                yield f"{path} row {number}", row
                number += 1
    except StorageError:
        raise
    except UNREADABLE_PARQUET as error:
        where = f" from row {number} on" if number else ""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is not a Parquet file, or damaged{where}: {reason}; get it again") from None


def csv_records(path: str, text: TextIO, delimiter: str) -> Iterator[Record]:
    try:
        reader = csv.DictReader(text, delimiter=delimiter)
        columns = list(reader.fieldnames or [])
        if not columns:
            raise ValueError(f"{path} is empty: it has no column 'video', nor any other")
        if twice := [column for column in columns if columns.count(column) > 1]:
            raise ValueError(f"{path} has two columns {twice[0]!r}; rename one")
        for row in reader:
            place = f"{path} line {reader.line_num}"
            if None in row:
                yield place, ValueError(f"{place} has more cells than the header; quote cells that hold a comma")
            elif None in row.values():
                yield place, ValueError(f"{place} has fewer cells than the header; is the file cut off there?")
            else:
                yield place, row
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from None


def _jsonl_records(path: str, text: TextIO) -> Iterator[Record]:
    for number, line in enumerate(text, 1):
        place = f"{path} line {number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            yield place, ValueError(f"{place} is not JSON: {error.msg}")
        except RecursionError:
            yield place, ValueError(f"{place} is nested too deeply to be read")
        else:
            yield place, row if isinstance(row, dict) else ValueError(f"{place} is not a JSON object")
