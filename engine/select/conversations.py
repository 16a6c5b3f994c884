"""Conversations that are mixed in: the examples that `starloop ingest --format instruct` wrote."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.parquet as pq

from engine.config import Mixture
from engine.ingest.parquet_rows import UNREADABLE_PARQUET
from engine.ingest.tables import opened, part_files
from engine.rows import EXAMPLES, Example, defaults_of
from engine.select.examples import ROW_GROUP
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError


def read_conversations(path: str, storage: Storage) -> Iterator[list[Example]]:
    """The examples of a file, or of all files of a folder, in batches. Raises ValueError where they are not what ingest wrote."""
    for file in _files(path, storage):
        with _table(file, storage) as table:
            for batch in table.iter_batches(ROW_GROUP):
                yield [Example.from_row(row) for row in batch.to_pylist()]


def refuse_no_examples(mixture: Mixture, storage: Storage) -> None:
    """Raises ValueError if the mixture wants conversations and mixture.examples does not hold any."""
    if mixture.instruct:
        for file in _files(mixture.examples, storage):
            with _table(file, storage) as table:
                for name in EXAMPLES.names:
                    if name not in defaults_of(Example):
                        table.schema_arrow.field(name)


def _files(path: str, storage: Storage) -> list[str]:
    names = part_files(path, storage)
    return [path] if names is None else [f"{path.rstrip('/')}/{name}" for name in names]


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
