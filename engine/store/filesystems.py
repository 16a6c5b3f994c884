"""Objects behind any fsspec URI: kinds of trouble, calling again where trouble passes, byte ranges of one version of an object.

A Storage pickles as its options: each process builds its own filesystems and finds its own credentials, by the protocol's default
chain. Options that hold a credential are refused, because they would be pickled into every task and written into config.json.
"""

import difflib
import errno
import inspect
import io
import logging
import os
import random
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, Protocol, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from engine.store.parallel import CALLS_AT_ONCE

log = logging.getLogger(__name__)

T = TypeVar("T")
Trouble = Literal["missing", "denied", "full", "replaced", "unavailable"]
REMEDY: dict[Trouble, str] = {
    "missing": "check the path, and in an object store the bucket",
    "denied": "check permissions, and for an object store credentials and the clock of this machine",
    "full": "free space or quota, or choose another place; what is written stays",
    "replaced": "leave inputs alone while a run reads them",
    "unavailable": "check endpoint and network, then run the same command again: it goes on where it was",
}
SECRET = re.compile(r"secret|token|passw|credential|connection_string|^key$|_key$|access_key", re.IGNORECASE)
NO_SECRETS = frozenset({"anon", "cloud", "google_default"})
"""Values of gcsfs' token option that are no token, but name a way to find one."""
PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]+@")
PATIENCE_S = 120.0
PROTOCOLS = frozenset("file local memory http https s3 s3a gs gcs az abfs abfss".split())
OBJECT_STORES = PROTOCOLS - {"file", "local", "memory", "http", "https"}
BUFFER_BYTES = 1 << 20
S3_CONFIG = {"retries": {"total_max_attempts": 1}, "max_pool_connections": CALLS_AT_ONCE}
"""Only our own layer retries: with botocore's five attempts in each of s3fs' five, a write to an absent server took 50 s before it
failed. botocore's default pool of 10 connections would make most of our parallel calls wait."""
S3_DEFAULTS: dict[str, Any] = {"use_listings_cache": False, "config_kwargs": S3_CONFIG}
S3_ALSO = frozenset("use_listings_cache listings_expiry_time max_paths skip_instance_cache profile".split())
"""Options of s3fs that are not in the signature of its constructor."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 10.0


class StorageError(OSError):
    """A call to storage that failed: one line with the remedy."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble: Trouble = trouble

    def __reduce__(self) -> tuple[Any, ...]:
        return StorageError, (self.trouble, str(self))


def storage_error(what: str, error: Exception) -> StorageError:
    """The error of any filesystem as one line: StorageError("full", "cannot write a: No space left on device; free space ...")."""
    trouble = trouble_of(error) or "unavailable"
    return StorageError(trouble, f"{what}: {_reason(error)}; {REMEDY[trouble]}")


@dataclass(frozen=True)
class Storage:
    """How URIs are opened: fsspec options by protocol, and how long to wait for storage that is away.

    Storage({"s3": {"endpoint_url": "http://127.0.0.1:9000"}})
    """

    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    patience_s: float = PATIENCE_S

    def filesystem(self, uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
        """The filesystem and the path in it. Raises ValueError if its package is not installed, or does not know an option."""
        protocol = fsspec.core.split_protocol(uri)[0] or "file"
        _refuse_password(uri)
        options = {**(S3_DEFAULTS if protocol in ("s3", "s3a") else {}), **self.options.get(protocol, {})}
        try:
            filesystem, path = fsspec.core.url_to_fs(uri, **options)
        except ImportError as error:
            raise ValueError(f"{uri}: {error}; starloop[gcs] and starloop[azure] bring what they need") from None
        except ValueError as error:
            raise ValueError(f"{uri}: {error}; use a path, s3://, gs:// or az://") from None
        if protocol in ("s3", "s3a"):
            filesystem.retries = 1
            _refuse_unknown(filesystem, self.options.get(protocol, {}))
        return filesystem, path.rstrip("/") if path.strip("/") else path

    def patiently(self, what: str, call: Callable[[], T]) -> T:
        """Return call(); call again for up to patience_s while the trouble is one that may pass. Raises StorageError.

        Waits are random between 0 and a bound that doubles, so that a thousand workers do not all come back at the same moment.
        """
        deadline, bound = time.monotonic() + self.patience_s, FIRST_WAIT_S
        while True:
            try:
                return call()
            except FileExistsError:
                raise
            except Exception as error:
                trouble = trouble_of(error)
                if trouble is None and not isinstance(error, OSError):
                    raise
                wait = random.uniform(0, bound)
                if trouble != "unavailable" or time.monotonic() + wait > deadline:
                    raise storage_error(what, error) from None
                log.warning("%s: %s; trying again in %.1f s", what, _reason(error), wait)
            time.sleep(wait)
            bound = min(LONGEST_WAIT_S, bound * 2)

    @contextmanager
    def opened(self, uri: str) -> Iterator["Source"]:
        """Open one version of an object, to read ranges of it. Raises StorageError."""
        filesystem, path = self.filesystem(uri)
        what = f"cannot read {uri}"
        if isinstance(filesystem, LocalFileSystem):
            source: Source = self.patiently(what, lambda: _LocalSource(self, path, what))
        else:
            source = self.patiently(what, lambda: _RemoteSource(self, filesystem, path, what))
        try:
            yield source
        finally:
            source.close()

    @contextmanager
    def file(self, uri: str) -> Iterator[BinaryIO]:
        """Open one version of an object as a seekable file that reads a megabyte at a time. Raises StorageError."""
        with self.opened(uri) as source, io.BufferedReader(_SourceFile(source), BUFFER_BYTES) as file:
            yield file


def refuse_odd(uri: str) -> None:
    """Raises ValueError for a URI that names no object: unknown protocol, bucket alone, one URI inside another, NUL."""
    try:
        uri.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{uri!r} is not Unicode text; correct it") from None
    if "\0" in uri:
        raise ValueError(f"{uri!r} holds a NUL; remove it")
    _refuse_password(uri)
    protocol, separator, rest = uri.partition("://")
    if not separator:
        return
    if protocol not in PROTOCOLS or "://" in rest:
        raise ValueError(f"{uri!r} is not a path or one of s3://, gs://, az://; copy the object to one of these")
    if protocol in OBJECT_STORES and not rest.partition("/")[2]:
        raise ValueError(f"{uri!r} names a bucket and no object in it")


def _refuse_password(uri: str) -> None:
    if PASSWORD.search(uri):
        raise ValueError(f"{PASSWORD.sub('://...@', uri)} holds a password; give it to the workers' environment")


def _refuse_unknown(filesystem: fsspec.AbstractFileSystem, options: Mapping[str, Any]) -> None:
    """Raises ValueError for an option that s3fs does not know: it would pass it on to aiobotocore and fail at the first call."""
    known = {*inspect.signature(type(filesystem).__init__).parameters, *S3_ALSO}
    for name in set(options) - known:
        close = difflib.get_close_matches(name, known, n=1)
        raise ValueError(f"[storage.s3] has no option {name!r}{f'; did you mean {close[0]!r}?' if close else ': see s3fs'}")


def check_options(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ValueError for an option that looks like a credential, and for an unknown protocol."""
    for protocol, section in options.items():
        if protocol not in PROTOCOLS:
            close = difflib.get_close_matches(protocol, PROTOCOLS, n=1, cutoff=0.5)
            hint = f"did you mean [storage.{close[0]}]?" if close else f"known are {', '.join(sorted(PROTOCOLS))}"
            raise ValueError(f"[storage.{protocol}] is not a protocol; {hint}")
        for name, value in _leaves(section):
            if (SECRET.search(name) and value not in NO_SECRETS) or PASSWORD.search(str(value)):
                raise ValueError(
                    f"storage.{protocol}.{name} looks like a credential; leave it out, and give it to the workers' environment "
                    "(AWS_ACCESS_KEY_ID, AWS_PROFILE, GOOGLE_APPLICATION_CREDENTIALS, a pod's identity)"
                )


def _leaves(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        else:
            yield name, value


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


class _SourceFile(io.RawIOBase):
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


class _LocalSource:
    def __init__(self, storage: Storage, path: str, what: str) -> None:
        self._storage, self._path, self._what = storage, path, what
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

        data, status = self._storage.patiently(self._what, fetch)  # a network mount has its troubles too
        self.bytes_read += len(data)
        if _version(status) != self.etag:
            raise StorageError("replaced", f"{self._path} was written to while it was being read; {REMEDY['replaced']}")
        return data

    def close(self) -> None:
        os.close(self._file)


def _version(status: os.stat_result) -> str:
    return f"{status.st_size:x}-{status.st_mtime_ns:x}"


class _RemoteSource:
    """A file of fsspec without its cache: each read is one range request, with If-Match where fsspec sends it (s3fs)."""

    def __init__(self, storage: Storage, filesystem: fsspec.AbstractFileSystem, path: str, what: str) -> None:
        self._storage, self._what = storage, what
        self._file = filesystem.open(path, "rb", cache_type="none")
        details = getattr(self._file, "details", None)
        details = details if isinstance(details, Mapping) else {}
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

        data = self._storage.patiently(self._what, fetch)
        self.bytes_read += len(data)
        return data

    def close(self) -> None:
        self._file.close()


MISSING = {errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.ENODEV}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMSGSIZE}
"""EMSGSIZE: s3fs raises it for EntityTooLarge, by which a store reports that a quota is used up."""
PASSING = {
    errno.EAGAIN, errno.EBUSY, errno.EIO, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EPIPE,
    errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ESTALE, getattr(errno, "EREMOTEIO", errno.EIO),
}  # fmt: skip
NO_CREDENTIALS = frozenset("NoCredentialsError PartialCredentialsError CredentialRetrievalError ProfileNotFound".split())
PASSING_NAMES = frozenset(
    "HTTPClientError EndpointConnectionError ConnectTimeoutError ReadTimeoutError ConnectionClosedError ProxyConnectionError "
    "IncompleteRead IncompleteReadError ResponseParserError ResponseStreamingError ServiceRequestError ServiceResponseError".split()
)
"""Names of exceptions of botocore and of Azure's client, so that neither package is imported where it is not used."""
PASSING_PACKAGES = ("aiohttp.", "requests.", "urllib3.")


def trouble_of(error: BaseException) -> Trouble | None:
    """The kind of trouble that an exception of any filesystem stands for; None if it is not about storage.

    >>> trouble_of(PermissionError("no")), trouble_of(OSError(errno.ENOSPC, "full")), trouble_of(ConnectionResetError())
    ('denied', 'full', 'unavailable')
    """
    if isinstance(error, StorageError):
        return error.trouble
    name, status = type(error).__name__, _http_status(error)
    if name == "FileExpired" or status == 412 or _s3_code(error) == "PreconditionFailed":
        return "replaced"
    code = error.errno if isinstance(error, OSError) else None
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError) or status == 404 or code in MISSING:
        return "missing"
    if isinstance(error, PermissionError) or name in NO_CREDENTIALS or status in (401, 403) or code == errno.EROFS:
        return "denied"
    if code in FULL or status in (413, 507):
        return "full"
    passing = isinstance(error, ConnectionError | TimeoutError) or name in PASSING_NAMES or code in PASSING
    if passing or status == 429 or status >= 500 or type(error).__module__.startswith(PASSING_PACKAGES):
        return "unavailable"
    return None


def is_taken(error: BaseException) -> bool:
    """Whether create-if-absent failed because the path is taken. s3fs raises FileExistsError only if the response says why."""
    return isinstance(error, FileExistsError) or _s3_code(error) == "PreconditionFailed" or _http_status(error) == 412


def _s3_code(error: BaseException) -> str:
    """The store's own error code, if s3fs has translated it into an OSError; else ""."""
    response = getattr(error.__cause__, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _http_status(error: BaseException) -> int:
    """The response's status: `code` of gcsfs' errors, `status_code` of Azure's; 0 if there is none."""
    for name in ("status_code", "code", "status"):
        value = getattr(error, name, None)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return 0


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].rstrip(".")
