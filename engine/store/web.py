"""One version of an object behind a web server: by ranges where the server gives them, else fetched whole into a temporary file."""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

from fsspec.asyn import AsyncFileSystem, sync

from engine.store.pace import Pace
from engine.store.sources import Patiently
from engine.store.troubles import REMEDY, StorageError, trouble_of

WHOLE_TIMEOUT_S = 3600.0
"""For an object that comes whole, however fast."""
CHUNK_BYTES = 1 << 20
VERSION_HEADERS = ("ETag", "Last-Modified", "Content-Length", "Content-Encoding")
"""What tells two versions of an object apart, as well as its server says."""
ELSEWHERE = "copy the object to a server that gives ranges, or drop its row"
CONTENT_RANGE = re.compile(r"bytes (?:(?P<first>\d+)-(?P<last>\d+)|\*)/(?P<size>\d+)")
PLAIN = ("", "identity")
"""Content encodings by which the bytes that come are the object's own."""
NO_RANGES = frozenset({400, 405, 416, 501})
"""Statuses by which servers refuse a request for a range, that may answer one for the whole object."""


@dataclass(frozen=True)
class Whole:
    """An object that came whole, in a file without a name: it is gone with this process."""

    url: str
    version: tuple[str, ...]
    """The VERSION_HEADERS that it came with; "" for each that there was none of."""
    file: BinaryIO
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Waits:
    """Waits(silence_s=60.0, patience_s=120.0): how long bytes of an object are waited for."""

    silence_s: float
    """A request ends after so long without a byte, and where the head of its response has not come by then."""
    patience_s: float
    """All requests of an object together may take so long, and longer with each byte (engine/store/pace.py)."""


_LAST: list[Whole] = []
"""The object that came whole last, if any: windows of one video follow each other, and each would fetch it again. Only fsspec's
thread changes it."""


class WebSource:
    """An object of an HTTP server. Only GET is used: an address may be signed for nothing else."""

    def __init__(self, patiently: Patiently, filesystem: AsyncFileSystem, url: str, whole_bytes: int, waits: Waits) -> None:
        self._patiently, self._filesystem, self._url, self._whole_bytes = patiently, filesystem, url, whole_bytes
        self._silence_s, self._pace = waits.silence_s, Pace(waits.patience_s)
        self._whole: int | None = None
        """The descriptor of the whole object's file, where the server gives no ranges."""
        self.size, self.etag, self.bytes_read = 0, "", 0
        sync(filesystem.loop, self._open)

    def read(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        parts, at = list[bytes](), offset
        while self._whole is None and at < offset + length:  # a server may send less than a range
            data: bytes | None = self._patiently(partial(sync, self._filesystem.loop, self._range, at, offset + length - at))
            if data is not None:
                self.bytes_read += len(data)
                parts.append(data)
                at += len(data)
        return b"".join(parts) if self._whole is None else os.pread(self._whole, length, offset)

    def close(self) -> None:
        if self._whole is not None:
            os.close(self._whole)

    async def _open(self) -> None:
        """Size and version of the object, from a request for its first byte."""
        async with _bounded(WHOLE_TIMEOUT_S, "the whole object did not come"), self._get("bytes=0-0") as response:
            match = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            self.etag = _strong_etag(response)
            if match and response.status in (206, 416) and _is_plain(response):
                self.size = int(match["size"])
                if self.size or response.status == 416:
                    return
            elif response.status == 200:
                if self._whole_bytes:
                    await self._spool(response)
                else:  # only size and version are wanted
                    self.size = int(response.headers.get("Content-Length", 0)) if _is_plain(response) else 0
                return
            elif response.status not in (206, *NO_RANGES):
                self._refuse(response)
        await self._fetch_whole()

    async def _range(self, offset: int, length: int) -> bytes | None:
        """The bytes of a range, or its first ones if the server sends no more; None where it has sent the whole object instead."""
        byte_range = f"bytes={offset}-{offset + length - 1}"
        async with self._get(byte_range) as response:
            match = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            if match and (int(match["size"]) != self.size or _strong_etag(response) != self.etag):
                raise StorageError("replaced", f"{self._url} was replaced while it was being read; {REMEDY['replaced']}")
            if match and response.status == 206 and _is_plain(response):
                first, last = int(match["first"] or -1), int(match["last"] or -1)
                if first != offset or last < first:
                    raise StorageError("refused", f"cannot read {self._url}: the server sends another range; {ELSEWHERE}")
                return await self._body(response, min(length, last - first + 1))
            if response.status not in (200, 206, *NO_RANGES):
                self._refuse(response)
        size, etag = self.size, self.etag
        async with _bounded(WHOLE_TIMEOUT_S, "the whole object did not come"):
            await self._fetch_whole()
        if self.size != size or (etag and self.etag not in ("", etag)):
            raise StorageError("replaced", f"{self._url} was replaced while it was being read; {REMEDY['replaced']}")
        return None

    async def _fetch_whole(self) -> None:
        async with self._get("") as response:
            self._refuse(response)
            await self._spool(response)

    def _refuse(self, response: Any) -> None:
        """Raise what the status means. A server that finds an object too large to send says so of this object, not of its disk."""
        if response.status in (413, 507):
            status = f"HTTP status {response.status} {response.reason}"
            raise StorageError("refused", f"cannot read {self._url}: {status}; {ELSEWHERE}")
        response.raise_for_status()

    @asynccontextmanager
    async def _get(self, byte_range: str) -> AsyncIterator[Any]:
        """aiohttp's response to a request for a range, or for the whole object."""
        session, options = await self._filesystem.set_session(), self._filesystem.kwargs
        headers = {**options.get("headers", {}), "Accept-Encoding": "identity"} | ({"Range": byte_range} if byte_range else {})
        timeout = type(session.timeout)(total=None, sock_read=self._silence_s)
        async with self._pace.request():
            async with _bounded(self._silence_s, "no answer"):
                request = session.get(self._filesystem.encode_url(self._url), **{"timeout": timeout, **options, "headers": headers})
                response = await request
            async with response:
                yield response

    async def _chunks(self, response: Any) -> AsyncIterator[bytes]:
        """The body, part by part as it comes."""
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            self._pace.came(len(chunk))
            yield chunk

    async def _body(self, response: Any, length: int) -> bytes:
        """Exactly so many bytes. Raises ConnectionError where fewer come."""
        parts, size = [], 0
        async for chunk in self._chunks(response):
            parts.append(chunk)
            size += len(chunk)
            if size >= length:
                break
        if size < length:
            raise ConnectionError(f"{size} of {length} bytes came")
        return b"".join(parts)[:length]

    async def _spool(self, response: Any) -> None:
        """Keep the body, decompressed if it comes compressed; not once more where it is the object that came whole last."""
        version = tuple(response.headers.get(name, "") for name in VERSION_HEADERS)
        is_known = any(version[:3])
        for whole in _LAST:
            if is_known and (whole.url, whole.version) == (self._url, version) and whole.size <= self._whole_bytes:
                response.close()
                break
        else:
            whole = Whole(self._url, version, *await self._written(response), _strong_etag(response))
            self.bytes_read += whole.size
            for last in _LAST:
                last.file.close()
            _LAST[:] = [whole]
        if self._whole is not None:
            os.close(self._whole)
        self._whole, self.size, self.etag = os.dup(whole.file.fileno()), whole.size, whole.etag

    async def _written(self, response: Any) -> tuple[BinaryIO, int]:
        """The body in a temporary file, and its size. That this machine has no room for it is no trouble of other objects."""
        with self._needing_room():
            file, size = tempfile.TemporaryFile(), 0  # noqa: SIM115  # it stays open, in _LAST
        try:
            async for chunk in self._chunks(response):
                size += len(chunk)
                if size > self._whole_bytes:
                    raise StorageError(
                        "refused",
                        f"cannot read {self._url}: the server gives no ranges, and the object has more than {self._whole_bytes} "
                        f"bytes (limits.read_bytes); {ELSEWHERE}",
                    )
                with self._needing_room():
                    file.write(chunk)
            with self._needing_room():
                file.flush()
        except BaseException:
            with suppress(OSError):  # it writes what is buffered
                file.close()
            raise
        return file, size

    @contextmanager
    def _needing_room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if trouble_of(error) == "exhausted":
                raise
            why = f"no room for an object that comes whole ({error.strerror or error}): set TMPDIR to a disk that has some"
            raise StorageError("refused", f"cannot read {self._url}: {why}; or {ELSEWHERE}") from None


@asynccontextmanager
async def _bounded(seconds: float, what: str) -> AsyncIterator[None]:
    """Raises TimeoutError("{what} within {seconds} s") where the block takes longer; asyncio's own says nothing."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise TimeoutError(f"{what} within {seconds:g} s") from None


def _is_plain(response: Any) -> bool:
    return response.headers.get("Content-Encoding", "").lower() in PLAIN


def _strong_etag(response: Any) -> str:
    """The version that the server names, "" for none: a weak etag says that two versions are alike, not that they are the same."""
    etag = str(response.headers.get("ETag", ""))
    return "" if etag.startswith("W/") else etag.strip('"')
