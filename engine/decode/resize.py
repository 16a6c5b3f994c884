"""Decoded pictures -> the size that a model watches, in the shape and the orientation in which the file says they are shown."""

from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import SideData, Type

from engine.decode.crop import Crop, drawn_crop
from engine.decode.frames import display_size
from engine.decode.request import Frames, Request, Unusable
from models.base import KeepAspect, Square

LONGEST_PIXEL = 10
"""A pixel that is said to be longer than this many times its other side is taken for a square: the header is wrong."""


class Resizer:
    """Brings all frames of one clip to one size: with KeepAspect, that which follows from the first of them."""

    def __init__(self, request: Request, pixel_aspect: Fraction | None, num_frames: int) -> None:
        """`pixel_aspect`: width of a stored pixel divided by its height; DVDs, DV and anamorphic films have no
        square ones. `num_frames`: of the clip."""
        self._request, self._num_frames = request, num_frames
        is_likely = pixel_aspect is not None and pixel_aspect and 1 / LONGEST_PIXEL <= pixel_aspect <= LONGEST_PIXEL
        self._pixel_aspect = float(pixel_aspect) if pixel_aspect and is_likely else 1.0
        self._display_size: tuple[int, int] | None = None

    def resize(self, frame: av.VideoFrame) -> Frames:
        """uint8[H,W,3]. Raises Unusable where the decoder says that it had to guess, or the aspect is out of bounds."""
        request, size = self._request, self._request.spec.size
        if frame.is_corrupt:
            raise Unusable("codec", f"{request.video} is damaged at {frame.time} s; fetch it again")
        stored = max(1, round(frame.width * self._pixel_aspect)), frame.height
        if request.spec.augment and request.jitter_seed is not None:
            assert not isinstance(size, KeepAspect), "a family whose frames have no one size refuses train.augment"
            sides = (size.size_px, size.size_px) if isinstance(size, Square) else (size.width_px, size.height_px)
            return cut_out(frame, drawn_crop(*stored, request.jitter_seed), sides, stored)
        if isinstance(size, Square):
            return square(frame, size.size_px, stored)
        turn = _display_matrix(frame)
        is_swapped = _swaps_sides(turn)
        if self._display_size is None:
            try:
                self._display_size = display_size(size, *_swapped(stored, is_swapped), self._num_frames)
            except ValueError as error:
                raise Unusable("too_large", f"{request.video}: {error}; no model watches that, drop its row") from None
        width, height = _swapped(self._display_size, is_swapped)
        return turned(_scaled(frame, width, height), turn)


def square(frame: av.VideoFrame, size_px: int, stored: tuple[int, int] | None = None) -> Frames:
    """uint8[S,S,3]: shorter side to S, then the middle square. `stored`: (width, height) of the frame in square pixels."""
    stored = stored or (frame.width, frame.height)
    scale = size_px / min(stored)
    width, height = (max(size_px, round(side * scale)) for side in stored)
    top, left = (height - size_px) // 2, (width - size_px) // 2
    return turned(_scaled(frame, width, height)[top : top + size_px, left : left + size_px], _display_matrix(frame))


def cut_out(frame: av.VideoFrame, crop: Crop, sides: tuple[int, int], stored: tuple[int, int]) -> Frames:
    """uint8[H,W,3] of a part of the picture, scaled to `sides`, (width, height) as it is shown; then mirrored or not.

    `stored`: as in `square`; the part is one of the picture as it is stored.
    """
    turn = _display_matrix(frame)
    width, height = _swapped(sides, _swaps_sides(turn))
    across, down = width / crop.width, height / crop.height
    whole = max(width, round(stored[0] * across)), max(height, round(stored[1] * down))
    left, top = min(round(crop.left * across), whole[0] - width), min(round(crop.top * down), whole[1] - height)
    shown = turned(_scaled(frame, *whole)[top : top + height, left : left + width], turn)
    return shown[:, ::-1] if crop.is_mirrored else shown


def turned(pixels: Frames, turn: tuple[int, ...]) -> Frames:
    """The pixels as they are shown by (a, b, c, d) of a display matrix: a stored pixel (x, y) is shown at (ax + cy, bx + dy).

    All eight turns and mirrors by right angles; other angles become the next of these.

    >>> pixels = np.array([[[1], [2]], [[3], [4]]], np.uint8)
    >>> [turned(pixels, turn)[..., 0].tolist() for turn in ((1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, 1), (0, 1, 1, 0))]
    [[[1, 2], [3, 4]], [[3, 1], [4, 2]], [[2, 1], [4, 3]], [[1, 3], [2, 4]]]
    """
    a, b, c, d = turn
    if _swaps_sides(turn):
        pixels, across, down = pixels.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    return pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]


def is_mirrored(frame: av.VideoFrame) -> bool:
    """True if no turn alone shows the frame as it is to be shown: its matrix has a negative determinant."""
    a, b, c, d = _display_matrix(frame)
    return a * d - b * c < 0


def is_on_its_side(frame: av.VideoFrame) -> bool:
    """True if rows of the stored frame are shown as columns."""
    return _swaps_sides(_display_matrix(frame))


def _swaps_sides(turn: tuple[int, ...]) -> bool:
    a, b, c, d = turn
    return abs(b) + abs(c) > abs(a) + abs(d)


def _display_matrix(frame: av.VideoFrame) -> tuple[int, ...]:
    """(a, b, c, d) in 16.16 fixed point, of the nine numbers a b u, c d v, x y w; MP4, Matroska, H.264 and EXIF give them."""
    for data in _side_data(frame):
        if data.type == Type.DISPLAYMATRIX:
            a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
            return a, b, c, d
    return 1, 0, 0, 1


def _side_data(frame: av.VideoFrame) -> list[SideData]:
    try:
        return list(frame.side_data)
    except ValueError:  # PyAV 18 has no name for the types that are new in FFmpeg 8, such as EXIF, and then refuses all of them
        Type._missing_ = _unnamed_type  # type: ignore[method-assign]
        return list(frame.side_data)


def _unnamed_type(value: object) -> Type:
    unnamed = object.__new__(Type)
    unnamed._name_, unnamed._value_ = f"TYPE_{value}", value  # type: ignore[assignment]
    return unnamed


def _scaled(frame: av.VideoFrame, width: int, height: int) -> Frames:
    # one thread: the same pixels as with several, whose stacks of 8 MB each do not fit into the smallest limits.decode_memory_bytes
    pixels: Frames = frame.reformat(width=width, height=height, format="rgb24", interpolation="BICUBIC", threads=1).to_ndarray()
    return pixels


def _swapped(size: tuple[int, int], is_swapped: bool) -> tuple[int, int]:
    return (size[1], size[0]) if is_swapped else size
