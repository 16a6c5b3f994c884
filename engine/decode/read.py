"""A clip's frames out of an opened video, by presentation times: PyAV, which reads the byte ranges it needs, or decord.

This runs in the decoding process (engine/decode/child.py). Bad media never raise anything but Unusable.
"""

import io
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, Self

import av
import numpy as np

from engine.decode.frames import choose, num_decoded, second_in_clip
from engine.decode.media import (
    UNINDEXED,
    damaged,
    invalid,
    is_cut,
    is_indexed,
    no_frame,
    open_container,
    too_wide,
    truncated,
    video_stream,
)
from engine.decode.request import Backend, Frames, Request, Unusable, moments_of
from engine.decode.resize import Resizer
from engine.decode.seek import PixelCount, WindowReader
from models.base import Evenly, FrameSpec, Square

DECORD_BATCH_BYTES = 1 << 29
"""Frames, of the video's own size, that decord gives at once: 86 of 1080p. Each batch seeks again, so few are better."""


@dataclass(frozen=True)
class ClipFrames:
    """The frames of a clip, and when each is shown."""

    frames: Frames
    """uint8[T,H,W,3]"""
    times_s: tuple[float, ...]
    """T presentation times, in seconds since the start of the clip."""
    in_order: bool
    """The video was read from its start, or whole, because it has no index to find the window by."""

    @classmethod
    def of(cls, request: Request, frames: list[Frames], video_times_s: list[float], in_order: bool) -> Self:
        """`video_times_s`: seconds since the start of the video."""
        times_s = tuple(second_in_clip(time_s, request.start_s) for time_s in video_times_s)
        return cls(np.ascontiguousarray(np.stack(frames)), times_s, in_order)  # turned pictures are not contiguous


def read(file: BinaryIO, request: Request) -> ClipFrames:
    """The frames on screen at the window's moments (engine/decode/frames.py), in the size of request.spec. Raises Unusable."""
    codec: av.codec.context.CodecContext | None = None
    try:
        with open_container(file, request.video) as container:
            stream = video_stream(file, container, request)
            codec = stream.codec_context
            if request.backend == "decord":
                return _read_decord(file, request)
            if container.format.name in UNINDEXED or not is_indexed(file, container):
                return _read_in_order(file, container, stream, request)
            return ClipFrames.of(request, *WindowReader(file, container, stream, request).read(), in_order=False)
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


def _read_in_order(
    file: BinaryIO, container: "av.container.InputContainer", stream: "av.VideoStream", request: Request
) -> ClipFrames:
    """Without an index to seek by: list all times first, then decode from the start up to the last frame that is chosen."""
    times_s, ticks = _all_times(file, container, stream, request)
    length_s = times_s[-1] + (times_s[-1] - times_s[0]) / max(1, len(times_s) - 1)
    chosen = choose(times_s, moments_of(request, length_s))
    numbers, number_of_tick = set(chosen), {pts: number for number, pts in enumerate(ticks)}
    container.seek(0)
    pixel_count, resizer, pictures = PixelCount(request), Resizer(request), dict[int, Frames]()
    for count, frame in enumerate(container.decode(stream)):
        pixel_count.add(frame)
        number = number_of_tick.get(frame.pts, -1) if ticks else count
        if number in numbers:
            pictures[number] = resizer.resize(frame)
        if number >= chosen[-1]:
            break
    missing = [number for number in chosen if number not in pictures]
    if missing:
        raise Unusable("truncated", f"{request.video}: frame {missing[0]} of {len(times_s)} cannot be decoded; fetch it again")
    return ClipFrames.of(request, [pictures[number] for number in chosen], [times_s[number] for number in chosen], in_order=True)


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


def _read_decord(file: BinaryIO, request: Request) -> ClipFrames:
    """decord keeps decoding ahead while a reader is held, so: open, get_batch, delete, in one call, on one thread.

    Its presentation times are 32-bit floats: exact to 0.2 ms at the end of an hour.
    """
    import decord  # the other backend works without it, and it loads a second FFmpeg

    file.seek(0)
    try:
        reader = decord.VideoReader(file, num_threads=1)
        spans = [(float(start), float(end)) for start, end in reader.get_frame_timestamp(range(len(reader)))]
        if not spans:
            raise no_frame(request.video)
        if any(b[0] <= a[0] for a, b in pairwise(spans)):
            raise Unusable("codec", f"{request.video}: decord finds no presentation times in it; use generate.decoder=pyav")
        times_s = [start - spans[0][0] for start, _ in spans]
        chosen = choose(times_s, moments_of(request, spans[-1][1] - spans[0][0]))
        frame_pixels = int(np.prod(reader[0].shape[:2]))
        # as WindowReader counts; that each further batch seeks again is left to the timeout
        if num_decoded(chosen, reader.get_key_indices()) * frame_pixels > request.decode_pixels:
            raise Unusable(
                "too_large", f"{request.video}: more than limits.decode_pixels = {request.decode_pixels} would be decoded"
            )
        resizer, frames = Resizer(request), list[Frames]()
        batch = max(1, DECORD_BATCH_BYTES // (3 * frame_pixels))
        for first in range(0, len(chosen), batch):
            for pixels in reader.get_batch(chosen[first : first + batch]).asnumpy():
                frames.append(resizer.resize(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        del reader
    except (decord.DECORDError, RuntimeError) as error:
        text = str(error).splitlines()[0][-160:] if str(error) else "decord gave no reason"
        raise (invalid(file, request.video, ValueError(text))) from None
    return ClipFrames.of(request, frames, [times_s[number] for number in chosen], in_order=True)


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
            spec=FrameSpec(choose=Evenly(1), size=Square(8)),
            backend="pyav",
            jitter_seed=None,
            frame_pixels=256,
            decode_pixels=256,
        ),
    )
