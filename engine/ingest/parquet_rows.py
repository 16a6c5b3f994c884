"""Rows of a Parquet file, as a stream, in the values that CSV and JSON have: texts, numbers, lists and objects."""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.store.troubles import StorageError

BATCH_ROWS = 1024
BATCH_BYTES = 64 << 20
"""Bytes that are read at once, where rows are long: a table may have gigabytes of them."""
EMBEDDED_BYTES = 4096
"""Bytes that are no text, from so many a value on, are videos or pictures within the table."""
EMBEDDED = b"bytes within the table, which are not read"
"""Stands for them: no cell that is needed may hold bytes."""
UNREADABLE_PARQUET = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What pyarrow raises where a footer or a page is damaged; a StorageError, which is an OSError too, is about reading the file."""


def parquet_records(path: str, file: BinaryIO) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row with its number; files that are embedded in it are not read.

    Raises ValueError for a file that is damaged, and for two columns of one name.
    """
    number = 0
    try:
        table = pq.ParquetFile(file)
        names = table.schema_arrow.names
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{path} has two columns {twice[0]!r}; rename one")
        embedded, row_bytes = _embedded(table)
        read = [name for name in names if name not in embedded]
        batch_rows = max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(row_bytes, 1))))
        for batch in table.iter_batches(batch_rows, columns=read if embedded else None):
            columns = dict.fromkeys(names, [EMBEDDED] * batch.num_rows)
            columns |= {name: _values(column) for name, column in zip(read, batch.columns, strict=True)}
            for values in zip(*columns.values(), strict=True):
                yield f"{path} row {number}", dict(zip(names, values, strict=True))
                number += 1
    except StorageError:
        raise
    except UNREADABLE_PARQUET as error:
        where = f" from row {number} on" if number else ""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is not a Parquet file, or damaged{where}: {reason}; get it again") from None


def _embedded(table: pq.ParquetFile) -> tuple[set[str], float]:
    """The columns of embedded files, and the mean bytes of a row of the others."""
    groups = [table.metadata.row_group(number) for number in range(table.metadata.num_row_groups)]
    embedded, others = set[str](), 0.0
    for number in range(table.metadata.num_columns):
        leaf = table.schema.column(number)
        mean = sum(group.column(number).total_uncompressed_size for group in groups) / max(1, table.metadata.num_rows)
        if leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type == "NONE" and mean >= EMBEDDED_BYTES:
            embedded.add(_column_of(leaf.path, table.schema_arrow.names))
        else:
            others += mean
    return embedded, others


def _column_of(path: str, names: Sequence[str]) -> str:
    """The column that a leaf belongs to: a name may hold a dot.

    >>> _column_of("video.bytes", ["video"]), _column_of("a.b", ["a.b"])
    ('video', 'a.b')
    """
    return path if path in names else max((name for name in names if path.startswith(f"{name}.")), key=len)


def _values(column: pa.Array) -> list[Any]:
    """The values of a column; what JSON has no value for (moments, bytes) as a text, and NaN as None."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_temporal(column.type) and not pa.types.is_duration(column.type):
        column = column.cast(pa.string())
    elif pa.types.is_duration(column.type):
        column = column.cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(pa.float64())
        return [None if value is None else value / 1e6 for value in column.to_pylist()]
    elif pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        column = _texts(column)
    values: list[Any] = column.to_pylist()
    if pa.types.is_integer(column.type) or pa.types.is_string(column.type):
        return values
    return [_plain(value, column.type) for value in values]


def _texts(column: pa.Array) -> pa.Array:
    """Bytes as texts, where all of them are: Spark's and Impala's older files do not say that they are texts."""
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return column


def _plain(value: Any, kind: pa.DataType) -> Any:
    """A value of this type with maps as objects, NaN as None, and for shorter floats the float64 with the fewest digits.

    >>> _plain({"value": 0.10000000149011612, "unit": "s"}, pa.struct({"value": pa.float32(), "unit": pa.string()}))
    {'value': 0.1, 'unit': 's'}
    """
    if value is None or value != value:
        return None
    if pa.types.is_struct(kind):
        return {part.name: _plain(value[part.name], part.type) for part in kind}
    if pa.types.is_map(kind):
        return {name: _plain(part, kind.item_type) for name, part in value}
    if isinstance(value, list):
        return [_plain(part, kind.value_type) for part in value]
    if pa.types.is_floating(kind) and kind != pa.float64():
        return float(str(kind.to_pandas_dtype()(value)))
    return value
