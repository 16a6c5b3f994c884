"""Which frames of a video a model watches, and at which size: pure functions of presentation times and of picture sizes.

A moment is a second of the file's own time, which begins with its first stream (engine/decode/clock.py); the frame of a moment is
the one on screen then.
"""

import bisect
import math
import random
from collections.abc import Sequence

from models.base import ByIndex, Evenly, FrameSpec, KeepAspect, PerSecond, Square, Stretch

ROUNDING_S = 1e-4
"""A moment this close before a frame is that frame's: containers and readers round times differently."""
MAX_ASPECT = 200
"""Longer side divided by the shorter one, at most: Qwen-VL's bound, which is also the parent's bound on a child's frames."""


def frame_count(choose: Evenly | ByIndex | PerSecond, length_s: float) -> int:
    """The number of frames for a stretch of `length_s` seconds.

    Qwen-VL's rule for PerSecond (transformers, Qwen2VLVideoProcessor.sample_frames), without its cap at the number of frames that
    the video has: a frame is shown again where `rate` is above the video's own.

    >>> two_fps = PerSecond(rate=2, min_frames=4, max_frames=16, multiple=2)
    >>> frame_count(Evenly(16), 0.5), [frame_count(two_fps, length_s) for length_s in (1, 5.6, 60)]
    (16, [4, 10, 16])
    """
    if isinstance(choose, Evenly | ByIndex):
        return choose.num_frames
    count = int(min(max((length_s + ROUNDING_S) * choose.rate, choose.min_frames), choose.max_frames))
    return max(choose.multiple, count // choose.multiple * choose.multiple)


def moments(num_frames: int, start_s: float, end_s: float, jitter_seed: int | None = None) -> list[float]:
    """Seconds, ascending: the window [start_s, end_s) is cut in equal parts, and each gives its mid-point (PLLaVA's evaluation
    rule) or, with a jitter seed, a random moment of it (its training rule).

    >>> moments(4, 0.0, 10.0)
    [1.25, 3.75, 6.25, 8.75]
    """
    part_s = (end_s - start_s) / num_frames
    rng = random.Random(jitter_seed) if jitter_seed is not None else None
    return [start_s + part_s * (i + (rng.random() if rng else 0.5)) for i in range(num_frames)]


def numbers(num_frames: int, first: int, last: int, jitter_seed: int | None = None) -> list[int]:
    """Numbers of frames, ascending: those from `first` to `last` are cut in equal parts, and each gives its middle one or, with a
    jitter seed, a random one.

    PLLaVA's evaluation rule and its rounding (EvalDataset.get_index, tasks/eval/eval_utils.py; its demo has the same numbers).

    >>> numbers(16, 0, 99)
    [3, 9, 15, 22, 28, 34, 40, 46, 53, 59, 65, 71, 77, 83, 90, 96]
    >>> numbers(4, 0, 1), numbers(4, 7, 7)
    ([0, 0, 0, 1], [7, 7, 7, 7])
    """
    if jitter_seed is not None:
        rng, part = random.Random(jitter_seed), (last - first + 1) / num_frames
        return [min(last, first + int(part * (i + rng.random()))) for i in range(num_frames)]
    part = (last - first) / num_frames
    return [int(first + part / 2 + round(part * i)) for i in range(num_frames)]


def spread_numbers(num_frames: int, first: int, last: int) -> list[int]:
    """Numbers of frames, ascending: from `first` to `last` in even steps, rounded down; of one frame the first.

    EILEV's rule (pytorchvideo, UniformTemporalSubsample), whose frames are the same in training and evaluation.

    >>> spread_numbers(8, 0, 239), spread_numbers(3, 5, 6), spread_numbers(1, 4, 9)
    ([0, 34, 68, 102, 136, 170, 204, 239], [5, 5, 6], [4])
    """
    return [first + i * (last - first) // max(1, num_frames - 1) for i in range(num_frames)]


def numbered_window(start_s: float | None, end_s: float | None, num_frames: int, rate: float) -> tuple[int, int] | None:
    """The numbers of a window's first and last frame, of a video of `num_frames` frames; None where it shows none of them.

    As in PLLaVA's code, seconds become numbers at the video's average rate, and its first frame is that of second 0.

    >>> numbered_window(None, None, 100, 25.0), numbered_window(1.0, 2.5, 100, 25.0), numbered_window(4.5, 6.0, 100, 25.0)
    ((0, 99), (25, 62), None)
    """
    first, last = round((start_s or 0.0) * rate), num_frames - 1
    if end_s is not None:
        last = min(round(end_s * rate), last)
    return (first, last) if first <= last else None


def has_begun(time_s: float, moment_s: float) -> bool:
    """True if a frame that is shown from time_s on is on screen at the moment, or was before it."""
    return time_s <= moment_s + ROUNDING_S


def choose(times_s: Sequence[float], at_s: Sequence[float]) -> list[int]:
    """The index of the frame on screen at each moment; an index may repeat.

    `times_s` are sorted presentation times, so a variable frame rate is as good as any. Before the first frame, that one counts.

    >>> choose([i / 10 for i in range(100)], moments(4, 0.0, 10.0))
    [12, 37, 62, 87]
    >>> choose([0.0, 9.0], moments(4, 0.0, 10.0)), choose([0.0, 1.0], moments(2, 5.0, 6.0))
    ([0, 0, 0, 0], [1, 1])
    """
    return [max(0, bisect.bisect_right(times_s, moment + ROUNDING_S) - 1) for moment in at_s]


def num_decoded(chosen: Sequence[int], keyframes: Sequence[int]) -> int:
    """How many frames have to be decoded for the chosen ones: of each stretch from a keyframe, those up to the last chosen.

    Both are ascending frame numbers; the first frame counts as a keyframe.

    >>> num_decoded([3, 5, 27], keyframes=[0, 12, 24]), num_decoded([27], keyframes=[])
    (10, 28)
    """
    starts = sorted({0, *keyframes})
    last_by_keyframe = {starts[bisect.bisect_right(starts, number) - 1]: number for number in chosen}
    return sum(last - keyframe + 1 for keyframe, last in last_by_keyframe.items())


def window(start_s: float | None, end_s: float | None, first_s: float, last_s: float) -> tuple[float, float] | None:
    """A clip's window cut to the seconds at which the video shows frames; None where it shows none of them in the window.

    The first frame begins at first_s (later than 0 where the sound begins first) and the last one ends at last_s.

    >>> window(None, None, 0.0, 3.0), window(1.0, 9.0, 0.0, 3.0), window(4.0, 9.0, 0.0, 3.0), window(None, None, 0.0, 0.0)
    ((0.0, 3.0), (1.0, 3.0), None, (0.0, 0.001))
    >>> window(None, None, 3.0, 8.0), window(2.0, 5.0, 3.0, 8.0), window(0.0, 3.0, 3.0, 8.0)
    ((3.0, 8.0), (3.0, 5.0), None)
    """
    start, last_s = max(start_s or 0.0, first_s), max(last_s, first_s + 1e-3)
    end = last_s if end_s is None else min(last_s, end_s)
    return (start, end) if start < end else None


def second_in_clip(time_s: float, start_s: float | None) -> float:
    """A frame's presentation time, counted from the start of its clip, to the microsecond.

    0.0 for the frame that is on screen when the window starts, although its presentation began earlier.

    >>> second_in_clip(10.04, 10.0), second_in_clip(9.96, 10.0), second_in_clip(0.4, None)
    (0.04, 0.0, 0.4)
    """
    return max(0.0, round(time_s - (start_s or 0.0), 6))


def display_size(size: Square | Stretch | KeepAspect, width: int, height: int, num_frames: int = 1) -> tuple[int, int]:
    """(width, height) in which the model watches pictures of that width and height, where a clip has so many frames.

    KeepAspect is Qwen-VL's rule (transformers, smart_resize of Qwen2VLImageProcessor): to the nearest multiples, then scaled into
    the bounds. Raises ValueError where one side is more than MAX_ASPECT times the other.

    >>> display_size(Stretch(height_px=384, width_px=512), 1920, 1080)
    (512, 384)

    >>> qwen = KeepAspect(min_pixels=65_536, max_pixels=602_112, multiple_px=28)
    >>> display_size(qwen, 1920, 1080), display_size(qwen, 320, 240), display_size(Square(336), 320, 240)
    ((1008, 560), (308, 252), (336, 336))
    """
    if isinstance(size, Square):
        return size.size_px, size.size_px
    if isinstance(size, Stretch):
        return size.width_px, size.height_px
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ValueError(f"one side of {width} x {height} is more than {MAX_ASPECT} times the other")
    step, max_pixels = size.multiple_px, pixels_of_a_frame(size, num_frames)
    columns, rows = round(width / step), round(height / step)
    if columns * rows * step**2 > max_pixels:
        scale = math.sqrt(width * height / max_pixels)
        columns, rows = max(1, math.floor(width / scale / step)), max(1, math.floor(height / scale / step))
    elif columns * rows * step**2 < size.min_pixels:
        scale = math.sqrt(size.min_pixels / (width * height))
        columns, rows = math.ceil(width * scale / step), math.ceil(height * scale / step)
    return columns * step, rows * step


def pixels_of_a_frame(size: KeepAspect, num_frames: int) -> int:
    """Maximum pixels of each of so many frames.

    >>> pixels_of_a_frame(KeepAspect(min_pixels=1024, max_pixels=80_000, multiple_px=32, of_all_frames=True), 8)
    10000
    """
    return max(size.min_pixels, size.max_pixels // num_frames) if size.of_all_frames else size.max_pixels


def describe(spec: FrameSpec) -> str:
    """The spec in words, for a user.

    >>> describe(FrameSpec(choose=Evenly(16), size=Square(336)))
    '16 frames of 336 x 336 pixels'
    >>> size = KeepAspect(min_pixels=65_536, max_pixels=602_112, multiple_px=28)
    >>> describe(FrameSpec(choose=PerSecond(rate=2.0, min_frames=4, max_frames=768), size=size))
    '2 frames a second (4 to 768) of 65536 to 602112 pixels'
    """
    choose, size = spec.choose, spec.size
    if isinstance(choose, Evenly | ByIndex):
        frames = f"{choose.num_frames} frames"
    else:
        frames = f"{choose.rate:g} frames a second ({choose.min_frames} to {choose.max_frames})"
    if isinstance(size, Square):
        return f"{frames} of {size.size_px} x {size.size_px} pixels"
    if isinstance(size, Stretch):
        return f"{frames}, stretched to {size.width_px} x {size.height_px} pixels"
    together = " together" if size.of_all_frames else ""
    return f"{frames} of {size.min_pixels} to {size.max_pixels} pixels{together}"


def is_possible(spec: FrameSpec, num_frames: int, width: int, height: int) -> bool:
    """True if some video gives that many frames of that size by the spec.

    >>> spec = FrameSpec(choose=Evenly(8), size=Square(336))
    >>> is_possible(spec, 8, 336, 336), is_possible(spec, 9, 336, 336), is_possible(spec, 8, 336, 337)
    (True, False, False)
    """
    counts = frame_count(spec.choose, 0.0), frame_count(spec.choose, math.inf)
    multiple = 1 if isinstance(spec.choose, Evenly | ByIndex) else spec.choose.multiple
    if not counts[0] <= num_frames <= counts[1] or num_frames % multiple:
        return False
    if isinstance(spec.size, Square):
        return width == height == spec.size.size_px
    if isinstance(spec.size, Stretch):
        return (width, height) == (spec.size.width_px, spec.size.height_px)
    step = spec.size.multiple_px
    return (
        min(width, height) >= step
        and not width % step
        and not height % step
        and width * height <= most_pixels(spec.size, num_frames)
    )


def most_pixels(size: KeepAspect, num_frames: int = 1) -> int:
    """The largest picture that KeepAspect gives: max_pixels, unless the aspect or the multiple leaves no smaller one.

    >>> most_pixels(KeepAspect(min_pixels=65_536, max_pixels=602_112, multiple_px=28))
    602112
    """
    step = size.multiple_px
    one_row = step * math.sqrt(MAX_ASPECT * pixels_of_a_frame(size, num_frames))  # the shorter side cannot go below one multiple
    # both sides rounded up: (w + step)(h + step), where w h = min_pixels and w + h is largest at MAX_ASPECT
    sides = math.sqrt(size.min_pixels) * (math.sqrt(MAX_ASPECT) + 1 / math.sqrt(MAX_ASPECT))
    rounded_up = size.min_pixels + step * sides + step**2
    return int(max(pixels_of_a_frame(size, num_frames), one_row, rounded_up))
