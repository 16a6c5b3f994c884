"""A clip's frames out of an opened video, by presentation times: PyAV, which reads the byte ranges it needs, or decord.

This runs in the decoding process (engine/decode/child.py). Bad media never raise anything but Unusable.
"""

import io
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

import av
import numpy as np

from engine.decode.frames import choose, moments, window
from engine.decode.media import (
    UNINDEXED,
    Backend,
    Frames,
    Request,
    Unusable,
    damaged,
    empty,
    invalid,
    is_cut,
    is_indexed,
    no_frame,
    open_container,
    too_wide,
    truncated,
    video_stream,
)
from engine.decode.seek import Budget, Windowed, square, usable


@dataclass(frozen=True)
class Read:
    """What came out."""

    frames: Frames
    """uint8[T,S,S,3]"""
    in_order: bool
    """Read from the start, or whole, because there is no index to find the window by."""


def read(file: BinaryIO, request: Request) -> Read:
    """Frames at the window's moments (engine/decode/frames.py), short side to S, centre crop. Raises Unusable."""
    codec: av.codec.context.CodecContext | None = None
    try:
        with open_container(file, request.video) as container:
            stream = video_stream(file, container, request)
            codec = stream.codec_context
            if request.backend == "decord":
                return Read(_read_decord(file, request), in_order=True)
            if container.format.name in UNINDEXED or not is_indexed(file, container):
                return Read(_read_in_order(file, container, stream, request), in_order=True)
            return Read(Windowed(file, container, stream, request).frames(), in_order=False)
    except av.error.InvalidDataError as error:
        if codec is not None and not codec.width:  # how FFmpeg says that it refuses a frame's size
            raise too_wide(request, "a frame behind its header is") from None
        raise damaged(file, request, error) from None
    except (MemoryError, av.error.MemoryError):
        raise Unusable(
            "too_large", f"{request.video} needs more memory than limits.decode_memory_bytes; raise it or drop it"
        ) from None
    except (av.error.FFmpegError, EOFError) as error:
        raise damaged(file, request, error) from None


def _read_in_order(file: BinaryIO, container: "av.container.InputContainer", stream: "av.VideoStream", request: Request) -> Frames:
    """No index to seek by: list all times first, then decode from the start up to the last frame wanted."""
    times_s, ticks = _all_times(file, container, stream, request)
    length_s = times_s[-1] + (times_s[-1] - times_s[0]) / max(1, len(times_s) - 1)
    span = window(request.start_s, request.end_s, length_s)
    if span is None:
        raise empty(request, length_s)
    wanted = choose(times_s, moments(request.num_frames, *span, request.jitter_seed))
    number_of = {pts: i for i, pts in enumerate(ticks)}
    container.seek(0)
    budget, shown = Budget(request), {}
    for count, frame in enumerate(container.decode(stream)):
        budget.spend(frame)
        i = number_of.get(frame.pts, -1) if ticks else count
        if i in wanted:
            shown[i] = usable(frame, request)
        if i >= wanted[-1]:
            break
    missing = [i for i in wanted if i not in shown]
    if missing:
        raise Unusable("truncated", f"{request.video}: frame {missing[0]} of {len(times_s)} cannot be decoded; fetch it again")
    return np.stack([shown[i] for i in wanted])


def _all_times(
    file: BinaryIO, container: "av.container.InputContainer", stream: "av.VideoStream", request: Request
) -> tuple[list[float], list[int]]:
    """Seconds from the first frame, and ticks. AVI stores neither, only a rate and an order, so there the ticks are []."""
    if is_cut(file, request.size):
        raise truncated(request.video)
    if container.format.name == "avi":
        num_frames, rate = stream.frames, stream.average_rate
        if not num_frames or not rate:
            raise Unusable("truncated", f"{request.video} does not say how many frames it has, nor at what rate; remux it")
        return [float(i / rate) for i in range(num_frames)], []
    ticks = sorted({p.pts for p in container.demux(stream) if p.pts is not None and p.size and not p.is_discard})
    if not ticks or stream.time_base is None:
        raise no_frame(request.video)
    return [float((pts - ticks[0]) * stream.time_base) for pts in ticks], ticks


def _read_decord(file: BinaryIO, request: Request) -> Frames:
    """decord keeps decoding ahead while a reader is held, so: open, get_batch, delete, in one call, on one thread."""
    import decord  # the other backend works without it, and it loads a second FFmpeg

    file.seek(0)
    try:
        reader = decord.VideoReader(file, num_threads=1)
        spans = [(float(start), float(end)) for start, end in reader.get_frame_timestamp(range(len(reader)))]
        if not spans:
            raise no_frame(request.video)
        if any(b[0] <= a[0] for a, b in pairwise(spans)):
            raise Unusable("codec", f"{request.video}: decord finds no presentation times in it; use generate.decoder=pyav")
        span = window(request.start_s, request.end_s, spans[-1][1] - spans[0][0])
        if span is None:
            raise empty(request, spans[-1][1])
        wanted = choose([start - spans[0][0] for start, _ in spans], moments(request.num_frames, *span, request.jitter_seed))
        if (wanted[-1] + 1) * np.prod(reader[0].shape[:2]) > request.decode_pixels:
            raise Unusable(
                "too_large", f"{request.video}: more than limits.decode_pixels = {request.decode_pixels} would be decoded"
            )
        pixels = reader.get_batch(wanted).asnumpy()
        del reader
    except (decord.DECORDError, RuntimeError) as error:
        text = str(error).splitlines()[0][-160:] if str(error) else "decord gave no reason"
        raise (invalid(file, request.video, ValueError(text))) from None
    return np.stack([square(av.VideoFrame.from_ndarray(frame, format="rgb24"), request.size_px) for frame in pixels])


def rehearse(backend: Backend) -> None:
    """Decode a video of one black frame, so that everything is loaded that a real one needs: afterwards no file can be opened."""
    if backend == "decord":
        import decord  # noqa: F401
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=1, options={"threads": "1"})
        stream.width = stream.height = 16
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    read(
        file,
        Request(
            video="rehearsal",
            size=size,
            start_s=None,
            end_s=None,
            num_frames=1,
            size_px=8,
            backend="pyav",
            jitter_seed=None,
            frame_pixels=256,
            decode_pixels=256,
        ),
    )
