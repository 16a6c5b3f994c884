"""One version of an object behind a web server: by ranges where the server gives them, else fetched whole into a temporary file."""

import asyncio
import re
import tempfile
from typing import Any, BinaryIO

from fsspec.asyn import AsyncFileSystem, sync

from engine.store.sources import Patiently
from engine.store.troubles import REMEDY, StorageError

RANGE_TIMEOUT_S, WHOLE_TIMEOUT_S = 120.0, 3600.0
SILENCE_S = 60.0
"""No byte for so long ends a request."""
CHUNK_BYTES = 1 << 20
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")
PLAIN = ("", "identity")
"""Content encodings by which the bytes that come are the object's own."""
NO_RANGES = frozenset({400, 405, 416, 501})
"""Statuses by which servers refuse a request for a range, that may answer one for the whole object."""


class WebSource:
    """An object of an HTTP server. Only GET is used: an address may be signed for nothing else."""

    def __init__(self, patiently: Patiently, filesystem: AsyncFileSystem, url: str, whole_bytes: int) -> None:
        self._patiently, self._filesystem, self._url, self._whole_bytes = patiently, filesystem, url, whole_bytes
        self._whole: BinaryIO | None = None
        """The whole object, where the server gives no ranges."""
        self.size, self.etag, self.bytes_read = 0, "", 0
        sync(filesystem.loop, self._open)

    def read(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        if self._whole is None:
            data: bytes | None = self._patiently(lambda: sync(self._filesystem.loop, self._range, offset, length))
            if data is not None:
                self.bytes_read += len(data)
                return data
        assert self._whole is not None, "the server has sent the range or the whole object"
        self._whole.seek(offset)
        return self._whole.read(length)

    def close(self) -> None:
        if self._whole is not None:
            self._whole.close()

    async def _open(self) -> None:
        """Size and version of the object, from a request for its first byte."""
        async with asyncio.timeout(WHOLE_TIMEOUT_S), await self._get("bytes=0-0") as response:
            match = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            self.etag = _strong_etag(response)
            if match and response.status in (206, 416) and _is_plain(response):
                self.size = int(match[2])
                if self.size or response.status == 416:
                    return
            elif response.status == 200:
                await self._spool(response)
                return
            elif response.status not in (206, *NO_RANGES):
                self._refuse(response)
        await self._fetch_whole()

    async def _range(self, offset: int, length: int) -> bytes | None:
        """The bytes of a range; None where the server has sent the whole object instead."""
        async with asyncio.timeout(RANGE_TIMEOUT_S), await self._get(f"bytes={offset}-{offset + length - 1}") as response:
            match = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            if match and (int(match[2]) != self.size or _strong_etag(response) != self.etag):
                raise StorageError("replaced", f"{self._url} was replaced while it was being read; {REMEDY['replaced']}")
            if match and response.status == 206 and _is_plain(response):
                if match[1] is None or int(match[1]) != offset:
                    raise StorageError("refused", f"cannot read {self._url}: the server sends another range than was requested")
                return await _body(response, length)
            if response.status not in (200, 206, *NO_RANGES):
                self._refuse(response)
        size = self.size
        async with asyncio.timeout(WHOLE_TIMEOUT_S):
            await self._fetch_whole()
        if self.size != size:
            raise StorageError("replaced", f"{self._url} was replaced while it was being read; {REMEDY['replaced']}")
        return None

    async def _fetch_whole(self) -> None:
        async with await self._get("") as response:
            self._refuse(response)
            await self._spool(response)

    def _refuse(self, response: Any) -> None:
        """Raise what the status means. A server that finds an object too large to send says so of this object, not of its disk."""
        if response.status in (413, 507):
            raise StorageError("refused", f"cannot read {self._url}: HTTP status {response.status} {response.reason}")
        response.raise_for_status()

    async def _get(self, byte_range: str) -> Any:
        """aiohttp's response to a request for a range, or for the whole object."""
        session, options = await self._filesystem.set_session(), self._filesystem.kwargs
        headers = {**options.get("headers", {}), "Accept-Encoding": "identity"} | ({"Range": byte_range} if byte_range else {})
        timeout = type(session.timeout)(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
        return session.get(self._filesystem.encode_url(self._url), **{"timeout": timeout, **options, "headers": headers})

    async def _spool(self, response: Any) -> None:
        """Keep the body, decompressed if it comes compressed, in a file without a name: it is gone with this process."""
        whole, size = tempfile.TemporaryFile(), 0  # noqa: SIM115  # close() closes it
        try:
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                size += len(chunk)
                if size > self._whole_bytes:
                    raise StorageError(
                        "refused",
                        f"cannot read {self._url}: the server gives no ranges, and the object has more than {self._whole_bytes} "
                        "bytes (limits.read_bytes); copy it to a server that does",
                    )
                whole.write(chunk)
        except BaseException:
            whole.close()
            raise
        self._whole, self.size, self.etag = whole, size, _strong_etag(response)
        self.bytes_read += size


def _is_plain(response: Any) -> bool:
    return response.headers.get("Content-Encoding", "").lower() in PLAIN


def _strong_etag(response: Any) -> str:
    """The version that the server names, "" for none: a weak etag says that two versions are alike, not that they are the same."""
    etag = str(response.headers.get("ETag", ""))
    return "" if etag.startswith("W/") else etag.strip('"')


async def _body(response: Any, length: int) -> bytes:
    """Exactly so many bytes. Raises ConnectionError where fewer come."""
    parts, size = [], 0
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        parts.append(chunk)
        size += len(chunk)
        if size >= length:
            break
    if size < length:
        raise ConnectionError(f"{size} of {length} bytes came")
    return b"".join(parts)[:length]
