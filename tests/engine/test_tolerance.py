"""Pins keyframes that stand in for frames: each the true frame of the time it has, in order, within tolerance and window."""

import io
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.decode.frames import moments
from engine.decode.read import ClipFrames, read
from engine.decode.request import Unusable
from engine.decode.stage import Decoded, decode_windows, videos_of
from engine.presets import load_config
from engine.run.work import decoding_of
from models.base import Evenly, FrameSpec, PerSecond, Square
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
from videos import write_counting

SPARSE = FrameSpec(choose=Evenly(3), size=Square(48))
DENSE = FrameSpec(choose=PerSecond(rate=5.0, min_frames=2, max_frames=99), size=Square(48))
WHOLE = (None, None)


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


GROUPS_OF_50 = Pair("mp4", "libx264", {"g": "50", "bf": "2", "x264-params": "scenecut=0"})


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_sparse_choice_decodes_keyframes_alone(tmp_path: Path, suffix: str) -> None:
    """16 s, a keyframe every 2 s, three frames: three are decoded, where the exact ones take over forty."""
    path = write_numbered(tmp_path / f"a.{suffix}", GROUPS_OF_50, 400)
    clip = read(path.open("rb"), replace(request(path, *WHOLE, SPARSE, tolerance_s=0.7), decode_pixels=3 * 64 * 48))
    assert (clip.times_s, [number_of(frame) for frame in clip.frames]) == ((2.0, 8.0, 14.0), [50, 200, 350])
    with pytest.raises(Unusable, match=r"more than limits\.decode_pixels"):
        read(path.open("rb"), replace(request(path, *WHOLE, SPARSE), decode_pixels=40 * 64 * 48))


def test_the_configuration_s_tolerance_reaches_the_decoding_process(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mp4", GROUPS_OF_50, 400)
    spec = FrameSpec(choose=Evenly(4), size=Square(48))
    window = {"video": str(path), "start_s": 1.0, "end_s": 15.0, "etag": ""}
    times = dict[float, tuple[float, ...]]()
    for tolerance_s in (0.0, 0.5, 1.0):
        decoding = decoding_of(load_config(None, [f"model.frame_tolerance_s={tolerance_s}"]))
        decoded = videos_of(decode_windows({"windows": json.dumps([window]), "jitter_seeds": "[null]"}, spec, decoding))[0]
        assert isinstance(decoded, Decoded), decoded
        shown = decoded.video
        assert [number_of(frame) for frame in shown.frames] == [round((time_s + 1.0) * RATE) for time_s in shown.times_s]
        times[tolerance_s] = shown.times_s
    assert times == {0.0: (1.72, 5.24, 8.72, 12.24), 0.5: (1.72, 5.0, 9.0, 12.24), 1.0: (1.0, 5.0, 9.0, 13.0)}


@pytest.mark.parametrize("tolerance_s", [0.3, 5.0])
def test_a_dense_choice_stays_exact(tmp_path: Path, tolerance_s: float) -> None:
    """More moments than keyframes: every group of pictures is decoded anyway."""
    path = write_numbered(tmp_path / "a.mp4", GROUPS_OF_50, 200)
    exact, given = watched(path, WHOLE, DENSE), watched(path, WHOLE, DENSE, tolerance_s)
    assert isinstance(exact, ClipFrames)
    assert isinstance(given, ClipFrames)
    assert given.times_s == exact.times_s
    assert np.array_equal(given.frames, exact.frames)


def test_streams_whose_index_is_wrong_are_exact(tmp_path: Path) -> None:
    """Packets that the index calls keyframes and that are none; recovery points; interlaced frames."""
    no_table = write_numbered(tmp_path / "a.mp4", GROUPS_OF_50, 200)
    no_table.write_bytes(no_table.read_bytes().replace(b"stss", b"free"))
    refresh = Pair("mp4", "libx264", {"g": "20", "intra-refresh": "1", "bf": "2"}, size=(128, 96))
    interlaced = Pair("mp4", "libx264", {"g": "20", "flags": "+ilme+ildct"})
    paths = [
        no_table, write_numbered(tmp_path / "b.mp4", refresh, 150), write_numbered(tmp_path / "c.mp4", interlaced, 150)
    ]  # fmt: skip
    for path in paths:
        assert wrong_in(path, refresh, num_windows=10) == []
        exact, given = watched(path, (0.5, 5.5)), watched(path, (0.5, 5.5), tolerance_s=0.4)
        assert isinstance(exact, ClipFrames)
        assert isinstance(given, ClipFrames)
        assert given.times_s == exact.times_s, path


def test_a_variable_rate_and_a_still_stretch(tmp_path: Path) -> None:
    """A frame that stays on screen is shown for all moments that it is the frame of, and no keyframe takes another one's place."""
    rng = random.Random(0)
    times_ms = [0]
    for _ in range(99):
        times_ms.append(times_ms[-1] + rng.choice((20, 40, 40, 40, 200, 3000)))
    number_at = {round(ms / 1000, 3): number * 5 % 250 for number, ms in enumerate(times_ms)}
    for suffix in ("mp4", "mkv"):
        path = write_counting(tmp_path / f"a.{suffix}", times_ms)
        for _ in range(15):
            window, spec = (
                random_window(rng, times_ms[-1] / 1000),
                FrameSpec(choose=Evenly(rng.choice((2, 5, 12))), size=Square(32)),
            )
            exact, given = watched(path, window, spec), watched(path, window, spec, tolerance_s=1.0)
            if isinstance(exact, str) or isinstance(given, str):
                assert exact == given
                continue
            assert len({*given.times_s}) >= len({*exact.times_s})
            for time_s, exact_s, frame in zip(given.times_s, exact.times_s, given.frames, strict=True):
                if time_s != exact_s:
                    assert abs(number_at[round(time_s + (window[0] or 0.0), 3)] - frame.mean()) < 3


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_file_is_no_shorter_video(tmp_path: Path, share: float) -> None:
    path = write_numbered(tmp_path / "a.mkv", GROUPS_OF_50, 200)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert watched(path, WHOLE, SPARSE, 0.7) == watched(path, WHOLE, SPARSE) == "truncated"
