"""Model weights on any URI: fetched into a local folder once per machine and version, because models/ reads local folders only."""

import fcntl
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from engine.store.files import digest
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError
from models.base import ModelSpec
from models.caches import temporary_folder


def local(spec: ModelSpec, storage: Storage, only: str = "") -> ModelSpec:
    """The same model with local paths. `only`: the suffix of the files to fetch, for example ".json" to read the configuration.

    Raises ValueError if there is no checkpoint, StorageError if it cannot be read.
    """
    return replace(
        spec, base=_fetched(spec.base, storage, only), adapter=_fetched(spec.adapter, storage, only) if spec.adapter else None
    )


def version(uri: str, storage: Storage) -> str:
    """Digest of the names, sizes and dates of a checkpoint's files; of the URI alone if there is no such folder."""
    filesystem, root = storage.filesystem(uri)
    entries = storage.patiently(f"cannot list {uri}", lambda: filesystem.exists(root) and filesystem.ls(root, detail=True))
    return digest([uri, _versions(entries or [], "")])


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


def _versions(entries: list[dict[str, Any]], only: str) -> list[tuple[str, int, str]]:
    """(name, size, ETag or date) of each file in a listing of fsspec whose name ends with `only`."""
    files = {entry["name"].rsplit("/", 1)[-1]: entry for entry in entries if entry["type"] == "file"}
    return [
        (name, entry["size"], str(entry.get("ETag") or entry.get("etag") or entry.get("mtime") or ""))
        for name, entry in sorted(files.items())
        if name.endswith(only)
    ]


def _fetched(uri: str, storage: Storage, only: str) -> str:
    """The local folder that holds the files of a URI; a URI without protocol is returned as it is."""
    if "://" not in uri:
        return uri
    filesystem, root = storage.filesystem(uri)
    try:
        entries = storage.patiently(f"cannot list {uri}", lambda: filesystem.ls(root, detail=True))
    except StorageError as error:
        if error.trouble != "missing":
            raise
        entries = []
    versions = _versions(entries, only)
    if not {name for name, *_ in versions} & {"config.json", "adapter_config.json"}:
        raise ValueError(f"no checkpoint at {uri}: it has neither config.json nor adapter_config.json")
    folder = temporary_folder("weights") / digest([uri, versions])
    folder.mkdir(exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # eight actors of one machine may want the same 14 GB
        for name, size, _ in versions:
            if not (folder / name).exists() or (folder / name).stat().st_size != size:  # the disk may have been full, or a file cut
                part = folder / f"{name}.part"
                get = partial(filesystem.get_file, f"{root}/{name}", str(part))
                storage.patiently(f"cannot read {uri}/{name}", get)
                if part.stat().st_size != size:
                    raise StorageError("replaced", f"{uri}/{name} changed while it was fetched; run the same command again")
                part.rename(folder / name)
    return str(folder)
