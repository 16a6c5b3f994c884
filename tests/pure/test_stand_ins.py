"""Pins which keyframes stand in for moments: within tolerance and window, each once, in order, groups of pictures as a whole."""

import bisect
import random

from engine.decode.frames import ROUNDING_S, moments
from engine.decode.stand_ins import stand_ins

STEP_S = 0.04


def test_a_group_that_is_decoded_anyway_is_exact() -> None:
    keyframes_s = [0.0, 2.0, 4.0]
    assert stand_ins([0.1, 1.0], keyframes_s, 0.2, STEP_S, (0.0, 6.0)) == [None, None], "the first group is decoded up to 1.0 s"
    assert stand_ins([0.1, 1.9], keyframes_s, 0.2, STEP_S, (0.0, 6.0)) == [0, 1], "both ends have one, and nothing is between"
    assert stand_ins([0.1, 3.0], keyframes_s, 0.2, STEP_S, (0.0, 6.0)) == [0, None]


def test_where_the_own_frame_is_a_keyframe_it_is_shown() -> None:
    """All frames are keyframes: the one on screen is as cheap as the nearest."""
    keyframes_s = [n * STEP_S for n in range(100)]
    assert stand_ins([0.079, 0.119, 2.0], keyframes_s, 1.0, STEP_S, (0.0, 4.0)) == [1, 2, 50]


def test_without_keyframes_or_within_a_window_without_them() -> None:
    assert stand_ins([0.1, 1.0], [], 9.0, STEP_S, (0.0, 6.0)) == [None, None]
    assert stand_ins([0.7, 1.0], [0.0, 2.0], 9.0, STEP_S, (0.5, 1.5)) == [None, None]


def test_random_ones() -> None:
    rng, replaced = random.Random(0), 0
    for _ in range(300):
        keyframes_s = sorted(rng.uniform(0, 20) for _ in range(rng.choice((0, 1, 5, 40))))
        start_s = rng.uniform(0, 10)
        window_s, tolerance_s = (start_s, start_s + rng.uniform(0.1, 10)), rng.choice((0.05, 0.5, 4.0))
        moments_s = moments(rng.choice((1, 4, 16)), *window_s, jitter_seed=rng.choice((None, 3)))
        chosen = stand_ins(moments_s, keyframes_s, tolerance_s, STEP_S, window_s)
        own = [bisect.bisect_right(keyframes_s, moment_s + ROUNDING_S) for moment_s in moments_s]
        shown_s = [m if k is None else keyframes_s[k] for m, k in zip(moments_s, chosen, strict=True)]
        used = [keyframe for keyframe in chosen if keyframe is not None]
        assert len({*used}) == len(used)
        assert shown_s == sorted(shown_s)
        for moment_s, keyframe, group in zip(moments_s, chosen, own, strict=True):
            if keyframe is None:
                assert all(other is None for other, its in zip(chosen, own, strict=True) if its == group)
            else:
                assert abs(keyframes_s[keyframe] - moment_s) <= tolerance_s
                assert window_s[0] <= keyframes_s[keyframe] < window_s[1]
        replaced += len(used)
    assert replaced > 200
