"""What a clip looks like in about a kilobyte, by which near-copies are found: the lowest frequencies of a few of its frames.

A perceptual hash keeps the signs of such coefficients. Here they are kept as numbers, from which every mirrored, cropped or shifted
view of the picture follows (engine/select/alignment.py): no hash of the whole picture can be compared with those.
"""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
VERSION = "2:"
"""How a signature begins. One of another version cannot be compared, and counts as none."""
MOMENTS = 8
"""Frames of a clip that are looked at, evenly chosen: of a faster or slower copy they are nearly the same ones."""
LUMA, CHROMA = 12, 6
"""Frequencies in each direction that are kept of brightness, and of each of the two colour differences."""
ROWS_PX, COLUMNS_PX = 48, 224
"""Larger frames are thinned out to between one and two times as many rows and columns: whole rows are quicker to gather."""
STEPS = 8
"""Of a grey level that are kept."""
YCC = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]], np.float32)
"""JPEG's brightness and colour differences of red, green and blue."""
KEPT_LUMA = np.add.outer(np.arange(LUMA), np.arange(LUMA)) < LUMA + 10
KEPT_CHROMA = np.add.outer(np.arange(CHROMA), np.arange(CHROMA)) < CHROMA
"""Without the corners, where both frequencies are high."""
NUM_LUMA, NUM_CHROMA = int(KEPT_LUMA.sum()), int(KEPT_CHROMA.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """In grey levels, by frequency in time, down and across: of N clips, 0 where none is kept."""

    luma: Floats
    """float32[N, MOMENTS, LUMA, LUMA]."""
    chroma: Floats
    """float32[N, MOMENTS, 2, CHROMA, CHROMA]."""

    def __getitem__(self, places: NDArray[np.intp]) -> "Coefficients":
        return Coefficients(self.luma[places], self.chroma[places])

    def mirrored(self, where: NDArray[np.bool_]) -> "Coefficients":
        """Those of the clips `where` it is True, left for right."""
        signs = [np.where(where[:, None] & (np.arange(count) % 2 == 1), -1, 1).astype(np.float32) for count in (LUMA, CHROMA)]
        return Coefficients(self.luma * signs[0][:, None, None], self.chroma * signs[1][:, None, None, None])


def signature(frames: NDArray[np.uint8]) -> str:
    """`frames`: uint8[T,H,W,3]. Returns the coefficients as text: base64 of deflated int16, low bytes before high ones.

    >>> coefficients([signature(np.full((16, 48, 64, 3), 128, np.uint8))]).luma[0, :2, 0, 0].tolist()
    [128.0, 0.0]
    """
    moments = ((np.arange(MOMENTS) + 0.5) / MOMENTS * len(frames)).astype(int)
    squares = np.stack([_lowest(frames[moment]).ravel() for moment in moments])  # [T, LUMA * LUMA * RGB]
    channels = (cosines(MOMENTS, MOMENTS) @ squares).reshape(MOMENTS, LUMA, LUMA, 3) @ YCC.T
    return packed(channels[..., 0], channels[:, :CHROMA, :CHROMA, 1:])


def _lowest(picture: NDArray[np.uint8]) -> Floats:
    """[LUMA, LUMA, RGB] of uint8[H,W,RGB]. One picture at a time stays in the processor's cache."""
    down, across = (max(1, side // enough) for side, enough in zip(picture.shape, (ROWS_PX, COLUMNS_PX), strict=False))
    thinned = picture[::down, ::across].astype(np.float32)
    height, width, channels = thinned.shape
    rows = (cosines(height, LUMA) @ thinned.reshape(height, -1)).reshape(LUMA, width, channels)
    return np.asarray(np.matmul(cosines(width, LUMA), rows), np.float32)


def packed(luma: NDArray[np.floating], chroma: NDArray[np.floating]) -> str:
    """As text: coefficients [MOMENTS, LUMA, LUMA] and [MOMENTS, CHROMA, CHROMA, 2], by frequency in time, down and across."""
    kept = np.concatenate([luma[:, KEPT_LUMA], chroma[:, KEPT_CHROMA].reshape(MOMENTS, -1)], 1)
    steps = np.rint(kept.ravel() * STEPS).astype("<i2")
    return VERSION + base64.b64encode(zlib.compress(steps.view(np.uint8).reshape(-1, 2).T.tobytes(), 1)).decode()


def coefficients(signatures: Sequence[str]) -> Coefficients:
    """What the signatures say; all of them of this VERSION."""
    packed = b"".join(zlib.decompress(base64.b64decode(text[len(VERSION) :])) for text in signatures)
    count, each = len(signatures), MOMENTS * (NUM_LUMA + 2 * NUM_CHROMA)
    low_high = np.frombuffer(packed, np.uint8).reshape(count, 2, each).transpose(0, 2, 1)
    values = np.ascontiguousarray(low_high).view("<i2").reshape(count, MOMENTS, -1).astype(np.float32) / STEPS
    luma = np.zeros((count, MOMENTS, LUMA, LUMA), np.float32)
    chroma = np.zeros((count, MOMENTS, CHROMA, CHROMA, 2), np.float32)
    luma[:, :, KEPT_LUMA] = values[..., :NUM_LUMA]
    chroma[:, :, KEPT_CHROMA] = values[..., NUM_LUMA:].reshape(count, MOMENTS, NUM_CHROMA, 2)
    return Coefficients(luma, np.ascontiguousarray(np.moveaxis(chroma, -1, 2)))


@cache
def cosines(size: int, count: int) -> Floats:
    """[count, size]: the first cosines of so many samples; the squares of all coefficients sum up to the samples' mean square."""
    places = (np.arange(size) + 0.5) / size
    return np.asarray(waves(places, count).T / size, np.float32)


def waves(places: NDArray[np.floating], count: int) -> NDArray[np.floating]:
    """[..., count]: what the first `count` frequencies, each of coefficient 1, are at `places`, 0..1 of a line."""
    frequencies = np.arange(count)
    return np.cos(np.pi * frequencies * places[..., None]) * np.where(frequencies == 0, 1, np.sqrt(2))
