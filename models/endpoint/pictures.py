"""Frames as pictures of the web: JPEG or PNG, by FFmpeg's encoders inside PyAV."""

import base64
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

PictureFormat = Literal["jpeg", "png"]
ENCODERS: dict[PictureFormat, tuple[str, str]] = {"jpeg": ("mjpeg", "yuvj444p"), "png": ("png", "rgb24")}
"""Encoder and pixel format. JPEG keeps colours at full resolution: the edges of small things are what models are asked about."""
JPEG_SCALE = 2
"""Good enough to ask about."""


def encoded(frames: NDArray[np.uint8], picture_format: PictureFormat, scale: int = JPEG_SCALE) -> Iterator[str]:
    """Base64 of each frame, uint8[T,H,W,3]. `scale`: FFmpeg's quantizer scale for JPEG, 2 (best) to 31."""
    for frame in frames:
        yield base64.b64encode(file_bytes(frame, picture_format, scale)).decode()


def file_bytes(frame: NDArray[np.uint8], picture_format: PictureFormat, scale: int = JPEG_SCALE) -> bytes:
    """The frame, uint8[H,W,3], as a file."""
    name, pixel_format = ENCODERS[picture_format]
    context = av.CodecContext.create(name, "w")
    context.height, context.width = frame.shape[:2]
    context.pix_fmt, context.time_base = pixel_format, Fraction(1)
    if picture_format == "jpeg":
        context.qmin = context.qmax = scale
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(format=pixel_format)
    return b"".join(bytes(packet) for packet in [*context.encode(picture), *context.encode(None)])
