"""Conversations that are mixed in: the examples that `starloop ingest --format instruct` wrote."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.parquet as pq

from engine.config import Mixture
from engine.ingest.parquet_rows import UNREADABLE_PARQUET
from engine.ingest.tables import opened
from engine.rows import EXAMPLES, Example, defaults_of
from engine.select.examples import ROW_GROUP
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError


def read_conversations(path: str, storage: Storage) -> Iterator[list[Example]]:
    """The examples in batches. Raises ValueError where the file is not what `starloop ingest` wrote."""
    with _table(path, storage) as table:
        for batch in table.iter_batches(ROW_GROUP):
            yield [Example.from_row(row) for row in batch.to_pylist()]


def refuse_no_examples(mixture: Mixture, storage: Storage) -> None:
    """Raises ValueError if the mixture wants conversations and mixture.examples does not hold any."""
    if mixture.instruct:
        with _table(mixture.examples, storage) as table:
            for name in EXAMPLES.names:
                if name not in defaults_of(Example):
                    table.schema_arrow.field(name)


@contextmanager
def _table(path: str, storage: Storage) -> Iterator[pq.ParquetFile]:
    try:
        with opened(path, storage) as file:
            yield pq.ParquetFile(file)
    except StorageError:
        raise
    except (*UNREADABLE_PARQUET, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"mixture.examples {path} does not hold examples ({reason}); `starloop ingest --format instruct` writes them"
        ) from None
