"""A clip's frames, or a Failure that says why not. Two backends behind one function; both go by presentation timestamps."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import BinaryIO, Literal

import av
import fsspec
import numpy as np
from numpy.typing import NDArray

from engine.data.frames import choose
from engine.rows import Clip, Example, Failure
from models.base import FrameSpec

Backend = Literal["pyav", "decord"]
CONTAINERS = frozenset({"mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpegts", "mpeg"})
"""FFmpeg demuxers that may open a video. Without this list a text file is happily read as a teletype recording."""

Frames = NDArray[np.uint8]


class Unusable(Exception):
    """Raised inside this module with the Failure that `decode` returns."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.failure = Failure(kind=kind, detail=detail)


def decode(clip: Clip | Example, spec: FrameSpec, backend: Backend = "pyav", jitter_seed: int | None = None) -> Frames | Failure:
    """uint8[T,S,S,3] of the clip's window: T moments (see frames.choose), short side to S, centre crop. Bad media never raise."""
    read = {"pyav": _read_pyav, "decord": _read_decord}[backend]
    try:
        with _opened(clip.video) as file:
            return read(file, clip, spec, jitter_seed)
    except Unusable as unusable:
        return unusable.failure


@contextmanager
def _opened(video: str) -> Iterator[BinaryIO]:
    try:
        with fsspec.open(video, "rb") as file:
            head = file.read(12)
            if not head:
                raise Unusable("not_video", f"{video} has 0 bytes; replace it or drop its row")
            file.seek(0)
            yield file
    except FileNotFoundError:
        raise Unusable("missing", f"no such file: {video}; check the manifest's video column") from None
    except IsADirectoryError:
        raise Unusable("missing", f"{video} is a folder, not a video; check the manifest's video column") from None
    except PermissionError as error:
        raise Unusable("denied", f"may not read {video}: {error}; check the permissions of the workers") from None
    except OSError as error:
        raise Unusable("unreachable", f"cannot open {video}: {error}; can the workers reach it?") from None


def _window(times_s: list[float], clip: Clip | Example) -> tuple[float, float]:
    """The clip's window in presentation time, cut to the video; its times start at 0 at the first frame."""
    length_s = times_s[-1] + (times_s[-1] - times_s[0]) / max(1, len(times_s) - 1)
    start_s = clip.start_s or 0.0
    end_s = min(length_s, clip.end_s) if clip.end_s is not None else length_s
    if start_s >= end_s and len(times_s) > 1:
        raise Unusable("empty_window", f"{clip.video} is {length_s:.2f} s long; nothing lies in {start_s}..{clip.end_s} s")
    return start_s, max(end_s, start_s + 1e-3)


def _read_pyav(file: BinaryIO, clip: Clip | Example, spec: FrameSpec, jitter_seed: int | None) -> Frames:
    try:
        with av.open(file, mode="r") as container:
            if not CONTAINERS.intersection(container.format.name.split(",")):
                raise Unusable("not_video", f"{clip.video} is {container.format.long_name!r}, not a video container")
            if not container.streams.video:
                raise Unusable("no_video_stream", f"{clip.video} has no video stream; drop its row")
            stream = container.streams.video[0]
            stream.thread_count = 1
            if "avi" in container.format.name:
                return _read_in_order(container, stream, clip, spec, jitter_seed)
            packets = sorted((p.pts, p.is_keyframe) for p in container.demux(stream) if p.pts is not None and p.size)
            if not packets or stream.time_base is None:
                raise Unusable("truncated", f"{clip.video} announces a video stream and holds no frame; fetch it again")
            ticks = [pts for pts, _ in packets]
            times_s = [float((pts - ticks[0]) * stream.time_base) for pts in ticks]
            wanted = choose(times_s, spec.num_frames, *_window(times_s, clip), jitter_seed)
            if not wanted:
                raise Unusable("empty_window", f"{clip.video}: no frame lies in {clip.start_s}..{clip.end_s} s")
            keys = [i for i, (_, is_key) in enumerate(packets) if is_key] or [0]
            shown = _decode_ticks(container, stream, ticks, sorted(set(wanted)), keys, spec.size_px)
    except av.error.InvalidDataError as error:
        raise _invalid(file, clip.video, error) from None
    except (av.error.FFmpegError, EOFError) as error:
        raise Unusable("codec", f"{clip.video}: {error}; can ffmpeg play it?") from None
    missing = [i for i in wanted if i not in shown]
    if missing:
        raise Unusable("truncated", f"{clip.video}: frame {missing[0]} of {len(ticks)} cannot be decoded; fetch it again")
    return np.stack([shown[i] for i in wanted])


def _read_in_order(
    container: "av.container.InputContainer",
    stream: "av.VideoStream",
    clip: Clip | Example,
    spec: FrameSpec,
    jitter_seed: int | None,
) -> Frames:
    """AVI: it stores no presentation times, only a constant rate and an order, and what a decoder makes of it is not monotonic."""
    num_frames, rate = stream.frames, stream.average_rate
    if not num_frames or not rate:
        raise Unusable("truncated", f"{clip.video} does not say how many frames it has, nor at what rate; remux it")
    times_s = [float(i / rate) for i in range(num_frames)]
    wanted = choose(times_s, spec.num_frames, *_window(times_s, clip), jitter_seed)
    if not wanted:
        raise Unusable("empty_window", f"{clip.video}: no frame lies in {clip.start_s}..{clip.end_s} s")
    shown: dict[int, Frames] = {}
    for i, frame in enumerate(container.decode(stream)):
        if i in wanted:
            shown[i] = square(frame, spec.size_px)
        if i == wanted[-1]:
            break
    missing = [i for i in wanted if i not in shown]
    if missing:
        raise Unusable("truncated", f"{clip.video}: frame {missing[0]} of {num_frames} cannot be decoded; fetch it again")
    return np.stack([shown[i] for i in wanted])


def _decode_ticks(
    container: "av.container.InputContainer",
    stream: "av.VideoStream",
    ticks: list[int],
    wanted: list[int],
    keys: list[int],
    size_px: int,
) -> dict[int, Frames]:
    """Decode the wanted frames, seeking wherever a keyframe lies between the last frame and the next one wanted."""
    index_of = {pts: i for i, pts in enumerate(ticks)}
    shown: dict[int, Frames] = {}
    at: int | None = None
    pending = list(wanted)
    decoder: Iterator[av.VideoFrame] = iter(())
    while pending:
        key = max((k for k in keys if k <= pending[0]), default=0)
        if at is None or key > at:
            container.seek(ticks[key], stream=stream, backward=True)
            decoder = container.decode(stream)
        for frame in decoder:
            i = index_of.get(frame.pts) if frame.pts is not None else None
            if i is None:
                continue
            at = i
            if i == pending[0]:
                shown[i] = square(frame, size_px)
                pending.pop(0)
                break
            if i > pending[0]:
                pending.pop(0)
                break
        else:
            break
    return shown


def _invalid(file: BinaryIO, video: str, error: Exception) -> Unusable:
    file.seek(0)
    head = file.read(12)
    if head[4:8] in (b"ftyp", b"moov", b"mdat") or head[:4] in (b"\x1aE\xdf\xa3", b"RIFF"):
        return Unusable("truncated", f"{video} begins as a video and cannot be read to its end; fetch it again")
    return Unusable(
        "not_video", f"{video} is not a video file ({error.args[-1] if error.args else error}); replace it or drop its row"
    )


def _read_decord(file: BinaryIO, clip: Clip | Example, spec: FrameSpec, jitter_seed: int | None) -> Frames:
    """decord keeps decoding ahead while a reader is held, so: open, get_batch, delete, in one call, on one thread."""
    import decord  # the other backend works without it, and it loads a second FFmpeg

    try:
        reader = decord.VideoReader(
            file if not isinstance(getattr(file, "name", None), str) else os.fspath(file.name), num_threads=1
        )
        times_s = [float(t) for t in reader.get_frame_timestamp(range(len(reader)))[:, 0]]
        if not times_s:
            raise Unusable("truncated", f"{clip.video} announces a video stream and holds no frame; fetch it again")
        if any(b <= a for a, b in pairwise(times_s)):
            raise Unusable("codec", f"{clip.video}: decord finds no presentation times in it; use generate.decoder=pyav")
        times_s = [t - times_s[0] for t in times_s]
        wanted = choose(times_s, spec.num_frames, *_window(times_s, clip), jitter_seed)
        if not wanted:
            raise Unusable("empty_window", f"{clip.video}: no frame lies in {clip.start_s}..{clip.end_s} s")
        pixels = reader.get_batch(wanted).asnumpy()
        del reader
    except (decord.DECORDError, RuntimeError) as error:
        text = str(error).splitlines()[0][-160:] if str(error) else "decord gave no reason"
        raise (_invalid(file, clip.video, ValueError(text))) from None
    return np.stack([square(av.VideoFrame.from_ndarray(frame, format="rgb24"), spec.size_px) for frame in pixels])


def square(frame: av.VideoFrame, size_px: int) -> Frames:
    """uint8[S,S,3]: short side to S (bicubic), centre crop."""
    scale = size_px / min(frame.width, frame.height)
    width, height = max(size_px, round(frame.width * scale)), max(size_px, round(frame.height * scale))
    pixels = frame.reformat(width=width, height=height, format="rgb24", interpolation="BICUBIC").to_ndarray()
    top, left = (height - size_px) // 2, (width - size_px) // 2
    cropped: Frames = pixels[top : top + size_px, left : left + size_px]
    return cropped
