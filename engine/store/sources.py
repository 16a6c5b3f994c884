"""One version of an object, read by ranges: a file of this machine, or one that fsspec opens."""

import errno
import io
import os
import stat
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import fsspec

from engine.store.troubles import REMEDY, StorageError, trouble_of

T = TypeVar("T")
WHOLE_BYTES = 8 << 30
"""Most bytes of an object that is fetched whole, where nothing else is said."""


class Patiently(Protocol):
    """Calls, and calls again while the trouble may pass; what it raises is a StorageError that names the object."""

    def __call__(self, call: Callable[[], T]) -> T: ...


class Source(Protocol):
    """One version of an object."""

    size: int
    """Bytes."""
    etag: str
    """Identifies the version: if the bytes change, so does the etag."""
    bytes_read: int

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of a range, fewer only at the end of the object. Raises StorageError, also if the object has been replaced."""
        ...

    def close(self) -> None: ...


class SourceFile(io.RawIOBase):
    """A source as a seekable file, without a buffer."""

    def __init__(self, source: Source) -> None:
        self._source, self._at = source, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class LocalSource:
    """A file of this machine, or of what is mounted there."""

    def __init__(self, patiently: Patiently, path: str) -> None:
        self._patiently, self._path = patiently, path
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else opening a named pipe waits for its writer
        try:
            status = os.fstat(self._file)
            if not stat.S_ISREG(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, "not a regular file", path)
        except OSError:
            os.close(self._file)
            raise
        self.size, self.etag, self.bytes_read = status.st_size, _version(status), 0

    def read(self, offset: int, length: int) -> bytes:
        def fetch() -> tuple[bytes, os.stat_result]:
            return os.pread(self._file, length, offset), os.fstat(self._file)

        data, status = self._patiently(fetch)  # a network mount has its troubles too
        self.bytes_read += len(data)
        if _version(status) != self.etag:
            raise StorageError("replaced", f"{self._path} was written to while it was being read; {REMEDY['replaced']}")
        return data

    def close(self) -> None:
        os.close(self._file)


def readable_names(folder: str) -> list[str]:
    """The names in a folder of this machine that LocalSource opens: no folders, named pipes or links to nothing. Raises OSError."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if _is_readable(entry)]


def _is_readable(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError as error:  # of a link's target: one to itself is missing, one that may not be looked at is there
        return trouble_of(error) != "missing"


def _version(status: os.stat_result) -> str:
    return f"{status.st_size:x}-{status.st_mtime_ns:x}"


class RemoteSource:
    """A file of fsspec without its cache: each read is one range request, with If-Match where fsspec sends it (s3fs)."""

    def __init__(self, patiently: Patiently, filesystem: fsspec.AbstractFileSystem, path: str) -> None:
        self._patiently = patiently
        self._file = filesystem.open(path, "rb", cache_type="none")
        details = getattr(self._file, "details", None)
        details = details if isinstance(details, Mapping) else {}
        if details.get("type") == "directory":
            raise IsADirectoryError(errno.EISDIR, "not a regular file", path)
        versions = (details.get(name) for name in ("ETag", "etag", "generation", "content_md5", "md5Hash"))
        self.size, self.bytes_read = int(self._file.size), 0
        self.etag = next((str(value).strip('"') for value in versions if value), "")

    def read(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""

        def fetch() -> bytes:
            self._file.seek(offset)
            data: bytes = self._file.read(length)
            if len(data) != length:
                raise ConnectionError(f"{len(data)} of {length} bytes came")
            return data

        data = self._patiently(fetch)
        self.bytes_read += len(data)
        return data

    def close(self) -> None:
        self._file.close()
