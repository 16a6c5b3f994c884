"""What a model watches, as its video processor's configuration bounds it; and a video's true times, as processors read them."""

import math
from typing import Any

from models.base import Evenly, FrameSpec, KeepAspect, PerSecond, Square, Stretch, Video

DEFAULT_FRAMES, DEFAULT_RATE, DEFAULT_MOST = 16, 2.0, 768
"""Where a configuration says nothing: frames of an image model, as for PLLaVA; frames a second and at most, as in Qwen-VL's own code
(qwen_vl_utils, FPS and FPS_MAX_FRAMES)."""
DEFAULT_PIXELS = 1 << 20
"""Of a frame, where a configuration gives no size that is known here: the processor makes of it what it likes."""
TICKS = 1_000_000
"""Places of a second. Presentation times are whole microseconds, so that a frame's index divided by this rate is its time, exactly."""


def frame_spec_of(videos: Any, num_frames: int | None, base: str) -> FrameSpec:
    """`videos`: a video processor of transformers. `num_frames`: what a user wants instead of the checkpoint's number or rate.

    Raises ValueError for a number that the model cannot watch.
    """
    multiple = int(getattr(videos, "temporal_patch_size", None) or 1)
    choose: Evenly | PerSecond
    if num_frames is not None:
        if num_frames % multiple:
            raise ValueError(f"model.num_frames = {num_frames}: {base} merges {multiple} frames into one; give a multiple of it")
        choose = Evenly(num_frames)
    else:
        choose = _choice(videos, multiple)
    return FrameSpec(choose=choose, size=_size(videos, choose, multiple))


def _choice(videos: Any, multiple: int) -> Evenly | PerSecond:
    """So many frames a second where the configuration gives a rate or bounds, else a fixed number."""
    number, lowest, most = (getattr(videos, name, None) for name in ("num_frames", "min_frames", "max_frames"))
    rate = getattr(videos, "fps", None) or getattr(videos, "max_fps", None) or (DEFAULT_RATE if most else None)
    if rate is None:
        return Evenly(max(multiple, (number or DEFAULT_FRAMES) // multiple * multiple))
    return PerSecond(
        rate=float(rate),
        min_frames=max(multiple, lowest or 1),
        max_frames=max(multiple, (most or number or DEFAULT_MOST) // multiple * multiple),
        multiple=multiple,
    )


def _size(videos: Any, choose: Evenly | PerSecond, multiple: int) -> Square | Stretch | KeepAspect:
    """The size that the processor would give frames; where that depends on more than the frames, one that is no smaller."""
    sides = {name: int(side) for name, side in dict(getattr(videos, "size", None) or {}).items() if side is not None}
    crop = dict(getattr(videos, "crop_size", None) or {}) if getattr(videos, "do_center_crop", None) else {}
    patch, shortest, longest = getattr(videos, "patch_size", None), sides.get("shortest_edge"), sides.get("longest_edge")
    if crop:
        return Square(int(crop["height"])) if shortest in (None, crop["height"]) else _any_size()
    if "height" in sides:
        return Stretch(height_px=sides["height"], width_px=sides["width"])
    if patch and shortest and longest:  # pixels, although they are called edges
        step = patch * int(getattr(videos, "merge_size", None) or 1)
        shared = _is_shared(videos, longest, multiple)
        return KeepAspect(
            min_pixels=min(longest, step * step if shared else shortest),
            max_pixels=longest,
            multiple_px=step,
            of_all_frames=shared,
        )
    if patch and (tokens := getattr(videos, "max_soft_tokens", None)):
        step = patch * videos.pooling_kernel_size
        return KeepAspect(min_pixels=step * step, max_pixels=tokens * step * step, multiple_px=step)
    if largest := dict(getattr(videos, "max_image_size", None) or {}).get("longest_edge"):
        return Stretch(height_px=int(largest), width_px=int(largest))
    return _any_size()


def _any_size() -> KeepAspect:
    return KeepAspect(min_pixels=4, max_pixels=DEFAULT_PIXELS, multiple_px=2)


def _is_shared(videos: Any, most_pixels: int, multiple: int) -> bool:
    """Whether the bound on pixels is one on all frames together, so that more of them are smaller."""
    count = getattr(videos, "get_num_of_video_patches", None)
    if count is None:
        return False
    side = 2 * math.isqrt(most_pixels)
    few, many = (count(frames * multiple, side, side, {}) for frames in (2, 64))
    return bool(many < few * 24)


def metadata_of(video: Video) -> dict[str, Any]:
    """The video's times as a processor reads them: index / fps is a frame's time, and the mean rate of the frames is their own.

    The frames of a still picture, which have one time, count as a second each.

    >>> import numpy as np
    >>> metadata_of(Video(np.zeros((2, 1, 1, 3), np.uint8), (0.25, 0.75)))["frames_indices"]
    [250000, 750000]
    """
    places = [round(time_s * TICKS) for time_s in video.times_s]
    apart = (places[-1] - places[0]) / (len(places) - 1) if places[-1] > places[0] else TICKS
    total = round(len(places) * apart)
    return {"total_num_frames": total, "fps": float(TICKS), "frames_indices": places, "duration": total / TICKS}
