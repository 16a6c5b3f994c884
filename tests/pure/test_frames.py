"""Pins which frames a model watches and in which size: Qwen-VL's numbers, and what a parent believes of its child's frames."""

import ast
import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.decode.frames import (
    choose,
    display_size,
    frame_count,
    has_begun,
    is_possible,
    moments,
    most_pixels,
    second_in_clip,
    window,
)
from engine.decode.request import Request
from models.base import Evenly, FrameSpec, KeepAspect, PerSecond, Square, Stretch

QWEN = KeepAspect(min_pixels=65_536, max_pixels=602_112, multiple_px=28)
WIDE = Stretch(height_px=240, width_px=320)
TIGHT = KeepAspect(min_pixels=4_000, max_pixels=4_096, multiple_px=32)
SIZES = [(w, h) for w in (2, 13, 64, 176, 320, 333, 1280, 1920, 3840) for h in (2, 35, 64, 144, 240, 721, 1080, 2160)]


def test_a_number_of_frames_for_a_length() -> None:
    qwen = PerSecond(rate=2.0, min_frames=4, max_frames=768, multiple=2)
    lengths_s = [0.0, 1.0, 2.0, 2.4, 2.6, 2.999, 3.0, 7.99, 8.0, 383.0, 384.0, 3600.0, float("inf")]
    assert [frame_count(qwen, length_s) for length_s in lengths_s] == [4, 4, 4, 4, 4, 4, 6, 14, 16, 766, 768, 768, 768]
    assert frame_count(qwen, 3.3 - 0.3) == 6, "2.9999999999999996 s"
    assert frame_count(PerSecond(rate=0.5, min_frames=1, max_frames=9), 7.0) == 3
    assert frame_count(PerSecond(rate=1.0, min_frames=1, max_frames=9, multiple=4), 1.0) == 4, "never less than one multiple"
    assert frame_count(PerSecond(rate=1.0, min_frames=4, max_frames=9, multiple=4), 60.0) == 8, "never more than max_frames"
    assert frame_count(Evenly(16), 0.1) == frame_count(Evenly(16), 3600.0) == 16


def test_moments_are_mid_points_or_random_moments_of_equal_parts() -> None:
    assert moments(4, 2.0, 4.0) == [2.25, 2.75, 3.25, 3.75]
    drawn = moments(4, 2.0, 4.0, jitter_seed=7)
    assert drawn == moments(4, 2.0, 4.0, jitter_seed=7) != moments(4, 2.0, 4.0, jitter_seed=8)
    assert all(2.0 + 0.5 * i <= moment_s < 2.5 + 0.5 * i for i, moment_s in enumerate(drawn))


def test_the_frame_on_screen() -> None:
    assert choose([0.0, 0.5, 0.9], [0.49, 0.49995, 0.5, 0.8, 5.0]) == [0, 1, 1, 1, 2]
    assert (has_begun(0.5, 0.49995), has_begun(0.5, 0.4)) == (True, False)
    assert window(1.0, None, 0.0, 4.0) == (1.0, 4.0)
    assert window(1.0, None, 3.0, 4.0) == (3.0, 4.0), "the sound begins first"


def test_seconds_of_a_frame_count_from_the_clip_s_start() -> None:
    assert second_in_clip(1801.04, 1801.0) == 0.04
    assert second_in_clip(1800.96, 1801.0) == 0.0, "on screen when the window starts"
    assert second_in_clip(1.04, None) == 1.04


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1920, 1080, (1008, 560)),
        (1080, 1920, (560, 1008)),
        (1280, 720, (1008, 560)),
        (640, 480, (644, 476)),
        (320, 240, (308, 252)),
        (64, 64, (280, 280)),
        (2, 2, (280, 280)),
        (3840, 2160, (1008, 560)),
        (2048, 16, (2912, 28)),
        (64, 8000, (56, 8008)),
    ],
)
def test_sizes_that_keep_the_aspect(width: int, height: int, expected: tuple[int, int]) -> None:
    assert display_size(QWEN, width, height) == expected


def published_rule() -> Callable[..., tuple[int, int]]:
    """transformers' own smart_resize, out of its file: importing that needs torchvision."""
    package = importlib.util.find_spec("transformers")
    assert package is not None
    path = Path(package.origin or "").parent / "models/qwen2_vl/image_processing_qwen2_vl.py"
    functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    (function,) = (node for node in functions if node.name == "smart_resize")
    names: dict[str, Any] = {"math": math}
    exec(compile(ast.Module([function], []), str(path), "exec"), names)
    rule: Callable[..., tuple[int, int]] = names["smart_resize"]
    return rule


@pytest.mark.parametrize("size", [QWEN, TIGHT, KeepAspect(min_pixels=3136, max_pixels=1_003_520, multiple_px=32)])
def test_sizes_are_those_of_transformers(size: KeepAspect) -> None:
    smart_resize = published_rule()
    for width, height in SIZES:
        if max(width, height) > 200 * min(width, height):
            with pytest.raises(ValueError, match="more than 200 times the other"):
                display_size(size, width, height)
            continue
        rows, columns = smart_resize(height, width, size.multiple_px, size.min_pixels, size.max_pixels)
        assert display_size(size, width, height) == (columns, rows)


@pytest.mark.parametrize("size", [QWEN, TIGHT, KeepAspect(min_pixels=1, max_pixels=1, multiple_px=28), Square(336), WIDE])
def test_every_size_that_is_given_is_possible(size: KeepAspect | Square | Stretch) -> None:
    spec = FrameSpec(choose=Evenly(2), size=size)
    for width in (*range(1, 60), 100, 333, 640, 1279, 4096, 8192):
        for height in (*range(1, 60), 100, 333, 640, 1279, 4096, 8192):
            if max(width, height) <= 200 * min(width, height):
                assert is_possible(spec, 2, *display_size(size, width, height))


def test_what_is_not_possible() -> None:
    assert not is_possible(FrameSpec(choose=Evenly(2), size=WIDE), 2, 240, 320)
    assert most_pixels(QWEN) == 602_112
    spec = FrameSpec(choose=PerSecond(rate=2.0, min_frames=4, max_frames=768, multiple=2), size=QWEN)
    assert is_possible(spec, 768, 1008, 560)
    for num_frames, width, height in [
        (770, 1008, 560),
        (2, 1008, 560),
        (5, 1008, 560),
        (-4, 1008, 560),
        (4, 1008, 561),
        (4, 1009, 560),
        (4, 1120, 560),
        (4, 0, 560),
        (4, -28, -28),
    ]:
        assert not is_possible(spec, num_frames, width, height), (num_frames, width, height)


@pytest.mark.parametrize("choose_by", [Evenly(8), PerSecond(rate=1.5, min_frames=2, max_frames=9, multiple=2)])
@pytest.mark.parametrize("size", [Square(336), WIDE, QWEN])
def test_a_request_travels_as_json(choose_by: Evenly | PerSecond, size: Square | Stretch | KeepAspect) -> None:
    request = Request(
        video="s3://b/a.mp4",
        size=12,
        start_s=None,
        end_s=2.5,
        spec=FrameSpec(choose=choose_by, size=size, augment=True),
        backend="pyav",
        jitter_seed=3,
        frame_pixels=5,
        decode_pixels=7,
    )
    assert Request.from_json(request.to_json()) == request


@pytest.mark.parametrize(("num_frames", "expected"), [(2, (3840, 2176)), (20, (1472, 832)), (240, (416, 224))])
def test_a_bound_on_all_frames_makes_more_of_them_smaller(num_frames: int, expected: tuple[int, int]) -> None:
    """Qwen3-VL's rule: its processor would make the same of them once more."""
    size = KeepAspect(min_pixels=1024, max_pixels=25_165_824, multiple_px=32, of_all_frames=True)
    width, height = display_size(size, 3840, 2160, num_frames)
    assert width * height * num_frames <= 25_165_824
    spec = FrameSpec(choose=Evenly(num_frames), size=size)
    assert is_possible(spec, num_frames, width, height)
    assert (width, height) == expected
    assert num_frames == 2 or not is_possible(spec, num_frames, 3840, 2176)
