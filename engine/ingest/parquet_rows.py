"""Rows of a Parquet file, as a stream, in the values that CSV and JSON have: texts, numbers, lists and objects."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from engine.store.troubles import StorageError

BATCH_ROWS = 8192
UNREADABLE_PARQUET = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What pyarrow raises where a footer or a page is damaged; a StorageError, which is an OSError too, is about reading the file."""


def parquet_records(path: str, file: BinaryIO) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row with its number. Raises ValueError for a file that is damaged, and for two columns of one name."""
    number = 0
    try:
        table = pq.ParquetFile(file)
        names = table.schema_arrow.names
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{path} has two columns {twice[0]!r}; rename one")
        for batch in table.iter_batches(BATCH_ROWS):
            columns = [_values(column) for column in batch.columns]
            for values in zip(*columns, strict=True):
                yield f"{path} row {number}", dict(zip(names, values, strict=True))
                number += 1
    except StorageError:
        raise
    except UNREADABLE_PARQUET as error:
        where = f" from row {number} on" if number else ""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is not a Parquet file, or damaged{where}: {reason}; get it again") from None


def _values(column: pa.Array) -> list[Any]:
    """The values of a column; what JSON has no value for (moments, bytes) as a text, and NaN as None."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_temporal(column.type) and not pa.types.is_duration(column.type):
        column = column.cast(pa.string())
    elif pa.types.is_duration(column.type):
        column = column.cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(pa.float64())
        return [None if value is None else value / 1e6 for value in column.to_pylist()]
    elif pa.types.is_floating(column.type) and column.type != pa.float64():
        column = column.cast(pa.string()).cast(pa.float64())  # the float64 with the fewest digits, not 0.10000000149 for 0.1
    elif pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        column = _texts(column)
    values: list[Any] = column.to_pylist()
    if pa.types.is_map(column.type):
        return [None if pairs is None else _without_nan(dict(pairs)) for pairs in values]
    if pa.types.is_integer(column.type) or pa.types.is_string(column.type):
        return values
    return [_without_nan(value) for value in values]


def _texts(column: pa.Array) -> pa.Array:
    """Bytes as texts, where all of them are: Spark's and Impala's older files do not say that they are texts."""
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return column


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    return None if value != value else value
