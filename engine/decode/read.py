"""A clip's frames out of an opened video, by presentation times: PyAV, which reads the byte ranges it needs, or decord.

This runs in the decoding process (engine/decode/child.py). Bad media never raise anything but Unusable.
"""

import io
from dataclasses import dataclass
from typing import BinaryIO, Self

import av
import numpy as np

from engine.decode.frames import second_in_clip
from engine.decode.in_order import InOrderReader
from engine.decode.media import damaged, is_indexed, open_container, too_wide, video_stream
from engine.decode.request import Backend, Frames, Request, Unusable
from engine.decode.seek import Untimed, WindowReader
from engine.decode.with_decord import read_decord
from models.base import Evenly, FrameSpec, Square


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
        """`video_times_s`: seconds since the start of the file."""
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
                return ClipFrames.of(request, *read_decord(file, container, stream, request), in_order=True)
            if is_indexed(file, container):
                try:
                    return ClipFrames.of(request, *WindowReader(file, container, stream, request).read(), in_order=False)
                except Untimed:
                    pass
        return ClipFrames.of(request, *InOrderReader(file, request).read(), in_order=True)
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
