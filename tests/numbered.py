"""Videos whose frames carry their number, in every container and codec at hand, and which frame is on screen when.

A number is 12 grey blocks, 4 across and 3 down: bit b is at row b // 4, column b % 4, and bright where it is 1.
"""

import bisect
import io
import os
import random
import subprocess
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from builders import LIMITS
from engine.decode.frames import moments
from engine.decode.read import read
from engine.decode.request import Frames, Request, Unusable
from models.base import Evenly, FrameSpec, KeepAspect

RATE = 25
SPEC = FrameSpec(choose=Evenly(4), size=KeepAspect(min_pixels=48 * 36, max_pixels=128 * 128, multiple_px=4))


@dataclass(frozen=True)
class Pair:
    """A container and a codec: Pair("mkv", "libx264", {"g": "12"})."""

    suffix: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    pix_fmt: str = "yuv420p"
    format: str | None = None
    muxer: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (64, 48)
    is_by_order: bool = False
    """The container has no presentation times: the n-th frame is shown at n / RATE."""
    name: str = ""
    gap_frames: int = 0
    """The second half is shown so many frames later, and nothing new is shown meanwhile."""

    def __str__(self) -> str:
        return f"{self.suffix} {self.codec}{f' {self.name}' if self.name else ''}"


B = {"g": "12", "bf": "2"}
G = {"g": "12"}
OPEN = {"g": "12", "bf": "2", "x264-params": "open-gop=1:scenecut=0"}
HEVC = {"x265-params": "keyint=12:min-keyint=12:log-level=none"}
HEVC_OPEN = {"x265-params": "keyint=12:min-keyint=12:open-gop=1:bframes=3:log-level=none"}
INTRA_REFRESH = {"g": "12", "intra-refresh": "1", "bf": "0"}
JPEG = "yuvj420p"
PAIRS = [
    Pair("mp4", "libx264", B),
    Pair("mp4", "libx264", OPEN, name="open"),
    Pair("mp4", "libx264", INTRA_REFRESH, name="intra refresh"),
    Pair("mp4", "libx264", {"g": "250"}, name="one keyframe"),
    Pair("mp4", "libx264", B, muxer={"movflags": "frag_keyframe+empty_moov"}, name="fragmented"),
    Pair("mp4", "libx264", B, "yuv422p10le", name="10 bit"),
    Pair("mp4", "libx265", HEVC),
    Pair("mp4", "libx265", HEVC_OPEN, name="open"),
    Pair("mp4", "mpeg4", B),
    Pair("mp4", "mpeg2video", B),
    Pair("mp4", "libvpx-vp9", G),
    Pair("mp4", "mjpeg", pix_fmt=JPEG),
    Pair("mp4", "libsvtav1", G),
    Pair("mov", "prores_ks", pix_fmt="yuv422p10le"),
    Pair("mov", "rawvideo", pix_fmt="rgb24"),
    Pair("mov", "png", pix_fmt="rgb24"),
    Pair("mov", "libx264", OPEN),
    Pair("mov", "dvvideo", size=(720, 576)),
    Pair("3gp", "h263", G, size=(176, 144)),
    Pair("3gp", "mpeg4", G),
    Pair("mkv", "libx264", OPEN),
    Pair("mkv", "libx264", INTRA_REFRESH, name="intra refresh"),
    Pair("mkv", "libx265", HEVC_OPEN),
    Pair("mkv", "mpeg4", B),
    Pair("mkv", "mpeg2video", B),
    Pair("mkv", "mpeg1video", G),
    Pair("mkv", "msmpeg4", G),
    Pair("mkv", "libvpx", G | {"auto-alt-ref": "1", "lag-in-frames": "10"}, name="hidden references"),
    Pair("mkv", "libsvtav1", G),
    Pair("mkv", "mjpeg", pix_fmt=JPEG),
    Pair("webm", "libvpx", G),
    Pair("webm", "libvpx-vp9", G),
    Pair("webm", "libvpx", G, muxer={"live": "1"}, name="no index"),
    Pair("avi", "mpeg4", G, is_by_order=True),
    Pair("avi", "mpeg4", B, is_by_order=True, name="B"),
    Pair("avi", "libx264", B, is_by_order=True),
    Pair("avi", "mjpeg", pix_fmt=JPEG, is_by_order=True),
    Pair("avi", "msmpeg4", G, is_by_order=True),
    Pair("avi", "msmpeg4v2", G, is_by_order=True),
    Pair("avi", "wmv1", G, is_by_order=True),
    Pair("avi", "rawvideo", is_by_order=True),
    Pair("avi", "dvvideo", size=(720, 576), is_by_order=True),
    Pair("dv", "dvvideo", size=(720, 576)),
    Pair("ts", "libx264", OPEN),
    Pair("ts", "libx264", INTRA_REFRESH, name="intra refresh"),
    Pair("ts", "libx265", HEVC_OPEN),
    Pair("ts", "mpeg2video", B),
    Pair("m2ts", "libx264", B),
    Pair("mpg", "mpeg1video", G),
    Pair("mpg", "mpeg2video", B),
    Pair("vob", "mpeg2video", B),
    Pair("mpg", "libx264", B, is_by_order=True),
    Pair("flv", "flv", G),
    Pair("flv", "libx264", B),
    Pair("wmv", "wmv1", G, format="asf"),
    Pair("wmv", "wmv2", G, format="asf"),
    Pair("asf", "msmpeg4", G),
    Pair("asf", "libx264", B, is_by_order=True),
    Pair("ogv", "libvpx", G),
    Pair("mxf", "mpeg2video", B),
    Pair("ivf", "libvpx", G),
    Pair("ivf", "libvpx-vp9", G),
    Pair("gif", "gif", pix_fmt="rgb8"),
    Pair("apng", "apng", pix_fmt="rgb24", format="apng"),
    Pair("y4m", "wrapped_avframe"),
    Pair("h264", "libx264", B, is_by_order=True),
    Pair("hevc", "libx265", HEVC, is_by_order=True),
    Pair("m2v", "mpeg2video", B, format="mpeg2video", is_by_order=True),
    Pair("m4v", "mpeg4", B, format="m4v", is_by_order=True),
    Pair("mjpeg", "mjpeg", pix_fmt=JPEG, format="mjpeg", is_by_order=True),
    *(
        Pair(suffix, codec, options, name="gap", gap_frames=300)
        for suffix, codec, options in [
            ("ts", "libx264", B),
            ("ts", "mpeg2video", B),
            ("mpg", "mpeg2video", B),
            ("mpg", "mpeg1video", G),
            ("ogv", "libvpx", G),
            ("flv", "libx264", B),
            ("mkv", "libx264", OPEN),
            ("mp4", "libx264", B),
        ]
    ),
]


def picture(number: int, width: int = 64, height: int = 48) -> Frames:
    """uint8[H,W,3] that carries the number."""
    pixels = np.full((height, width, 3), 16, np.uint8)
    for bit in range(12):
        row, column = divmod(bit, 4)
        if number >> bit & 1:
            top, left = row * height // 3, column * width // 4
            pixels[top : (row + 1) * height // 3, left : (column + 1) * width // 4] = 235
    return pixels


def number_of(pixels: Frames) -> int:
    """The number that a picture carries, whatever its size."""
    height, width, _ = pixels.shape
    rows, columns = np.linspace(0, height, 4), np.linspace(0, width, 5)
    number = 0
    for bit in range(12):
        row, column = divmod(bit, 4)
        (top, bottom), (left, right) = rows[row : row + 2], columns[column : column + 2]
        down, across = (bottom - top) / 4, (right - left) / 4
        block = pixels[int(top + down) : int(bottom - down), int(left + across) : int(right - across)]
        number |= int(block.mean() > 128) << bit
    return number


def write_numbered(path: Path, pair: Pair, num_frames: int = 75, first: int = 0) -> Path:
    """A video of `num_frames` frames at RATE a second, whose first carries the number `first`."""
    width, height = pair.size
    with av.open(str(path), "w", format=pair.format, options=pair.muxer) as container:
        stream = container.add_stream(pair.codec, rate=RATE, options={"threads": "1"} | pair.options)
        stream.width, stream.height, stream.pix_fmt = width, height, pair.pix_fmt
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(first + number, width, height), format="rgb24")
            frame.pts = number + (pair.gap_frames if 2 * number >= num_frames else 0)
            frame.time_base = Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_pair(folder: Path, index: int) -> Path:
    """The video of PAIRS[index]."""
    path = folder / f"{index}.{PAIRS[index].suffix}"
    if PAIRS[index].codec != "libsvtav1":
        return write_numbered(path, PAIRS[index])
    # SVT-AV1 gives the thread that opens it real-time priority where it may, which all later processes would inherit
    code = f"import sys; from pathlib import Path; from numbered import *; write_numbered(Path(sys.argv[1]), PAIRS[{index}])"
    tests = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    subprocess.run([sys.executable, "-c", code, str(path)], env=os.environ | {"PYTHONPATH": tests}, check=True, timeout=60)
    return path


def full_decode(path: Path, is_by_order: bool = False) -> list[tuple[float, int]]:
    """All frames of the stream that FFmpeg chooses, decoded from the start: seconds from the file's start, and numbers."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        assert stream is not None
        frames = [(frame.pts, number_of(frame.to_ndarray(format="rgb24"))) for frame in container.decode(stream)]
        start_s = container.start_time / 1e6 if container.start_time is not None else None
        tick = float(stream.time_base)
    if is_by_order:
        return [(order / RATE, number) for order, (_, number) in enumerate(frames)]
    start_s = frames[0][0] * tick if start_s is None else start_s
    return [(pts * tick - start_s, number) for pts, number in frames]


def request(path: Path, start_s: float | None, end_s: float | None, spec: FrameSpec = SPEC, tolerance_s: float = 0.0) -> Request:
    return request_of(path.name, path.stat().st_size, start_s, end_s, spec, tolerance_s)


def request_of(
    video: str,
    size: int,
    start_s: float | None = None,
    end_s: float | None = None,
    spec: FrameSpec = SPEC,
    tolerance_s: float = 0.0,
) -> Request:
    """`size`: bytes of the file."""
    return Request(
        video=video,
        size=size,
        start_s=start_s,
        end_s=end_s,
        spec=spec,
        backend="pyav",
        jitter_seed=None,
        frame_pixels=LIMITS.frame_pixels,
        decode_pixels=LIMITS.decode_pixels,
        tolerance_s=tolerance_s,
    )


def numbers_in(path: Path, start_s: float | None = None, end_s: float | None = None) -> list[int] | str:
    """The numbers of the frames that a model watches of a window, or the kind of the failure and its detail."""
    try:
        clip = read(io.BytesIO(path.read_bytes()), request(path, start_s, end_s))
    except Unusable as failure:
        return f"{failure.kind}: {failure.detail}"
    return [number_of(frame) for frame in clip.frames]


def expected(shown: list[tuple[float, int]], start_s: float | None, end_s: float | None) -> list[int] | str:
    """The numbers on screen at the window's moments, by a full decode; "empty_window" where nothing is shown in the window."""
    times_s = [time_s for time_s, _ in shown]
    first, last = max(start_s or 0.0, times_s[0]), min(end_s if end_s is not None else 1e9, times_s[-1] + 1 / RATE)
    if first >= last:
        return "empty_window"
    at_s = moments(4, first, last)
    return [shown[max(0, bisect.bisect_right(times_s, moment_s + 1e-4) - 1)][1] for moment_s in at_s]


def random_window(rng: random.Random, length_s: float) -> tuple[float | None, float | None]:
    start_s = None if rng.random() < 0.1 else rng.uniform(0, length_s * 1.1)
    end_s = None if rng.random() < 0.15 else (start_s or 0.0) + rng.uniform(0.03, length_s * rng.choice((0.1, 0.5, 1.2)))
    return start_s, end_s


def count_wrong(path: Path, pair: Pair, num_windows: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Windows of the video that give other frames than a full decode, and those that are refused though frames are shown."""
    shown = full_decode(path, pair.is_by_order)
    assert [number for _, number in shown] == list(range(len(shown))), f"{pair}: the full decode itself is wrong"
    rng, wrong, refused = random.Random(seed), list[str](), list[str]()
    for _ in range(num_windows):
        window = random_window(rng, shown[-1][0])
        right, given = expected(shown, *window), numbers_in(path, *window)
        if isinstance(given, str) and not (isinstance(right, str) and given.startswith(right)):
            refused.append(f"{pair} {window}: {given}")
        elif given != right and not isinstance(given, str):
            wrong.append(f"{pair} {window}: {given}, not {right}")
    return wrong, refused
