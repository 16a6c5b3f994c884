"""An evaluation set in a manifest of our own; its column split does not matter, every clip is asked about."""

from collections.abc import Iterator

from engine.config import Data
from engine.ingest.manifest import read_manifest
from engine.rows import Clip
from engine.store.filesystems import Storage


def read(data: Data, storage: Storage) -> Iterator[Clip]:
    return read_manifest(data, storage)
