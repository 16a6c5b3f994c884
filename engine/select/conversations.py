"""Conversations that are mixed in: the examples that `starloop ingest --format instruct` wrote."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pyarrow.parquet as pq

from engine.config import Mixture
from engine.ingest.folders import files_under
from engine.ingest.parquet_rows import UNREADABLE_PARQUET
from engine.ingest.tables import opened
from engine.rows import EXAMPLES, Example, defaults_of
from engine.select.examples import ROW_GROUP
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError

SUFFIX = ".parquet"


def read_conversations(path: str, storage: Storage) -> Iterator[list[Example]]:
    """The examples in batches, file by file. Raises ValueError where a file is not what `starloop ingest` wrote."""
    for file, collection in _files(path, storage):
        with _table(file, storage) as table:
            for batch in table.iter_batches(ROW_GROUP):
                examples = [Example.from_row(row) for row in batch.to_pylist()]
                yield [own if own.collection else replace(own, collection=collection) for own in examples]


def refuse_no_examples(mixture: Mixture, storage: Storage) -> None:
    """Raises ValueError if the mixture wants conversations that mixture.examples does not hold, or weighs a set that has none."""
    if not mixture.instruct:
        return
    names = set[str]()
    for file, collection in _files(mixture.examples, storage):
        with _table(file, storage) as table:
            for name in EXAMPLES.names:
                if name not in defaults_of(Example):
                    table.schema_arrow.field(name)
            names |= _collections_of(table, collection) if mixture.collections else set()
    if unknown := sorted(mixture.collections.keys() - names):
        known = ", ".join(sorted(filter(None, names))) or "none that has a name"
        raise ValueError(
            f"mixture.collections weighs {unknown[0]!r}, and the sets of mixture.examples are {known}; correct the name"
        )


def _files(path: str, storage: Storage) -> list[tuple[str, str]]:
    """Each file, and the set that its rows are of where they name none. Raises ValueError for a folder without one."""
    names = files_under(path, storage)
    if names is None:
        return [(path, "")]
    tables = [name for name in sorted(names) if name.endswith(SUFFIX)]
    if not tables:
        raise ValueError(
            f"mixture.examples {path} is a folder without {SUFFIX} files; `starloop ingest --format instruct` writes them"
        )
    return [(f"{path.rstrip('/')}/{name}", name.rpartition("/")[2].removesuffix(SUFFIX)) for name in tables]


def _collections_of(table: pq.ParquetFile, default: str) -> set[str]:
    if "collection" not in table.schema_arrow.names:
        return {default}
    values = table.read(["collection"])["collection"].unique().to_pylist()
    return {value or default for value in values}


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
