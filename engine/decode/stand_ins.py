"""Which keyframes are shown in place of the frames of moments, so that fewer frames are decoded: a pure function of seconds.

A keyframe can be decoded alone; any other frame needs all that come before it since the last keyframe (its group of pictures).
"""

import bisect
from collections.abc import Sequence

from engine.decode.frames import ROUNDING_S


def stand_ins(
    moments_s: Sequence[float], keyframes_s: Sequence[float], tolerance_s: float, step_s: float, window_s: tuple[float, float]
) -> list[int | None]:
    """For each moment the index of the keyframe that stands in for it; None where its own frame is shown.

    Both lists ascend. `step_s`: how long a frame is on screen. A keyframe stands in for a moment if it is shown within the window
    [start, end) and the tolerance, if it is the nearest one to the moment and the moment the nearest one to it, and if all moments
    of the same group of pictures have one: otherwise this group is decoded anyway. So no moment lies between another one and its
    keyframe, and frames stay in their order.

    >>> stand_ins([1.0, 3.1, 5.0, 5.2], [0.0, 2.0, 4.0], 1.0, 0.04, (0.0, 6.0))
    [0, 2, None, None]
    >>> stand_ins([1.0, 3.1], [0.0, 2.0, 4.0], 0.9, 0.04, (0.0, 6.0)), stand_ins([1.0, 3.1], [0.0, 2.0, 4.0], 1.0, 0.04, (0.5, 4.0))
    ([None, 2], [1, None])
    """
    first = bisect.bisect_left(keyframes_s, window_s[0])
    shown_s = keyframes_s[first : bisect.bisect_left(keyframes_s, window_s[1])]
    nearest = [_nearest(shown_s, moment_s, step_s) for moment_s in moments_s]
    owners: dict[int, int] = {}
    for number, (moment_s, keyframe) in enumerate(zip(moments_s, nearest, strict=True)):
        if keyframe is None or abs(shown_s[keyframe] - moment_s) > tolerance_s:
            continue
        owner = owners.setdefault(keyframe, number)
        if _distance(shown_s[keyframe], moment_s, step_s) < _distance(shown_s[keyframe], moments_s[owner], step_s):
            owners[keyframe] = number
    chosen = {number: first + keyframe for keyframe, number in owners.items()}
    groups = [bisect.bisect_right(keyframes_s, moment_s + ROUNDING_S) for moment_s in moments_s]
    decoded = {group for number, group in enumerate(groups) if number not in chosen}
    return [chosen[number] if number in chosen and group not in decoded else None for number, group in enumerate(groups)]


def _nearest(keyframes_s: Sequence[float], moment_s: float, step_s: float) -> int | None:
    """The earlier one of equals."""
    after = bisect.bisect_right(keyframes_s, moment_s)
    around = [index for index in (after - 1, after) if 0 <= index < len(keyframes_s)]
    return min(around, key=lambda index: _distance(keyframes_s[index], moment_s, step_s), default=None)


def _distance(keyframe_s: float, moment_s: float, step_s: float) -> float:
    """Seconds from the moment to the stretch in which the keyframe is on screen."""
    return keyframe_s - moment_s if moment_s < keyframe_s else max(0.0, moment_s - keyframe_s - step_s)
