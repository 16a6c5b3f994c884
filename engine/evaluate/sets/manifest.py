"""An evaluation set in a manifest of our own; its column split does not matter, every clip is asked about."""

from collections.abc import Iterator
from functools import partial

from engine.config import Data
from engine.ingest.manifest import read_manifest
from engine.ingest.own import own_records
from engine.ingest.tables import Record
from engine.rows import Clip
from engine.store.filesystems import Storage


def read(data: Data, storage: Storage) -> Iterator[Clip]:
    return read_manifest(data, storage, records=partial(_without_split, data.manifest, storage))


def _without_split(path: str, storage: Storage) -> Iterator[Record]:
    for place, row in own_records(path, storage):
        yield place, row if isinstance(row, ValueError) else {name: value for name, value in row.items() if name != "split"}
