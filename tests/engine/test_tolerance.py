"""Pins keyframes that stand in for frames: the true frame of the time that is told, in order, within tolerance and window, for less."""

import io
import random
from pathlib import Path

import numpy as np
import pytest

from builders import LIMITS, a_clip
from engine.decode.decoder import ChildDecoder, ClipRead
from engine.decode.frames import moments
from engine.decode.read import ClipFrames, read
from engine.decode.request import Unusable
from engine.store.filesystems import Storage
from models.base import Evenly, FrameSpec, KeepAspect, PerSecond, Square
from numbered import (
    PAIRS,
    RATE,
    SPEC,
    Pair,
    full_decode,
    number_of,
    random_window,
    request,
    write_numbered,
    write_pair,
)
from videos import write_noisy

ASPECT = SPEC.size
B = {"g": "12", "bf": "2"}
SPARSE = FrameSpec(choose=Evenly(4), size=Square(48))


def watched(
    path: Path, window: tuple[float | None, float | None], spec: FrameSpec = SPEC, tolerance_s: float = 0.0
) -> ClipFrames | str:
    try:
        return read(io.BytesIO(path.read_bytes()), request(path, *window, spec, tolerance_s))
    except Unusable as failure:
        return failure.kind


def wrong_in(path: Path, pair: Pair, num_windows: int, seed: int = 0) -> list[str]:
    """What is wrong with random windows under random tolerances, against a full decode and against the exact frames."""
    shown = full_decode(path, pair.is_by_order)
    number_at, last_s = {round(time_s, 3): number for time_s, number in shown}, shown[-1][0]
    rng, wrong = random.Random(seed), list[str]()
    for _ in range(num_windows):
        window, tolerance_s, count = random_window(rng, last_s), rng.choice((0.05, 0.2, 0.5, 3.0)), rng.choice((1, 2, 4, 11))
        spec = FrameSpec(choose=Evenly(count), size=SPEC.size)
        exact, given = watched(path, window, spec), watched(path, window, spec, tolerance_s)
        what = f"{pair} {window} {tolerance_s} {count}: "
        if isinstance(exact, str) or isinstance(given, str):
            wrong += [f"{what}{given}, not {exact}"] if given != exact else []
            continue
        start_s, end_s = window[0] or 0.0, 1e9 if window[1] is None else window[1]
        moments_s = moments(count, max(start_s, shown[0][0]), min(end_s, last_s + 1 / RATE))
        for place, (moment_s, frame) in enumerate(zip(moments_s, given.frames, strict=True)):
            time_s = given.times_s[place] + start_s
            if time_s == exact.times_s[place] + start_s:
                wrong += [] if np.array_equal(frame, exact.frames[place]) else [f"{what}other pixels at {time_s}"]
                continue
            if number_at.get(round(time_s, 3)) != number_of(frame):
                wrong.append(f"{what}{number_of(frame)} is not what is shown at {time_s}")
            if abs(time_s - moment_s) > tolerance_s + 1e-6 or not start_s <= time_s < end_s:
                wrong.append(f"{what}{time_s} in place of {moment_s}")
        if len({*given.times_s}) < len({*exact.times_s}) or list(given.times_s) != sorted(given.times_s):
            wrong.append(f"{what}{given.times_s}, exactly {exact.times_s}")
    return wrong


@pytest.mark.parametrize("index", range(0, len(PAIRS), 4), ids=lambda index: str(PAIRS[index]))
def test_random_windows_under_a_tolerance(tmp_path: Path, index: int) -> None:
    assert wrong_in(write_pair(tmp_path, index), PAIRS[index], num_windows=6) == []


@pytest.mark.slow
@pytest.mark.parametrize("index", range(len(PAIRS)), ids=lambda index: str(PAIRS[index]))
def test_many_random_windows_under_a_tolerance(tmp_path: Path, index: int) -> None:
    assert wrong_in(write_pair(tmp_path, index), PAIRS[index], num_windows=40) == []
