"""The decoding process: no credentials, no files, no network; it asks its parent for bytes and gives frames back.

Parent and child speak over one socket. Child to parent: a letter and a length-prefixed body, "R" offset and length to be sent those
bytes, "F" frames, "X" a failure. Nothing is pickled, and the parent checks every length (engine/decode/process.py).
"""

import ctypes
import importlib
import io
import json
import os
import pkgutil
import resource
import signal
import socket
import struct
from collections import OrderedDict
from typing import Any, Literal

LENGTH = struct.Struct("!I")
RANGE = struct.Struct("!QI")
NO_BYTES = 0xFFFFFFFF
"""Sent for a length where the parent could not read: it knows why."""
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SOCKET = 3
"""Its descriptor, after stdin, stdout and stderr: no other is free."""
SMALL_BYTES = 1 << 20
FIRST_BYTES, MOST_BYTES = 64 << 10, 1 << 20
LARGEST_BYTES = 8 << 20
"""One request's; the parent serves no larger one."""
KEPT_SEGMENTS = 24


class Abandoned(Exception):
    """The parent has no bytes for us."""


def receive(connection: socket.socket, length: int) -> bytes:
    """Exactly so many bytes. Raises EOFError."""
    buffer = bytearray(length)
    view = memoryview(buffer)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return bytes(buffer)


class Ranges(io.RawIOBase):
    """A seekable file over the socket. Reads ahead, more while it is read in order: a range request costs a round trip."""

    def __init__(self, connection: socket.socket, size: int) -> None:
        self._connection, self._size, self._at = connection, size, 0
        self._segments: OrderedDict[int, bytes] = OrderedDict()
        self._ahead, self._end = FIRST_BYTES, -1
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

    def _segment(self, wanted: int) -> tuple[int, bytes]:
        if self.is_abandoned:  # FFmpeg may take an error for a hole and read on
            raise Abandoned
        for start, data in self._segments.items():
            if start <= self._at < start + len(data):
                self._segments.move_to_end(start)
                return start, data
        self._ahead = min(MOST_BYTES, self._ahead * 2) if self._at == self._end else FIRST_BYTES
        start, length = (0, self._size) if self._size <= SMALL_BYTES else (self._at, max(wanted, self._ahead))
        length = min(length, self._size - start, LARGEST_BYTES)
        for other in self._segments:  # not what is there already
            if start < other < start + length:
                length = other - start
        self._connection.sendall(b"R" + RANGE.pack(start, length))
        came = LENGTH.unpack(receive(self._connection, LENGTH.size))[0]
        if came == NO_BYTES:
            self.is_abandoned = True
            raise Abandoned
        data = receive(self._connection, came)
        if came != length:
            raise EOFError
        self._segments[start] = data
        self._end = start + length
        while len(self._segments) > KEPT_SEGMENTS:
            self._segments.popitem(last=False)
        return start, data


def confine(memory_bytes: int) -> None:
    """What this process may take from its machine; after this it opens no more files or sockets."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, SOCKET + 1),
    ):
        resource.setrlimit(limit, (value, value))


def main(descriptor: int, memory_bytes: int, backend: Literal["pyav", "decord"]) -> None:
    """Serve requests until the parent closes the socket."""
    import av.logging

    from engine.decode import media
    from engine.decode import read as decode

    for module in pkgutil.walk_packages(av.__path__, "av."):  # loads some of them at the first video that needs them
        if not module.name.startswith("av.__"):
            importlib.import_module(module.name)
    decode.rehearse(backend)
    av.logging.set_level(av.logging.PANIC)
    if descriptor != SOCKET:
        os.dup2(descriptor, SOCKET)
        os.close(descriptor)
    connection = socket.socket(fileno=SOCKET)
    confine(memory_bytes)
    connection.sendall(b"H")
    while True:
        try:
            body = receive(connection, LENGTH.unpack(receive(connection, LENGTH.size))[0])
        except (EOFError, ConnectionError):
            return
        request = media.Request(**json.loads(body))
        file = Ranges(connection, request.size)
        result: decode.Read | media.Unusable | None = None
        try:
            result = decode.read(file, request)  # type: ignore[arg-type]  # it is read like one
        except media.Unusable as unusable:
            result = unusable
        except Abandoned:
            pass
        if file.is_abandoned or result is None:
            connection.sendall(b"A")
        elif isinstance(result, media.Unusable):
            _send(connection, b"X", {"kind": result.kind, "detail": result.detail})
        else:
            _send(connection, b"F", {"in_order": result.in_order})
            connection.sendall(LENGTH.pack(result.frames.nbytes))
            connection.sendall(result.frames.tobytes())


def _send(connection: socket.socket, letter: bytes, value: dict[str, Any]) -> None:
    body = json.dumps(value).encode()
    connection.sendall(letter + LENGTH.pack(len(body)) + body)
