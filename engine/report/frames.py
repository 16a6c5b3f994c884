"""Film strips: a few of the frames that the model watched of a clip, side by side in one small JPEG."""

import time
from collections.abc import Mapping
from dataclasses import replace

import av
import numpy as np
from numpy.typing import NDArray

from engine.config import RunConfig
from engine.decode.decoder import ChildDecoder
from engine.report.strips import Strip, StripKey, key_of
from engine.rows import Clip, Failure, Window
from engine.run.work import decoding_of
from engine.store.troubles import StorageError
from engine.store.weights import local
from models.base import FrameSpec
from models.endpoint.pictures import encoded
from models.folders import SMALL_FILES
from models.registry import frame_spec

SHOWN, HEIGHT_PX, WIDEST_PX, GAP_PX = 4, 96, 160, 2
"""Frames of a strip, the size that each is scaled to, and the grey between them."""
JPEG_SCALE = 5
MOST_BYTES, MOST_SECONDS = 5_000_000, 30.0
"""Of all strips together, in base64; and for decoding them."""
PATIENCE_S = 10.0
"""How long storage that is away is waited for: a report without frames is a report."""


class FilmStrips:
    """with FilmStrips(config, {}) as strips: strips.of(clip). Nothing that a video or storage does ends it: the strip says why.

    Strips end when they take MOST_BYTES or MOST_SECONDS.
    """

    def __init__(self, config: RunConfig, known: Mapping[StripKey, Strip], most_seconds: float = MOST_SECONDS) -> None:
        """`known`: strips of an earlier report, which need no decoding."""
        decoding = decoding_of(config)
        storage = replace(decoding.storage, patience_s=min(PATIENCE_S, decoding.storage.patience_s))
        self._decoder = ChildDecoder(storage, decoding.limits, decoding.backend, decoding.tolerance_s)
        self._config, self._left_bytes, self._ends_at = config, MOST_BYTES, time.monotonic() + most_seconds
        self._spec: FrameSpec | None = None
        self._missing = ""
        """Why there are no strips from here on."""
        self._known, self._strips = known, dict[StripKey, Strip]()

    def __enter__(self) -> "FilmStrips":
        return self

    def __exit__(self, *_: object) -> None:
        self._decoder.close()

    def of(self, clip: Clip | Window) -> Strip:
        key = key_of(clip)
        if key not in self._strips:
            self._strips[key] = self._new(clip, key)
            self._left_bytes -= len(self._strips[key].picture)
        return self._strips[key]

    def _new(self, clip: Clip | Window, key: StripKey) -> Strip:
        if not self._missing and self._left_bytes <= 0:
            self._missing = "the report holds as many frames as it may"
        elif key in self._known:
            return self._known[key]
        if not self._missing and time.monotonic() > self._ends_at:
            self._missing = "decoding frames took as long as it may; write the report again where the videos are near"
        if self._missing:
            return Strip(missing=self._missing)
        try:
            result = self._decoder.decode(clip, self._frame_spec())
        except (StorageError, ChildProcessError, ValueError, OSError) as error:
            self._missing = f"frames could not be decoded: {error}"
            return Strip(missing=self._missing)
        if isinstance(result, Failure):
            return Strip(missing=result.detail)
        return strip_of(result.video.frames, result.video.times_s)

    def _frame_spec(self) -> FrameSpec:
        """What the model before the first cycle watches; the finetuned ones watch the same."""
        if self._spec is None:
            model = self._config.model
            self._spec = frame_spec(local(self._config.spec(model.instruct or model.base), self._config.access(), SMALL_FILES))
        return self._spec


def strip_of(frames: NDArray[np.uint8], times_s: tuple[float, ...]) -> Strip:
    """`frames`: uint8[T,H,W,3], of which SHOWN are shown, evenly chosen."""
    count = min(SHOWN, len(frames))
    chosen = [int((number + 0.5) * len(frames) / count) for number in range(count)]
    scaled = [_scaled(frames[number]) for number in chosen]
    gap = np.full((scaled[0].shape[0], GAP_PX, 3), 127, np.uint8)
    picture = np.concatenate([part for frame in scaled for part in (gap, frame)][1:], axis=1)
    times = ", ".join(f"{times_s[number]:.1f}" for number in chosen)
    return Strip(
        picture=next(encoded(picture[None], "jpeg", JPEG_SCALE)),
        width=picture.shape[1],
        height=picture.shape[0],
        caption=f"{count} of the {len(frames)} frames that the model watches, at {times} s",
    )


def _scaled(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame HEIGHT_PX high, or WIDEST_PX wide. uint8[H,W,3] in and out."""
    height, width = frame.shape[:2]
    scale = min(HEIGHT_PX / height, WIDEST_PX / width)
    columns, rows = (max(2, round(side * scale / 2) * 2) for side in (width, height))
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    scaled: NDArray[np.uint8] = picture.reformat(width=columns, height=rows, interpolation="AREA").to_ndarray()
    return scaled
