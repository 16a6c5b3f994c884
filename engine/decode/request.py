"""What a decoding process is asked for, and how it says that a video gives no frames."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from engine.decode.frames import frame_count, moments, numbered_window, numbers, spread_numbers, window
from models.base import ByIndex, Evenly, FrameSpec, KeepAspect, PerSecond, Square, Stretch

Backend = Literal["pyav", "decord"]
Frames = NDArray[np.uint8]
SPEC_PARTS: dict[str, Any] = {part.__name__: part for part in (Evenly, ByIndex, PerSecond, Square, Stretch, KeepAspect)}


class Unusable(Exception):
    """A video gives no frames: the kind of failure (engine/rows.py), and a detail that says what to do."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to read: the frames that `spec` chooses of a window in seconds of presentation time.

    Request(video="s3://b/a.mp4", size=1_200_000, start_s=3.0, end_s=11.0, spec=FrameSpec(...), backend="pyav", ...)
    """

    video: str
    """For messages only."""
    size: int
    """Bytes of the whole object."""
    start_s: float | None
    end_s: float | None
    spec: FrameSpec
    backend: Backend
    jitter_seed: int | None
    """Of random moments, and of a random part of the picture where spec.augment says so. None: the mid-points of the parts of the
    window, and the whole picture."""
    frame_pixels: int
    """Most pixels that a frame of the video may have, before it is decoded."""
    decode_pixels: int
    """Most pixels that may be decoded for this clip, all frames together."""
    tolerance_s: float = 0.0
    """A keyframe no further from a moment than this may be shown in place of its frame; 0: never."""

    def to_json(self) -> bytes:
        parts = {"choose": self.spec.choose, "size": self.spec.size}
        spec = {name: {"type": type(part).__name__, **asdict(part)} for name, part in parts.items()}
        return json.dumps(asdict(self) | {"spec": spec | {"augment": self.spec.augment}}).encode()

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        value = json.loads(body)
        augment = value["spec"].pop("augment")
        parts = {name: SPEC_PARTS[part.pop("type")](**part) for name, part in value["spec"].items()}
        return cls(**value | {"spec": FrameSpec(**parts, augment=augment)})


def moments_of(request: Request, first_s: float, last_s: float) -> list[float]:
    """The moments, ascending, whose frames are chosen of a video that shows frames from first_s to last_s.

    Raises Unusable for an empty window.
    """
    span = window(request.start_s, request.end_s, first_s, last_s)
    if span is None:
        raise _empty_window(request, f"frames from {first_s:.2f} to {last_s:.2f} s")
    return moments(frame_count(request.spec.choose, span[1] - span[0]), *span, request.jitter_seed)


def numbers_of(request: Request, num_frames: int, rate: float) -> list[int]:
    """The numbers, ascending, of the frames that ByIndex chooses of a video of so many frames. Raises Unusable as moments_of."""
    span = numbered_window(request.start_s, request.end_s, num_frames, rate)
    if span is None:
        raise _empty_window(request, f"{num_frames} frames at {rate:g} a second")
    choose = request.spec.choose
    if isinstance(choose, ByIndex) and choose.spread:
        return spread_numbers(choose.num_frames, *span)
    return numbers(frame_count(choose, 0.0), *span, request.jitter_seed)


def moments_among(request: Request, times_s: Sequence[float], last_s: float, rate: float) -> list[float]:
    """The moments whose frames are chosen of a video whose frames begin at `times_s`. Raises Unusable as moments_of."""
    if isinstance(request.spec.choose, ByIndex):
        return [times_s[number] for number in numbers_of(request, len(times_s), rate)]
    return moments_of(request, times_s[0], last_s)


def _empty_window(request: Request, shown: str) -> Unusable:
    bounds = f"{request.start_s or 0:g} to {'the end' if request.end_s is None else f'{request.end_s:g} s'}"
    return Unusable("empty_window", f"{request.video} shows {shown}, none of them in {bounds}; correct the window or drop its row")
