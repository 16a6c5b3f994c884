"""The decoding process: no credentials, no files, no network; it asks its parent for bytes and gives frames back."""

import importlib
import io
import json
import os
import pkgutil
import socket
from collections import OrderedDict

from engine.decode.confine import confine
from engine.decode.protocol import FIRST_READ_BYTES, LARGEST_RANGE, LENGTH, NO_BYTES, RANGE, FramesHeader, receive_exactly
from engine.decode.request import Backend, Request, Unusable

SOCKET = 3
"""The socket's descriptor, after stdin, stdout and stderr: no other is free."""
SMALL_FILE_BYTES = 1 << 20
"""Files up to this size are read whole, with one request."""
LONGEST_READ_BYTES = 1 << 20
KEPT_SEGMENTS = 24


class Abandoned(Exception):
    """The parent could not read the bytes that were requested."""


class RemoteFile(io.RawIOBase):
    """A seekable file over the socket. It reads ahead, more while it is read in order: a request costs a round trip to storage."""

    def __init__(self, connection: socket.socket, size: int) -> None:
        self._connection, self._size, self._at = connection, size, 0
        self._segments: OrderedDict[int, bytes] = OrderedDict()
        """Cached bytes by their offset, the last used at the end."""
        self._read_ahead, self._end = FIRST_READ_BYTES, -1
        self.is_abandoned = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, count: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        left = left if count is None or count < 0 else min(count, left)
        parts = []
        while left:
            start, segment = self._segment(left)
            part = segment[self._at - start : self._at - start + left]
            parts.append(part)
            self._at += len(part)
            left -= len(part)
        return b"".join(parts)

    def _segment(self, count: int) -> tuple[int, bytes]:
        """A cached segment that holds the current position, and its offset; requested if there is none, `count` bytes or more."""
        if self.is_abandoned:  # FFmpeg may take an error for a hole and read on
            raise Abandoned
        for start, data in self._segments.items():
            if start <= self._at < start + len(data):
                self._segments.move_to_end(start)
                return start, data
        self._read_ahead = min(LONGEST_READ_BYTES, self._read_ahead * 2) if self._at == self._end else FIRST_READ_BYTES
        start, length = (0, self._size) if self._size <= SMALL_FILE_BYTES else (self._at, max(count, self._read_ahead))
        length = min(length, self._size - start, LARGEST_RANGE)
        for cached_start in self._segments:  # do not request bytes that are already cached
            if start < cached_start < start + length:
                length = cached_start - start
        self._segments[start] = self._request(start, length)
        self._end = start + length
        while len(self._segments) > KEPT_SEGMENTS:
            self._segments.popitem(last=False)
        return start, self._segments[start]

    def _request(self, start: int, length: int) -> bytes:
        self._connection.sendall(b"R" + RANGE.pack(start, length))
        sent_length = LENGTH.unpack(receive_exactly(self._connection, LENGTH.size))[0]
        if sent_length == NO_BYTES:
            self.is_abandoned = True
            raise Abandoned
        data = receive_exactly(self._connection, sent_length)
        if sent_length != length:
            raise EOFError
        return data


def main(descriptor: int, memory_bytes: int, backend: Backend) -> None:
    """Serve requests until the parent closes the socket."""
    import av.logging

    from engine.decode.read import rehearse

    for module in pkgutil.walk_packages(av.__path__, "av."):  # PyAV loads some modules at the first video that needs them
        if not module.name.startswith("av.__"):
            importlib.import_module(module.name)
    rehearse(backend)
    av.logging.set_level(av.logging.PANIC)
    if descriptor != SOCKET:
        os.dup2(descriptor, SOCKET)
        os.close(descriptor)
    connection = socket.socket(fileno=SOCKET)
    reason = confine(memory_bytes, num_descriptors=SOCKET + 1)
    _send(connection, b"H", reason.encode())
    while True:
        try:
            body = receive_exactly(connection, LENGTH.unpack(receive_exactly(connection, LENGTH.size))[0])
        except (EOFError, ConnectionError):
            return
        _serve(connection, Request.from_json(body))


def _serve(connection: socket.socket, request: Request) -> None:
    """Decode one clip and send its frames, its failure, or that the parent gave no bytes."""
    from engine.decode.read import ClipFrames, read

    file = RemoteFile(connection, request.size)
    clip: ClipFrames | None = None
    failure = b""
    try:
        clip = read(file, request)  # type: ignore[arg-type]  # it is read like a BinaryIO
    except Unusable as error:  # not kept: its traceback would hold the decoder's memory into the next clip
        failure = json.dumps({"kind": error.kind, "detail": error.detail}).encode()
    except Abandoned:
        pass
    if file.is_abandoned or (clip is None and not failure):
        connection.sendall(b"A")
    elif clip is None:
        _send(connection, b"X", failure)
    else:
        num_frames, height, width, _ = clip.frames.shape
        header = FramesHeader(num_frames=num_frames, width=width, height=height, times_s=clip.times_s, in_order=clip.in_order)
        _send(connection, b"F", header.to_json())
        connection.sendall(clip.frames.data)


def _send(connection: socket.socket, letter: bytes, body: bytes) -> None:
    connection.sendall(letter + LENGTH.pack(len(body)) + body)
