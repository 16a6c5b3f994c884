"""Pins that the second which a model reads of a frame is the one at which it is shown, by that model's own rule: 10,000 of them.

The files have constant and variable frame rates, and one is marked to be turned; windows begin and end anywhere.
"""

import bisect
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import LIMITS, a_clip
from engine.decode.decoder import ChildDecoder, ClipRead
from engine.store.filesystems import Storage
from models.base import Evenly, FrameSpec, KeepAspect, Turn, Video
from models.frames import metadata_of
from models.native.loading import processor_of
from models.native.processing import NativeProcessor
from native.architectures import a_checkpoint
from videos import turn, write_counting

SPEC = FrameSpec(choose=Evenly(16), size=KeepAspect(min_pixels=1024, max_pixels=4096, multiple_px=2))
WINDOWS = 27
"""Of each file."""


def minutes(seconds: float) -> str:
    return f"{int(seconds // 60):02d}:{int(seconds % 60):02d}"


def pairs(times_s: Sequence[float]) -> list[float]:
    return [(first + second) / 2 for first, second in zip(times_s[::2], times_s[1::2], strict=True)]


Rule = Callable[[Sequence[float]], list[str]]
RULES: dict[str, tuple[str, Rule]] = {
    "qwen3_vl": (r"<([\d.]+) seconds>", lambda times: [f"{time:.1f}" for time in pairs(times)]),
    "qwen3_5": (r"<([\d.]+) seconds>", lambda times: [f"{time:.1f}" for time in pairs(times)]),
    "glm46v": (r"([\d.]+) seconds", lambda times: [f"{time:.1f}" for time in times[::2]]),
    "glm4v": (r"<\|end_of_image\|>(\d+)", lambda times: [str(int(time)) for time in times[::2]]),
    "smolvlm": (r"Frame from (\d+:\d+):", lambda times: [minutes(time) for time in times]),
    "gemma4": (r"(\d+:\d+) <start_of_image>", lambda times: [minutes(time) for time in times]),
    "molmo2": (r"([\d.]+) <frame_start>", lambda times: [f"{time:.1f}" for time in times]),
    "video_llama_3": (r"Time ([\d.]+)s:", lambda times: [f"{time:.1f}" for time in times]),
}
"""How a model writes seconds, and what it writes of the shown frames' true times."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Video, list[float]]]:
    """Decoded windows of four files, and the seconds at which their frames are shown, found in the times that were written."""
    folder, rng = tmp_path_factory.mktemp("files"), random.Random(0)
    uneven = [0]
    while uneven[-1] < 200_000:
        uneven.append(uneven[-1] + rng.choice([33, 40, 101, 450, 1999]))
    files = {
        "constant.mp4": [number * 40 for number in range(700)],
        "variable.mp4": uneven,
        "variable.mkv": [number * 33 + number % 7 for number in range(600)],
    }
    paths = {write_counting(folder / name, times_ms): times_ms for name, times_ms in files.items()}
    paths[turn((folder / "constant.mp4").read_bytes(), folder / "turned.mp4")] = files["constant.mp4"]
    decoded = []
    with ChildDecoder(Storage(), LIMITS) as decoder:
        for path, times_ms in paths.items():
            for _ in range(WINDOWS):
                start_s, end_s = sorted(rng.uniform(0, times_ms[-1] / 1000) for _ in range(2))
                read = decoder.decode(a_clip(video=str(path), start_s=start_s, end_s=end_s), SPEC)
                assert isinstance(read, ClipRead), read
                decoded.append((read.video, shown(times_ms, start_s, end_s)))
    return decoded


def shown(times_ms: Sequence[int], start_s: float, end_s: float) -> list[float]:
    """Seconds since the window's start of the frames on screen in the middle of each of its 16 equal parts."""
    middles = [start_s + (end_s - start_s) * (part + 0.5) / 16 for part in range(16)]
    frames = [times_ms[bisect.bisect_right(times_ms, middle * 1000 + 0.1) - 1] / 1000 for middle in middles]
    return [max(0.0, round(time_s - start_s, 6)) for time_s in frames]


@pytest.fixture(scope="module")
def wrong_and_all() -> dict[str, list[int]]:
    return {}


@pytest.mark.parametrize("kind", sorted(RULES))
def test_no_second_is_wrong(
    kind: str, clips: list[tuple[Video, list[float]]], wrong_and_all: dict[str, list[int]], tmp_path: Path
) -> None:
    processor = processor_of(a_checkpoint(kind, tmp_path))
    pattern, rule = RULES[kind]
    counts = [0, 0]
    for video, times_s in clips:
        prompt = processor.answer_text(processor.prompt_ids("what ?", video))
        written, expected = re.findall(pattern, prompt), rule(times_s)
        assert len(written) == len(expected)
        counts[0] += sum(own != true for own, true in zip(written, expected, strict=True))
        counts[1] += len(written)
    wrong_and_all[kind] = counts
    assert counts[0] == 0


def test_qwen2_5_counts_in_seconds_of_the_frames_own_rate(clips: list[tuple[Video, list[float]]], tmp_path: Path) -> None:
    processor: NativeProcessor = processor_of(a_checkpoint("qwen2_5_vl", tmp_path))
    chat = processor.sample_chat([Turn(0, "what ?", "")])
    for video, times_s in clips[::4]:
        inputs: dict[str, Any] = processor.inputs([chat], [[video]])
        apart = (times_s[-1] - times_s[0]) / 15 or 1.0
        assert abs(float(inputs["second_per_grid_ts"][0]) - 2 * apart) < 1e-4


def test_ten_thousand_seconds_were_looked_at(wrong_and_all: dict[str, list[int]]) -> None:
    assert sum(count for _, count in wrong_and_all.values()) >= 10_000 or len(wrong_and_all) < len(RULES)


def test_a_still_picture_has_one_second_and_a_rate() -> None:
    metadata = metadata_of(Video(np.zeros((4, 2, 2, 3), np.uint8), (0.0,) * 4))
    assert (metadata["frames_indices"], metadata["duration"]) == ([0, 0, 0, 0], 4.0)
