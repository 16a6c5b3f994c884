"""Pins that the right frames come out of a video, by presentation time, in both backends, and that no video is a Failure."""

import os
from pathlib import Path

import av
import numpy as np
import pytest

from builders import LIMITS, a_clip
from engine.decode.decoder import ChildDecoder, ClipRead
from engine.decode.request import Backend
from engine.rows import Clip, Failure
from engine.store.filesystems import Storage
from models.base import Evenly, FrameSpec, Square
from videos import turn, write_counting
from worlds import shapes

SPEC = FrameSpec(choose=Evenly(4), size=Square(32))
BACKENDS: list[Backend] = ["pyav", "decord"]
REAL = os.environ.get("STARLOOP_TEST_VIDEOS")


DECODERS: dict[Backend, ChildDecoder] = {backend: ChildDecoder(Storage(), LIMITS, backend) for backend in BACKENDS}


def decode(clip: Clip, spec: FrameSpec, backend: Backend = "pyav", jitter_seed: int | None = None) -> np.ndarray | Failure:
    result = DECODERS[backend].decode(clip, spec, jitter_seed)
    return result.video.frames if isinstance(result, ClipRead) else result


def numbers(frames: np.ndarray | Failure) -> list[int]:
    assert isinstance(frames, np.ndarray), frames
    return [round(float(frame.mean()) / 5) for frame in frames]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_mid_points_of_the_whole(tmp_path: Path, backend: Backend, suffix: str) -> None:
    path = write_counting(tmp_path / f"a.{suffix}", [40 * n for n in range(40)])
    assert numbers(decode(a_clip(video=str(path)), SPEC, backend)) == [5, 15, 25, 35]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_window(tmp_path: Path, backend: Backend) -> None:
    path = write_counting(tmp_path / "a.mp4", [40 * n for n in range(50)])
    assert numbers(decode(a_clip(video=str(path), start_s=1.0, end_s=1.32), SPEC, backend)) == [26, 28, 30, 32]


@pytest.mark.parametrize("backend", BACKENDS)
def test_frames_are_turned_as_they_are_to_be_shown(tmp_path: Path, backend: Backend) -> None:
    """A white left half, a quarter turn clockwise: a white top."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, :48] = 255
    with av.open(str(tmp_path / "flat.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    upright = turn((tmp_path / "flat.mp4").read_bytes(), tmp_path / "turned.mp4")
    frames = decode(a_clip(video=str(upright)), SPEC, backend)
    assert isinstance(frames, np.ndarray)
    assert frames[:, :14].min() > 200
    assert frames[:, 18:].max() < 55


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_variable_frame_rate_goes_by_time_not_by_count(tmp_path: Path, backend: Backend) -> None:
    times_ms = [*range(0, 400, 20), *range(400, 2001, 200)]  # 20 frames in 0.4 s, then 9 in 1.6 s
    path = write_counting(tmp_path / "a.mp4", times_ms)
    assert numbers(decode(a_clip(video=str(path), end_s=2.0), SPEC, backend)) == [12, 21, 24, 26]


def test_frames_are_those_of_a_full_decode_whatever_the_keyframes(tmp_path: Path) -> None:
    for gop in ("1", "7", "250"):
        path = write_counting(tmp_path / f"{gop}.mp4", [40 * n for n in range(45)], g=gop, bf="2")
        assert numbers(decode(a_clip(video=str(path), start_s=0.4, end_s=1.6), SPEC)) == [13, 21, 28, 36]


def test_jitter_stays_in_its_part_and_follows_its_seed(tmp_path: Path) -> None:
    path = write_counting(tmp_path / "a.mp4", [40 * n for n in range(40)])
    drawn = [numbers(decode(a_clip(video=str(path)), SPEC, "pyav", jitter_seed=seed)) for seed in (1, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len({tuple(d) for d in drawn}) == 3
    assert all(10 * i <= number <= 10 * i + 10 for d in drawn for i, number in enumerate(d))


def test_short_side_and_centre_crop(tmp_path: Path) -> None:
    this = shapes.scene(5, 2)
    shapes.write_video(this, tmp_path / "a.mp4")
    frames = decode(a_clip(video=str(tmp_path / "a.mp4")), FrameSpec(choose=Evenly(8), size=Square(48)))
    assert isinstance(frames, np.ndarray)
    assert frames.shape == (8, 48, 48, 3)
    assert frames.dtype == np.uint8


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("empty.mp4", b"", "not_video"),
        ("text.mp4", b"This is not a video, whatever its name says.\n" * 50, "not_video"),
        ("noise.mkv", bytes(range(256)) * 40, "not_video"),
    ],
)
def test_what_is_no_video(tmp_path: Path, backend: Backend, name: str, content: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(content)
    failure = decode(a_clip(video=str(tmp_path / name)), SPEC, backend)
    assert isinstance(failure, Failure)
    assert failure.kind == kind
    assert name in failure.detail


@pytest.mark.parametrize("backend", BACKENDS)
def test_missing_cut_short_and_empty_windows(tmp_path: Path, backend: Backend) -> None:
    whole = write_counting(tmp_path / "a.mp4", [40 * n for n in range(40)])
    (tmp_path / "half.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for clip, kind in [
        (a_clip(video=str(tmp_path / "none.mp4")), "missing"),
        (a_clip(video=str(tmp_path)), "missing"),
        (a_clip(video=str(tmp_path / "half.mp4")), "truncated"),
        (a_clip(video=str(whole), start_s=60.0, end_s=70.0), "empty_window"),
    ]:
        failure = decode(clip, SPEC, backend)
        assert isinstance(failure, Failure), kind
        assert failure.kind == kind
        assert clip.video in failure.detail


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    failure = decode(a_clip(video=str(tmp_path / "a.mp4")), SPEC)
    assert isinstance(failure, Failure)
    assert failure.kind == "no_video_stream"


@pytest.mark.skipif(REAL is None, reason="set STARLOOP_TEST_VIDEOS to a folder of real clips to decode them too")
def test_real_clips_decode_and_the_backends_agree() -> None:
    videos = sorted(path for path in Path(REAL or "").iterdir() if path.suffix in (".mp4", ".mkv", ".avi"))
    assert len(videos) >= 12
    for path in videos:
        ours = decode(a_clip(video=str(path)), SPEC, "pyav")
        assert isinstance(ours, np.ndarray), ours
        theirs = decode(a_clip(video=str(path)), SPEC, "decord")
        if path.suffix == ".avi":  # decord finds no times there, and says so instead of returning wrong frames
            assert isinstance(theirs, Failure)
            assert theirs.kind == "codec"
        else:
            assert isinstance(theirs, np.ndarray), theirs
            assert np.abs(ours.astype(int) - theirs.astype(int)).mean() < 4
