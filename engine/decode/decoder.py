"""Decode clips in a child process that may crash, hang or swell: the parent reads the bytes, keeps the clock, and survives.

One child serves many clips; it is replaced when it dies or has to be killed. The parent trusts nothing that it sends: the header
of the frames is checked against what was asked for before there is room made for them, and messages are cut.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.decode.frame_folder import is_object, opened
from engine.decode.frames import frame_count
from engine.decode.process import PROGRAM, ChildDied, ChildProcess, ChildTimeout, NotStarted
from engine.decode.protocol import FIRST_READ_BYTES, LARGEST_RANGE, LARGEST_TEXT, LENGTH, NO_BYTES, RANGE, json_object, parse_header
from engine.decode.request import Backend, Request
from engine.rows import FAILURES, Clip, Failure, Window
from engine.store.filesystems import Storage
from engine.store.outage import Places
from engine.store.sources import Source
from engine.store.troubles import REMEDY, StorageError
from models.base import FrameSpec, Video

TRIES = 3
"""How often a video may take its decoder down, or change while it is read, before it is a Failure."""
LONGEST_BY_CLOCK = 10
"""Times the CPU time that a clip is allowed, for a decoder that waits without computing. The clock alone would let a busy node
decide which clips are kept."""
NOT_STARTED_WAIT_S = 2.0
"""A node short of memory may need a moment."""
LONGEST_DETAIL = 1000
REQUESTS_TO_OPEN, REQUESTS_PER_FRAME, READINGS = 64, 16, 4
"""Requests for bytes, at most: at the start, to seek to a frame, and readings of the whole object in its smallest pieces."""
OF_THIS_MACHINE = ("full", "exhausted")
"""Troubles that are no object's: a mount's cache has no room, or no more files can be opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """What one clip may cost; see engine/config.py, [limits]."""

    timeout_s: float
    """CPU time of the decoding process; by the clock LONGEST_BY_CLOCK times as long."""
    memory_bytes: int
    read_bytes: int
    frame_pixels: int
    decode_pixels: int

    @property
    def longest_s(self) -> float:
        """By the clock."""
        return self.timeout_s * LONGEST_BY_CLOCK


@dataclass(frozen=True, slots=True, eq=False)
class ClipRead:
    """A clip's frames, and how they were read."""

    video: Video
    etag: str
    """The version of the video file."""
    in_order: bool
    """The file was read from its start, or whole, because it has no index to find the window by."""
    bytes_read: int


class ChildDecoder:
    """with ChildDecoder(storage, limits) as decoder: decoder.decode(clip, FrameSpec(choose=Evenly(16), size=Square(336)))"""

    def __init__(
        self,
        storage: Storage,
        limits: DecodeLimits,
        backend: Backend = "pyav",
        tolerance_s: float = 0.0,
        program: Sequence[str] = ("-c", PROGRAM),
    ) -> None:
        self._storage, self._places = storage, Places(storage)
        self._limits, self._backend, self._program = limits, backend, program
        self._tolerance_s = tolerance_s
        self._child: ChildProcess | None = None
        self.bytes_read = 0
        """Of all videos so far, those that gave no frames included."""

    def __enter__(self) -> "ChildDecoder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id, if there is a child."""
        return self._child.pid if self._child else None

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
        self._child = None

    def expect(self, clips: Sequence[Clip | Window]) -> None:
        """Name the clips that are decoded next: their videos tell storage that is away from one video that cannot be read."""
        self._places.expect(filter(is_object, (clip.video for clip in clips)))

    def decode(self, clip: Clip | Window, spec: FrameSpec, jitter_seed: int | None = None, etag: str = "") -> ClipRead | Failure:
        """The clip's frames, or why there are none. With an etag, only of that version of the video.

        Raises StorageError where storage as a whole is away, or denies what it gave before, or this machine is out of open files,
        ChildProcessError where no child can be started: these are no clip's fault. Whatever else storage does with this one object
        is the clip's failure, and never blamed on its decoder.
        """
        failure: Failure | None = None
        not_started: NotStarted | None = None
        for _ in range(TRIES):
            try:
                with opened(self._places, self._storage, clip.video, self._limits.read_bytes) as source:
                    if etag and source.etag != etag:
                        return Failure(kind="replaced", detail=f"{clip.video} is not what the answer was about; restore it")
                    try:
                        result = self._exchange(source, self._request(clip, source, spec, jitter_seed))
                    finally:
                        self.bytes_read += source.bytes_read
                if is_object(clip.video):
                    self._places.note(clip.video)
                return result
            except ChildDied as died:
                self.close()
                failure = Failure(kind="crashed", detail=f"{clip.video} takes its decoder down ({died}); drop its row")
            except ChildTimeout:
                self.close()
                allowed = (
                    f"limits.decode_timeout_s = {self._limits.timeout_s:g} s of CPU time, or {self._limits.longest_s:g} s by clock"
                )
                return Failure(kind="timeout", detail=f"{clip.video}: no end after {allowed}")
            except StorageError as error:
                self._raise_if_of_all(clip.video, error)
                failure = _storage_failure(clip.video, error)
                if error.trouble != "replaced":
                    return failure
            except NotStarted as error:
                not_started = error
                time.sleep(NOT_STARTED_WAIT_S)
        if failure is None:
            raise ChildProcessError(
                f"the decoding process does not start ({not_started}); is the node out of memory, or limits.decode_memory_bytes "
                "too low? Then run the same command again"
            )
        return failure

    def _raise_if_of_all(self, video: str, error: StorageError) -> None:
        """Raises StorageError for trouble that is not of this object alone."""
        if error.trouble in OF_THIS_MACHINE or (error.trouble == "unavailable" and self._places.are_away(video)):
            raise error
        if error.trouble in ("denied", "refused") and (before := self._places.denied_by_now(video)):
            reason = str(error).rpartition("; ")[0]
            what = f"{reason}; {before} was read before and is denied by now too, as by credentials that have expired"
            raise StorageError("denied", f"{what}; {REMEDY['denied']}, then run the same command again") from None

    def _request(self, clip: Clip | Window, source: Source, spec: FrameSpec, jitter_seed: int | None) -> Request:
        return Request(
            video=clip.video,
            size=source.size,
            start_s=clip.start_s,
            end_s=clip.end_s,
            spec=spec,
            backend=self._backend,
            jitter_seed=jitter_seed,
            frame_pixels=self._limits.frame_pixels,
            decode_pixels=self._limits.decode_pixels,
            tolerance_s=self._tolerance_s,
        )

    def _exchange(self, source: Source, request: Request) -> ClipRead | Failure:
        """Send the request, serve the byte ranges that the child wants, and receive its result."""
        if not source.size:
            return Failure(kind="not_video", detail=f"{request.video} has 0 bytes; replace it or drop its row")
        if self._child is None:
            self._child = ChildProcess(self._limits.memory_bytes, self._backend, self._program)
        child, limits = self._child, self._limits
        left_s, num_requests, allowed_requests = limits.longest_s, 0, most_requests(request)
        child.allow(limits.timeout_s)
        with child.errors_named():
            child.send(request.to_json(), left_s)
        while True:
            began = time.monotonic()
            with child.errors_named():
                letter = child.receive(1, left_s)
                left_s -= time.monotonic() - began
                if letter != b"R":
                    return _result(child, bytes(letter), source, request, max(1.0, left_s))
                offset, length = RANGE.unpack(child.receive(RANGE.size, left_s))
            if not 0 < length <= min(LARGEST_RANGE, source.size - offset):
                raise ChildDied(f"it asked for {length} bytes at {offset}")
            num_requests += 1
            if num_requests > allowed_requests:
                self._abandon(child)
                what = f"no end after {allowed_requests} requests for bytes of it"
                return Failure(kind="timeout", detail=f"{request.video}: {what}; encode it anew with ffmpeg, or drop its row")
            if source.bytes_read + length > limits.read_bytes:
                self._abandon(child)
                would = f"more than limits.read_bytes = {limits.read_bytes} would be read"
                return Failure(kind="too_large", detail=f"{request.video}: {would}")
            self._serve(child, source, offset, length)

    def _serve(self, child: ChildProcess, source: Source, offset: int, length: int) -> None:
        """Send the bytes that the child wants. The clock stands still meanwhile: slow storage is not the video's fault.

        An error of the source is raised as it is, of whatever kind: it is not the child's.
        """
        try:
            data = source.read(offset, length)
        except BaseException:
            self._abandon(child)
            raise
        with child.errors_named():
            child.send(data, self._limits.longest_s)

    def _abandon(self, child: ChildProcess) -> None:
        """Tell the child that the bytes do not come, and wait until it has given the clip up; kill it if it does not."""
        try:
            with child.errors_named():
                child.send_length(NO_BYTES, self._limits.longest_s)
                has_given_up = child.receive(1, self._limits.longest_s) == b"A"
        except (ChildDied, ChildTimeout):
            has_given_up = False
        if not has_given_up:
            self.close()


def most_requests(request: Request) -> int:
    """How often a decoder may ask for bytes: the clock stands still meanwhile, and asking for one byte has to end too.

    An honest one asks for each of its pieces of the object a few times at most, and seeks a few times for each frame.
    """
    frames = frame_count(request.spec.choose, math.inf)
    return REQUESTS_TO_OPEN + REQUESTS_PER_FRAME * frames + READINGS * (request.size // FIRST_READ_BYTES)


def _result(child: ChildProcess, letter: bytes, source: Source, request: Request, timeout_s: float) -> ClipRead | Failure:
    if letter not in (b"F", b"X"):
        raise ChildDied(f"it sent {letter!r}")
    length = LENGTH.unpack(child.receive(LENGTH.size, timeout_s))[0]
    if length > LARGEST_TEXT:
        raise ChildDied(f"it announced {length} bytes of text")
    body = child.receive(length, timeout_s)
    if letter == b"X":
        return parse_failure(body)
    header = parse_header(body, request.spec)
    pixels = child.receive(math.prod(header.shape), timeout_s)
    video = Video(np.frombuffer(pixels, np.uint8).reshape(header.shape), header.times_s)
    return ClipRead(video, source.etag, header.in_order, source.bytes_read)


def parse_failure(body: bytes | bytearray) -> Failure:
    """The failure that a child sent, its text cut. Raises ValueError unless it is of a known kind: the child is not trusted."""
    value = json_object(body)
    kind, detail = value.get("kind"), value.get("detail")
    if kind not in FAILURES or not isinstance(detail, str):
        raise ValueError("it announced a failure that is none")
    return Failure(kind=kind, detail=detail[:LONGEST_DETAIL].encode(errors="replace").decode())


def _storage_failure(video: str, error: StorageError) -> Failure:
    if error.trouble == "missing":
        what = "not a file" if "not a regular file" in str(error) else "no such video"
        return Failure(kind="missing", detail=f"{what}: {video}; check the manifest's video column")
    if error.trouble in ("denied", "replaced"):
        return Failure(kind=error.trouble, detail=str(error))
    reason = str(error).replace(
        REMEDY["unavailable"], "storage does not give this object, or its server is gone; copy it anew, or drop its row"
    )
    return Failure(kind="unreadable", detail=reason)
