"""Pins that ByIndex shows the frames of those numbers in every container, by their count and not by their times; PLLaVA's rule."""

import io
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.decode.frames import numbered_window, numbers
from engine.decode.read import ClipFrames, read
from engine.decode.request import Unusable
from models.base import ByIndex, FrameSpec, Square
from numbered import PAIRS, RATE, Pair, number_of, picture, request, write_pair

SPEC = FrameSpec(choose=ByIndex(6), size=Square(48))
VARIABLE = [
    Pair("mp4", "libx264", {"g": "12", "bf": "3"}),
    Pair("mp4", "libx264", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}, name="open"),
    Pair("mkv", "libx264", {"g": "12", "bf": "3"}),
    Pair("mkv", "libvpx", {"g": "12"}),
    Pair("ts", "libx264", {"g": "12", "bf": "3"}),
]


def published(start_s: float | None, end_s: float | None, count: int, rate: float, num_frames: int) -> list[int]:
    """PLLaVA's numbers, by the description of its code in other words: halves and rounding as numpy's."""
    first, last = (
        (max(0, round(start_s * rate)), min(round((end_s or 1e5) * rate), count - 1)) if start_s is not None else (0, count - 1)
    )
    part = (last - first) / num_frames
    return [int(first + part / 2 + round(part * place)) for place in range(num_frames)]


def shown(path: Path, start_s: float | None = None, end_s: float | None = None) -> tuple[list[int], ClipFrames]:
    clip = read(io.BytesIO(path.read_bytes()), request(path, start_s, end_s, SPEC))
    return [number_of(frame) for frame in clip.frames], clip


@pytest.mark.parametrize("index", range(len(PAIRS)), ids=lambda index: str(PAIRS[index]))
def test_the_numbers_are_those_of_the_frames_in_every_container(tmp_path: Path, index: int) -> None:
    path = write_pair(tmp_path, index)
    assert shown(path)[0] == published(None, None, 75, RATE, 6)


def test_spread_frames_are_linspaces_in_training_too(tmp_path: Path) -> None:
    """EILEV's: floor(linspace(0, T - 1, 8)) of the clip's T frames, whose first and last are shown."""
    path = write_pair(tmp_path, 0)
    for start_s, end_s in ((None, None), (0.4, 2.0)):
        first, last = round((start_s or 0) * RATE), min(74, round((end_s or 9) * RATE))
        for seed in (None, 7):
            asked = replace(request(path, start_s, end_s, replace(SPEC, choose=ByIndex(8, spread=True))), jitter_seed=seed)
            clip = read(io.BytesIO(path.read_bytes()), asked)
            expected = first + np.floor(np.linspace(0, last - first, 8)).astype(int)
            assert [number_of(frame) for frame in clip.frames] == expected.tolist()


def write_variable(path: Path, pair: Pair, num_frames: int, noise: int = 1) -> list[float]:
    """A video with frames at random seconds; returns these. Noise makes the file large."""
    rng, ticks, pixels = random.Random(5), [0], np.random.default_rng(0)
    while len(ticks) < num_frames:
        ticks.append(ticks[-1] + rng.choice((20, 40, 40, 70, 300)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(pair.codec, rate=RATE, options={"threads": "1"} | pair.options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pair.pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, tick in enumerate(ticks):
            noisy = picture(number) + pixels.integers(0, noise, (48, 64, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(noisy, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return [tick / 1000 for tick in ticks]


@pytest.mark.parametrize("pair", VARIABLE, ids=str)
def test_a_variable_frame_rate_is_counted_and_each_frame_keeps_its_true_second(tmp_path: Path, pair: Pair) -> None:
    path = tmp_path / f"a.{pair.suffix}"
    times_s = write_variable(path, pair, 130)
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate or 25)
    for window in [(None, None), (2.0, 6.5), (0.5, 1.0), (3.0, 100.0)]:
        expected = published(*window, 130, rate, 6)
        given, clip = shown(path, *window)
        assert given == expected, window
        seconds = [max(0.0, times_s[number] - (window[0] or 0.0)) for number in expected]
        assert clip.times_s == pytest.approx(seconds, abs=2e-3), window


def test_of_a_long_video_only_what_the_window_needs_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_variable(path, Pair("mp4", "libx264", {"g": "12", "bf": "3", "crf": "1"}), 600, noise=20)
    data = path.read_bytes()

    class Counted(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1) -> bytes:
            piece = super().read(size)
            self.count += len(piece)
            return piece

    file = Counted(data)
    few = replace(request(path, 20.0, 22.0, SPEC), decode_pixels=64 * 48 * 120)
    assert len(read(file, few).frames) == 6
    assert len(data) > 1_000_000
    assert file.count < len(data) / 2


def test_a_window_past_the_end_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_variable(path, VARIABLE[0], 20)
    with pytest.raises(Unusable) as caught:
        shown(path, 1000.0, 1001.0)
    assert (caught.value.kind, "none of them in 1000 to 1001 s" in caught.value.detail) == ("empty_window", True)


def test_a_cut_file_is_truncated(tmp_path: Path) -> None:
    for pair in (VARIABLE[0], VARIABLE[2]):
        path = tmp_path / f"a.{pair.suffix}"
        write_variable(path, Pair(pair.suffix, pair.codec, pair.options), 130)
        data = path.read_bytes()
        half = tmp_path / f"half.{pair.suffix}"
        half.write_bytes(data[: len(data) * 3 // 4])
        with pytest.raises(Unusable) as caught:
            shown(half)
        assert caught.value.kind in ("truncated", "invalid", "not_video"), caught.value.detail


def test_numbers() -> None:
    rng = random.Random(0)
    for _ in range(300):
        count, rate = rng.randint(1, 3000), rng.choice((12.5, 23.976, 25.0, 29.97, 60.0))
        start = rng.choice((None, rng.uniform(0, count / rate)))
        end = None if start is None else start + rng.uniform(0.05, count / rate)
        span = numbered_window(start, end, count, rate)
        if span is not None:
            assert numbers(16, *span) == published(start, end, count, rate, 16)
            drawn = numbers(16, *span, jitter_seed=3)
            assert drawn == sorted(drawn)
            assert span[0] <= drawn[0] <= drawn[-1] <= span[1]
    assert numbers(8, 0, 79, jitter_seed=1) != numbers(8, 0, 79, jitter_seed=2)
    assert [number // 10 for number in numbers(8, 0, 79, jitter_seed=1)] == list(range(8)), "one of each part"
