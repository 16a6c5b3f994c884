"""Copies of a clip as they come about: encoded again, mirrored, cropped, of another speed, or all of these. Values are drawn."""

import io
from collections.abc import Callable, Sequence

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
LONGEST_CUT = 0.12
"""Of each side of a cropped picture, each drawn by itself: what is left is at least 0.58 of the area."""
FASTEST = 2.0
SMALLEST = 0.6
"""Of each side of a picture that is encoded again."""


def encoded(frames: Sequence[Picture], fps: int, qp: int) -> bytes:
    """An h264 file. Odd rows and columns are cut off."""
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"qp": str(qp), "preset": "veryfast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return file.getvalue()


def smaller(frames: Sequence[Picture], draw: np.random.Generator) -> list[Picture]:
    scale = draw.uniform(SMALLEST, 1)
    height, width = (max(32, int(side * scale) // 2 * 2) for side in frames[0].shape[:2])
    return [scaled(frame, width, height) for frame in frames]


def scaled(frame: Picture, width: int, height: int) -> Picture:
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    return picture.reformat(width, height).to_ndarray(format="rgb24")


def mirrored(frames: Sequence[Picture], draw: np.random.Generator) -> list[Picture]:
    return [frame[:, ::-1] for frame in frames]


def cropped(frames: Sequence[Picture], draw: np.random.Generator) -> list[Picture]:
    height, width = frames[0].shape[:2]
    top, bottom, left, right = (draw.uniform(0, LONGEST_CUT, 4) * (height, height, width, width)).astype(int)
    return [frame[top : height - bottom, left : width - right] for frame in frames]


def retimed(frames: Sequence[Picture], draw: np.random.Generator) -> list[Picture]:
    """Slower or faster: frames are doubled or left out."""
    count = max(2, round(len(frames) * FASTEST ** draw.uniform(-1, 1)))
    return [frames[int((at + 0.5) / count * len(frames))] for at in range(count)]


def changed_in_all_ways(frames: Sequence[Picture], draw: np.random.Generator) -> list[Picture]:
    return retimed(smaller(cropped(mirrored(frames, draw), draw), draw), draw)


CHANGES: dict[str, Callable[[Sequence[Picture], np.random.Generator], list[Picture]]] = {
    "encoded again": smaller,
    "mirrored": mirrored,
    "cropped": cropped,
    "retimed": retimed,
    "all four": changed_in_all_ways,
}


def copy_of(frames: Sequence[Picture], fps: int, change: str, draw: np.random.Generator) -> bytes:
    """A file of the changed clip, of a lower quality: what is only encoded again has the lowest."""
    lowest = (30, 41) if change == "encoded again" else (24, 33)
    return encoded(CHANGES[change](frames, draw), fps, int(draw.integers(*lowest)))
