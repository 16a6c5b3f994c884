"""What a model watches, as its video processor's configuration bounds it; and a video's true times, as processors read them."""

import math
from typing import Any

import numpy as np

from models.base import Evenly, FrameSpec, KeepAspect, PerSecond, Square, Stretch, Video

DEFAULT_FRAMES, DEFAULT_RATE, DEFAULT_MOST = 16, 2.0, 768
"""Where a configuration says nothing: frames of an image model, as for PLLaVA; frames a second and at most, as in Qwen-VL's
own code (qwen_vl_utils, FPS and FPS_MAX_FRAMES)."""
DEFAULT_PIXELS = 1 << 20
"""Of a frame, where a configuration gives no size that is known here: the processor makes of it what it likes."""
TICKS = 1_000_000
"""Places of a second. Presentation times are whole microseconds, so an index divided by this rate is its frame's time, exactly."""


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


def smallest_shape(frames: FrameSpec) -> tuple[int, int, int]:
    """(frames, height, width) of a video with as few and as small frames as the model watches.

    >>> size = KeepAspect(min_pixels=900, max_pixels=9000, multiple_px=28)
    >>> smallest_shape(FrameSpec(choose=PerSecond(rate=2, min_frames=3, max_frames=9, multiple=2), size=size))
    (4, 56, 56)
    """
    choose, size = frames.choose, frames.size
    count = -(-choose.min_frames // choose.multiple) * choose.multiple if isinstance(choose, PerSecond) else choose.num_frames
    if isinstance(size, Square):
        return count, size.size_px, size.size_px
    if isinstance(size, Stretch):
        return count, size.height_px, size.width_px
    side_px = math.ceil(math.sqrt(size.min_pixels) / size.multiple_px) * size.multiple_px
    return count, side_px, side_px


def noise(num_frames: int, height_px: int, width_px: int) -> Video:
    """A video of noise, a frame each second: of black ones VideoLLaMA3 leaves tokens out."""
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, height_px, width_px, 3), np.uint8)
    return Video(frames, tuple(float(number) for number in range(num_frames)))


def fewer_frames(video: Video, num_frames: int | None) -> Video:
    """So many of a video's frames, the middle one of each of as many equal parts; all of them for None, or where it has no more."""
    total = len(video.times_s)
    if num_frames is None or num_frames >= total:
        return video
    chosen = [(2 * part + 1) * total // (2 * num_frames) for part in range(num_frames)]
    return Video(video.frames[chosen], tuple(video.times_s[number] for number in chosen))
