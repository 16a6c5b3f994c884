"""Rows as Parquet and as JSON files. A row group, or a line, is in memory; never a table."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.rows import TAKEAWAYS, Takeaway

ROW_GROUP = 8192
"""Rows that are written together."""


def write_parquet(file: BinaryIO, rows: Iterable[Takeaway]) -> int:
    """Returns the number of rows, as the others do."""
    count, remaining = 0, iter(rows)
    with pq.ParquetWriter(file, TAKEAWAYS, compression="zstd") as writer:
        while group := [row.to_row() for row in islice(remaining, ROW_GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema=TAKEAWAYS))
            count += len(group)
    return count


def write_lines(file: BinaryIO, items: Iterable[dict[str, Any]]) -> int:
    """JSONL: an item a line."""
    return _write(file, (f"{text}\n" for text in _texts(items)))


def write_list(file: BinaryIO, items: Iterable[dict[str, Any]]) -> int:
    """One JSON array, an item a line: LLaVA's code reads no JSONL."""
    file.write(b"[")
    count = _write(file, (f"{',' if number else ''}\n{text}" for number, text in enumerate(_texts(items))))
    file.write(b"\n]\n")
    return count


WRITERS: dict[str, Callable[[BinaryIO, Iterable[dict[str, Any]]], int]] = {"jsonl": write_lines, "json": write_list}
"""By the suffix of a text file."""


def _texts(items: Iterable[dict[str, Any]]) -> Iterator[str]:
    return (json.dumps(item, allow_nan=False) for item in items)


def _write(file: BinaryIO, texts: Iterable[str]) -> int:
    count, remaining = 0, iter(texts)
    while lines := list(islice(remaining, ROW_GROUP)):
        file.write("".join(lines).encode())
        count += len(lines)
    return count
