"""Model weights on any URI: fetched into a local folder once per machine and version, because models/ reads local folders only."""

import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from engine.store.files import digest
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError
from models.base import ModelSpec
from models.caches import cache_folder
from models.digests import file_digest
from models.folders import FINETUNED

ALL_FILES = ("*",)
CARD = "README.md"
"""Written beside a finetune's weights once it is evaluated (engine/export/model_card.py): no part of the model that is fetched."""
OF_A_CYCLE = ("adapter_config.json", FINETUNED)
"""Files by which the folder of what a finetune wrote is known."""
KEPT_ADAPTERS, KEPT_S = 3, 3600.0
"""Adapters that are kept beside the one in use, and seconds for which any other one is kept after its last use: an actor that has
been given a folder may not have loaded it yet."""


def local(spec: ModelSpec, storage: Storage, files: tuple[str, ...] = ALL_FILES) -> ModelSpec:
    """The same model with local paths, and with the URIs as its names.

    `files`: patterns of the names to fetch; SMALL_FILES to read all but the weights.
    Raises ValueError if there is no checkpoint, StorageError if it cannot be read.
    """
    if "://" in spec.base:
        spec = replace(spec, base=_fetched(spec.base, storage, files), base_uri=spec.base)
    if spec.adapter and "://" in spec.adapter:
        spec = replace(spec, adapter=_fetched(spec.adapter, storage, files), adapter_uri=spec.adapter)
    return spec


def version(uri: str, storage: Storage) -> str:
    """Digest of the names, sizes and dates of a checkpoint's files; of the URI alone if there is no such folder."""
    filesystem, root = storage.filesystem(uri)
    entries = storage.patiently(f"cannot list {uri}", lambda: filesystem.exists(root) and filesystem.ls(root, detail=True))
    return digest([uri, _versions(entries or [], ALL_FILES)])


def refuse_occupied(uri: str, storage: Storage) -> None:
    """Raises ValueError if there are files at a URI, StorageError if that cannot be known."""
    filesystem, root = storage.filesystem(uri)
    if storage.patiently(f"cannot list {uri}", lambda: filesystem.exists(root) and filesystem.find(root)):
        raise ValueError(f"{uri} is not empty; name another place")


def publish(folder: Path, uri: str, storage: Storage) -> None:
    """Copy a checkpoint's files below a URI, each config.json last: a folder without it is not taken for a checkpoint.

    Raises StorageError if they cannot be written.
    """
    filesystem, root = storage.filesystem(uri)
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: (path.name == "config.json", path))
    for path in files:
        target = f"{root}/{path.relative_to(folder).as_posix()}"
        filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
        storage.patiently(f"cannot write {target}", partial(filesystem.put_file, str(path), target))


def _versions(entries: list[dict[str, Any]], patterns: tuple[str, ...]) -> list[tuple[str, int, str]]:
    """(name, size, ETag or date) of each file in a listing of fsspec whose name matches a pattern; a card is no part of a model."""
    files = {entry["name"].rsplit("/", 1)[-1]: entry for entry in entries if entry["type"] == "file"}
    files.pop(CARD, None)
    return [
        (name, entry["size"], str(entry.get("ETag") or entry.get("etag") or entry.get("mtime") or ""))
        for name, entry in sorted(files.items())
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    ]


def _fetched(uri: str, storage: Storage, patterns: tuple[str, ...]) -> str:
    """The local folder that holds the files of a URI."""
    filesystem, root = storage.filesystem(uri)
    try:
        entries = storage.patiently(f"cannot list {uri}", lambda: filesystem.ls(root, detail=True))
    except StorageError as error:
        if error.trouble != "missing":
            raise
        entries = []
    versions = _versions(entries, patterns)
    if not {name for name, *_ in versions} & {"config.json", "adapter_config.json"}:
        raise ValueError(f"no checkpoint at {uri}: it has neither config.json nor adapter_config.json")

    def get(name: str, target: Path) -> None:
        storage.patiently(f"cannot read {uri}/{name}", partial(filesystem.get_file, f"{root}/{name}", str(target)))

    return str(WeightsCache(cache_folder("weights")).folder(uri, versions, get))


class WeightsCache:
    """Fetched checkpoints of this user on this machine: a folder each, and beside it a record of what was fetched.

    A file is used if its size is the store's and its sha256 is the recorded one, which is computed once for each version of a file
    (models/digests.py). Adapters that were not used for a while are deleted: each cycle of a run makes one.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, uri: str, versions: list[tuple[str, int, str]], get: Callable[[str, Path], None]) -> Path:
        """The folder with all files of a URI, by (name, size, version); get(name, path) fetches what is not there yet."""
        folder = self._root / digest([uri, versions])
        with _locked(folder) as record:
            folder.mkdir(mode=0o700, exist_ok=True)
            digests = _recorded(record)
            for name, size, _ in versions:
                path = folder / name
                if not _is_intact(path, size, digests.get(name)):
                    digests[name] = _fetch(uri, path, size, get)
                    record.write_text(json.dumps(digests))
            record.touch()
        if any(name in OF_A_CYCLE for name, *_ in versions):
            self._evict(folder)
        return folder

    def _evict(self, used: Path) -> None:
        """Delete adapters, those that were used longest ago first, except KEPT_ADAPTERS and what was used within KEPT_S."""
        adapters = [path.parent for name in OF_A_CYCLE for path in self._root.glob(f"*/{name}") if path.parent != used]
        for folder in sorted(adapters, key=_last_use, reverse=True)[KEPT_ADAPTERS:]:
            with _locked(folder) as record:
                if time.time() - _last_use(folder) > KEPT_S:  # else another process has just used it
                    record.unlink(missing_ok=True)
                    shutil.rmtree(folder, ignore_errors=True)


def _last_use(folder: Path) -> float:
    try:
        return folder.with_suffix(".json").stat().st_mtime
    except OSError:
        return 0.0


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """The path of a folder's record, for one process at a time: eight actors of one machine may want the same 14 GB."""
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder.with_suffix(".json")


def _recorded(record: Path) -> dict[str, str]:
    """The sha256 of each file that was fetched; {} where there is no record, or a damaged one."""
    try:
        digests = json.loads(record.read_text())
    except (OSError, ValueError):
        return {}
    return digests if isinstance(digests, dict) else {}


def _is_intact(path: Path, size: int, sha256: str | None) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != size:  # the disk may have been full, or a file cut
        return False
    return sha256 is not None and file_digest(path) == sha256


def _fetch(uri: str, path: Path, size: int, get: Callable[[str, Path], None]) -> str:
    """Fetch a file whole or not at all; returns its sha256."""
    part = path.with_name(f"{path.name}.part")
    try:
        get(path.name, part)
        if part.stat().st_size != size:
            raise StorageError("replaced", f"{uri}/{path.name} changed while it was fetched; run the same command again")
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return file_digest(path)
