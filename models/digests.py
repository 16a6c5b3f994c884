"""sha256 of large files, read once per machine: remembered on disk by path, size and modification time."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from models.caches import cache_folder

BLOCK = 16 << 20
"""Bytes that are read at once."""


def file_digest(path: Path) -> str:
    """Hex sha256 of a file's bytes.

    Eight processes of one machine that load the same 14 GB read it for this once: the others wait for the first. The path is
    resolved, because the files of a hub's snapshot are links to its blobs.
    """
    path = path.resolve()
    status = path.stat()
    return _digest_of_version(path, status.st_size, status.st_mtime_ns)


@cache
def _digest_of_version(path: Path, size: int, mtime_ns: int) -> str:
    version = f"{path} {size} {mtime_ns}"
    if (folder := _cache_folder()) is None:
        return _read(path)
    entry = folder / f"{hashlib.sha256(version.encode()).hexdigest()}.json"
    if digest := _remembered(entry, version):
        return digest
    with _one_process_at_a_time(entry):
        if digest := _remembered(entry, version):
            return digest
        digest = _read(path)
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) == (size, mtime_ns):  # else it was written to while it was read
            _remember(entry, version, digest)
        return digest


def _read(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _cache_folder() -> Path | None:
    try:
        return cache_folder("digests")
    except ValueError:  # it costs time, and no more
        return None


def _remembered(entry: Path, version: str) -> str | None:
    """The digest in a cache entry; None where there is no entry, or a damaged one."""
    try:
        value = json.loads(entry.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict) or value.get("version") != version:
        return None
    return str(value["sha256"]) if len(str(value.get("sha256"))) == 64 else None


def _remember(entry: Path, version: str, digest: str) -> None:
    """Write an entry whole or not at all. A full disk costs the memory, not the digest."""
    unfinished = entry.with_suffix(f".{os.getpid()}")
    try:
        unfinished.write_text(json.dumps({"version": version, "sha256": digest}))
        unfinished.replace(entry)
    except OSError:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _one_process_at_a_time(entry: Path) -> Iterator[None]:
    with open(entry.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
