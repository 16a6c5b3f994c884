"""Decode in a child process that may crash, hang or swell: the parent reads the bytes, keeps the clock, and survives.

One child serves many clips; it is replaced when it dies or has to be killed. The parent trusts nothing that it says: lengths are
checked against what was asked for, and messages are cut.
"""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import engine
from engine.decode.child import LARGEST_BYTES, LENGTH, NO_BYTES, RANGE
from engine.decode.media import Backend, Request, frames_shape
from engine.rows import Clip, Failure, Window
from engine.store.filesystems import Source, Storage, StorageError
from models.base import FrameSpec

Frames = NDArray[np.uint8]
TRIES = 3
"""How often a video may take its decoder down, or change while it is read, before it is a Failure."""
START_TIMEOUT_S = 60.0
NOT_STARTED_WAIT_S = 2.0
"""A node short of memory may need a moment."""
LONGEST_DETAIL = 1000
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from engine.decode.child import main;"
    "main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one clip may cost; see engine/config.py, [limits]."""

    timeout_s: float
    memory_bytes: int
    read_bytes: int
    frame_pixels: int
    decode_pixels: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A clip's frames uint8[T,S,S,3], the version of the video they are from, and how it was read."""

    frames: Frames
    etag: str
    in_order: bool
    bytes_read: int


class ChildDied(Exception):
    pass


class ChildTimeout(Exception):
    pass


class NotStarted(Exception):
    pass


class Decoder:
    """with Decoder(storage, budget) as decoder: decoder.decode(clip, FrameSpec(num_frames=16, size_px=336))"""

    def __init__(
        self, storage: Storage, budget: Budget, backend: Backend = "pyav", program: Sequence[str] = ("-c", PROGRAM)
    ) -> None:
        self._storage, self._budget, self._backend, self._program = storage, budget, backend, program
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._heard: io.FileIO | None = None

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id, where there is one."""
        return self._child.pid if self._child else None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        if self._heard is not None:
            self._heard.close()
        self._child = self._connection = self._heard = None

    def decode(self, clip: Clip | Window, spec: FrameSpec, jitter_seed: int | None = None, etag: str = "") -> Seen | Failure:
        """The clip's frames, or why there are none. With an etag, only of that version of the video.

        Raises StorageError where storage is away, ChildProcessError where no decoder can be started: that is no clip's fault.
        """
        trouble: Failure | None = None
        not_started: NotStarted | None = None
        for _ in range(TRIES):
            try:
                with self._storage.opened(clip.video) as source:
                    if etag and source.etag != etag:
                        return Failure(kind="replaced", detail=f"{clip.video} is not what the answer was about; restore it")
                    return self._ask(source, self._request(clip, source, spec, jitter_seed))
            except ChildDied as died:
                self.close()
                trouble = Failure(kind="crashed", detail=f"{clip.video} takes its decoder down ({died}); drop its row")
            except ChildTimeout:
                self.close()
                return Failure(
                    kind="timeout", detail=f"{clip.video}: no end after limits.decode_timeout_s = {self._budget.timeout_s:g} s"
                )
            except StorageError as error:
                if error.trouble == "missing":
                    what = "not a file" if "not a regular file" in str(error) else "no such video"
                    return Failure(kind="missing", detail=f"{what}: {clip.video}; check the manifest's video column")
                if error.trouble == "denied":
                    return Failure(kind="denied", detail=str(error))
                if error.trouble != "replaced":
                    raise
                trouble = Failure(kind="replaced", detail=str(error))
            except NotStarted as error:
                self.close()
                not_started = error
                time.sleep(NOT_STARTED_WAIT_S)
        if trouble is None:
            raise ChildProcessError(
                f"the decoding process does not start ({not_started}); is the node out of memory, or limits.decode_memory_bytes "
                "too low? Then run the same command again"
            )
        return trouble

    def _request(self, clip: Clip | Window, source: Source, spec: FrameSpec, jitter_seed: int | None) -> Request:
        return Request(
            video=clip.video,
            size=source.size,
            start_s=clip.start_s,
            end_s=clip.end_s,
            num_frames=spec.num_frames,
            size_px=spec.size_px,
            backend=self._backend,
            jitter_seed=jitter_seed,
            frame_pixels=self._budget.frame_pixels,
            decode_pixels=self._budget.decode_pixels,
        )

    def _ask(self, source: Source, request: Request) -> Seen | Failure:
        if not source.size:
            return Failure(kind="not_video", detail=f"{request.video} has 0 bytes; replace it or drop its row")
        connection = self._connected()
        with self._dying():
            body = json.dumps(asdict(request)).encode()
            connection.settimeout(self._budget.timeout_s)
            connection.sendall(LENGTH.pack(len(body)) + body)
            left_s = self._budget.timeout_s
            while True:
                began = time.monotonic()
                letter = self._receive(1, left_s)
                left_s -= time.monotonic() - began
                if letter != b"R":
                    return self._answer(letter, source, request, max(1.0, left_s))
                offset, length = RANGE.unpack(self._receive(RANGE.size, left_s))
                if length > LARGEST_BYTES:
                    raise ChildDied(f"it asked for {length} bytes at once")
                if source.bytes_read + length > self._budget.read_bytes:
                    self._abandon()
                    return Failure(
                        kind="too_large",
                        detail=f"{request.video}: more than limits.read_bytes = {self._budget.read_bytes} would be read",
                    )
                connection.settimeout(self._budget.timeout_s)
                self._serve(connection, source, offset, length)

    def _serve(self, connection: socket.socket, source: Source, offset: int, length: int) -> None:
        """Send the bytes it asks for. The clock stands still meanwhile: slow storage is not the video's fault."""
        try:
            data = source.read(offset, length)
        except StorageError:
            self._abandon()
            raise
        connection.sendall(LENGTH.pack(len(data)) + data)

    def _abandon(self) -> None:
        assert self._connection is not None
        self._connection.sendall(LENGTH.pack(NO_BYTES))
        if self._receive(1, self._budget.timeout_s) != b"A":
            raise ChildDied("it did not let go")

    def _answer(self, letter: bytearray, source: Source, request: Request, left_s: float) -> Seen | Failure:
        if letter != b"F" and letter != b"X":
            raise ChildDied(f"it said {letter!r}")
        length = LENGTH.unpack(self._receive(LENGTH.size, left_s))[0]
        if length > 1 << 20:
            raise ChildDied(f"it announced {length} bytes of text")
        value = json.loads(self._receive(length, left_s))
        if letter == b"X":
            return Failure(kind=str(value["kind"]), detail=str(value["detail"])[:LONGEST_DETAIL])
        shape = frames_shape(request)
        if LENGTH.unpack(self._receive(LENGTH.size, left_s))[0] != prod(shape):
            raise ChildDied("it announced another number of pixels than it was asked for")
        pixels = self._receive(prod(shape), left_s)
        return Seen(np.frombuffer(pixels, np.uint8).reshape(shape), source.etag, bool(value["in_order"]), source.bytes_read)

    def _receive(self, length: int, left_s: float) -> bytearray:
        """Exactly so many bytes within so many seconds. Raises ChildTimeout, EOFError."""
        assert self._connection is not None
        buffer, deadline = bytearray(length), time.monotonic() + left_s
        view = memoryview(buffer)
        while view:
            self._connection.settimeout(max(1e-3, deadline - time.monotonic()))
            count = self._connection.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]
        return buffer

    @contextlib.contextmanager
    def _dying(self) -> Iterator[None]:
        """Turn what a socket says of a dead or silent child into ChildDied and ChildTimeout."""
        try:
            yield
        except StorageError:
            raise
        except TimeoutError:
            raise ChildTimeout from None
        except (EOFError, OSError, ValueError, KeyError) as error:
            raise ChildDied(self._obituary() or repr(error)) from None

    def _obituary(self) -> str:
        if self._child is None:
            return ""
        try:
            code = self._child.wait(5)
        except subprocess.TimeoutExpired:
            return ""
        if code < 0:
            return signal.Signals(-code).name
        words = (self._heard.read(1 << 16) or b"").decode(errors="replace").strip().splitlines() if self._heard else []
        return f"exit {code}{f': {words[-1][-200:]}' if words else ''}"

    def _connected(self) -> socket.socket:
        """The child's socket; starts a child where there is none."""
        if self._connection is not None:
            return self._connection
        ours, theirs = socket.socketpair()
        root = str(Path(engine.__file__ or "").parents[1])
        kept = {name: value for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if (value := os.environ.get(name))}
        heard, last_words = os.pipe()
        for end in (heard, last_words):
            os.set_blocking(end, False)  # a chatty library must not wait for a reader
        self._heard = io.FileIO(heard)
        with theirs, os.fdopen(last_words, "wb"):
            self._child = subprocess.Popen(
                [sys.executable, *self._program, root, str(theirs.fileno()), str(self._budget.memory_bytes), self._backend],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=last_words,
                env=kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        self._connection = ours
        try:
            started = self._receive(1, START_TIMEOUT_S) == b"H"
        except (EOFError, OSError):
            started = False
        if not started:
            raise NotStarted(self._obituary() or "no word from it")
        return ours
