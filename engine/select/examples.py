"""The examples table while it is written: in row groups of a fixed size, so that memory does not grow with the table."""

from collections.abc import Sequence
from dataclasses import asdict
from operator import attrgetter
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from engine.rows import EXAMPLES, Example

ROW_GROUP = 8192
"""Rows that are held in memory until they are written together."""


class ExampleWriter:
    """with store.writing("examples.parquet") as file, ExampleWriter(file) as writer: writer.write(examples)"""

    def __init__(self, file: BinaryIO) -> None:
        self._writer = pq.ParquetWriter(file, EXAMPLES, compression="zstd")
        self._waiting: list[Example] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._writer:
            if kind is None:
                self._write_group(self._waiting)

    def write(self, examples: Sequence[Example]) -> None:
        self._waiting += examples
        while len(self._waiting) >= ROW_GROUP:
            self._write_group(self._waiting[:ROW_GROUP])
            del self._waiting[:ROW_GROUP]

    def _write_group(self, examples: Sequence[Example]) -> None:
        self._writer.write_table(to_table(examples))


def to_table(examples: Sequence[Example]) -> pa.Table:
    columns = {name: list(map(attrgetter(name), examples)) for name in EXAMPLES.names}
    columns["follow_ups"] = [[asdict(turn) for turn in turns] for turns in columns["follow_ups"]]
    return pa.Table.from_pydict(columns, schema=EXAMPLES)
