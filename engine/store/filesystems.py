"""Storage: filesystems for any URI, calling again where trouble passes, and one version of an object, to read ranges of it.

A Storage pickles as its options: each process builds its own filesystems and finds its own credentials, by the protocol's default
chain. Options that hold a credential are refused, because they would be pickled into every task and written into config.json.
"""

import copy
import difflib
import inspect
import io
import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

import fsspec

from engine.store.locations import PASSWORD, PROTOCOLS, WEB, local_path, protocol_of, refuse_password
from engine.store.parallel import CALLS_AT_ONCE
from engine.store.sources import WHOLE_BYTES, LocalSource, Patiently, RemoteSource, Source, SourceFile
from engine.store.troubles import WAITED_FOR, StorageError, reason_of, storage_error, trouble_of
from engine.store.web import Waits, WebSource

log = logging.getLogger(__name__)

T = TypeVar("T")
SECRET = re.compile(r"secret|token|passw|credential|connection_string|^key$|_key$|access_key", re.IGNORECASE)
NO_SECRETS = frozenset({"anon", "cloud", "google_default"})
"""Values of gcsfs' token option that are no token, but name a way to find one."""
PATIENCE_S = 120.0
SHORTEST_SILENCE_S, LONGEST_SILENCE_S = 5.0, 60.0
"""Bounds of the seconds without a byte that end a request: a server that works takes seconds now and then, and no minute."""
BUFFER_BYTES = 1 << 20
S3_CONFIG = {"retries": {"total_max_attempts": 1}, "max_pool_connections": CALLS_AT_ONCE}
"""Only our own layer retries: with botocore's five attempts in each of s3fs' five, a write to an absent server took 50 s before it
failed. botocore's default pool of 10 connections would make most of our parallel calls wait."""
S3_SILENCE_S = 15.0
"""s3fs' own read_timeout."""
S3_ALSO = frozenset("use_listings_cache listings_expiry_time max_paths skip_instance_cache profile".split())
"""Options of s3fs that are not in the signature of its constructor."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 10.0


@dataclass(frozen=True)
class Storage:
    """How URIs are opened: fsspec options by protocol, and how long to wait for storage that is away.

    Storage({"s3": {"endpoint_url": "http://127.0.0.1:9000"}})
    """

    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    patience_s: float = PATIENCE_S
    tries_again: bool = True
    """False: each call is made once, to find out whether storage answers; a request has the same time."""

    @property
    def silence_s(self) -> float:
        """Seconds without a byte after which a request ends: it never outlasts the patience, if that is no shorter than 5 s."""
        return min(LONGEST_SILENCE_S, max(SHORTEST_SILENCE_S, self.patience_s))

    def filesystem(self, uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
        """The filesystem and the path in it. Raises ValueError if its package is not installed, or does not know an option."""
        refuse_password(uri)
        protocol, path = protocol_of(uri), local_path(uri)
        if path is not None:
            return fsspec.filesystem("file", **self.options.get(protocol, {})), path.rstrip("/") or "/"
        own = self.options.get(protocol, {})
        try:
            kind = fsspec.get_filesystem_class(protocol)
            options = kind._get_kwargs_from_urls(uri) | own
            if protocol in ("s3", "s3a"):
                options = self._with_s3_defaults(options)
            filesystem, path = fsspec.filesystem(protocol, **options), kind._strip_protocol(uri)
        except ImportError as error:
            raise ValueError(f"{uri}: {error}; starloop[gcs] and starloop[azure] bring what they need") from None
        except ValueError as error:
            raise ValueError(f"{uri}: {error}; use a path, s3://, gs:// or az://") from None
        if protocol in ("s3", "s3a"):
            filesystem.retries = 1
            _refuse_unknown(filesystem, own)
        return filesystem, path.rstrip("/") if path.strip("/") else path

    def _with_s3_defaults(self, options: Mapping[str, Any]) -> dict[str, Any]:
        # botocore writes into the dictionaries that it is given
        config = {**copy.deepcopy(S3_CONFIG), "read_timeout": min(S3_SILENCE_S, self.silence_s), **options.get("config_kwargs", {})}
        return {"use_listings_cache": False, **options, "config_kwargs": config}

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
                if trouble not in WAITED_FOR or not self.tries_again or time.monotonic() + wait > deadline:
                    raise storage_error(what, error) from None
                log.warning("%s: %s; trying again in %.1f s", what, reason_of(error), wait)
            time.sleep(wait)
            bound = min(LONGEST_WAIT_S, bound * 2)

    @contextmanager
    def opened(self, uri: str, whole_bytes: int = WHOLE_BYTES) -> Iterator[Source]:
        """Open one version of an object, to read ranges of it; a server without ranges gives at most `whole_bytes`.

        Whatever a filesystem raises about the object is a StorageError that names it.
        """
        patiently = self._reading(uri)
        filesystem, path = patiently(lambda: self._filesystem_of(uri))
        if local_path(uri) is not None:
            source: Source = patiently(lambda: LocalSource(patiently, path))
        elif protocol_of(uri) in WEB:
            waits = Waits(self.silence_s, max(self.silence_s, self.patience_s))
            source = patiently(lambda: WebSource(patiently, filesystem, path, whole_bytes, waits))
        else:
            source = patiently(lambda: RemoteSource(patiently, filesystem, path))
        try:
            yield source
        finally:
            source.close()

    def _filesystem_of(self, uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
        try:
            return self.filesystem(uri)
        except ValueError as error:
            raise StorageError("refused", str(error)) from None

    def _reading(self, uri: str) -> Patiently:
        """As `patiently`; an exception that nothing is known of is one of this object too."""
        what = f"cannot read {uri}"

        def patiently(call: Callable[[], T]) -> T:
            try:
                return self.patiently(what, call)
            except (StorageError, MemoryError):
                raise
            except Exception as error:
                raise storage_error(what, error) from None

        return patiently

    @contextmanager
    def file(self, uri: str) -> Iterator[BinaryIO]:
        """Open one version of an object as a seekable file that reads a megabyte at a time. Raises StorageError."""
        with self.opened(uri) as source, io.BufferedReader(SourceFile(source), BUFFER_BYTES) as file:
            yield file


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
