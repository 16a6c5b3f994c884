"""Decoded pictures -> the size that a model watches, turned as the container says that they are to be shown."""

import av
import numpy as np

from engine.decode.frames import display_size
from engine.decode.request import Frames, Request, Unusable
from models.base import Square


class Resizer:
    """Brings all frames of one clip to one size: with KeepAspect the size that follows from the first of them."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._display_size: tuple[int, int] | None = None

    def resize(self, frame: av.VideoFrame) -> Frames:
        """uint8[H,W,3]. Raises Unusable where the decoder says that it had to guess, or the aspect is out of bounds."""
        request, size = self._request, self._request.spec.size
        if frame.is_corrupt:
            raise Unusable("codec", f"{request.video} is damaged at {frame.time} s; fetch it again")
        if isinstance(size, Square):
            return square(frame, size.size_px)
        is_on_its_side = _quarter_turns(frame) % 2 == 1
        if self._display_size is None:
            try:
                self._display_size = display_size(size, *_swapped((frame.width, frame.height), is_on_its_side))
            except ValueError as error:
                raise Unusable("too_large", f"{request.video}: {error}; no model watches that, drop its row") from None
        width, height = _swapped(self._display_size, is_on_its_side)
        return _turned(_scaled(frame, width, height), frame)


def square(frame: av.VideoFrame, size_px: int) -> Frames:
    """uint8[S,S,3]: shorter side to S, then the middle square."""
    scale = size_px / min(frame.width, frame.height)
    width, height = max(size_px, round(frame.width * scale)), max(size_px, round(frame.height * scale))
    top, left = (height - size_px) // 2, (width - size_px) // 2
    return _turned(_scaled(frame, width, height)[top : top + size_px, left : left + size_px], frame)


def _scaled(frame: av.VideoFrame, width: int, height: int) -> Frames:
    # one thread: the same pixels as with several, whose stacks of 8 MB each do not fit into the smallest limits.decode_memory_bytes
    pixels: Frames = frame.reformat(width=width, height=height, format="rgb24", interpolation="BICUBIC", threads=1).to_ndarray()
    return pixels


def _turned(pixels: Frames, frame: av.VideoFrame) -> Frames:
    quarter_turns = _quarter_turns(frame)
    return np.rot90(pixels, quarter_turns) if quarter_turns else pixels


def _quarter_turns(frame: av.VideoFrame) -> int:
    return int(round(frame.rotation / 90) % 4)


def _swapped(size: tuple[int, int], is_on_its_side: bool) -> tuple[int, int]:
    return (size[1], size[0]) if is_on_its_side else size
