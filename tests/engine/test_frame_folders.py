"""Pins that a folder of numbered JPEG pictures is decoded as a video of the rate that its name says, and others are Failures."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import fsspec
import numpy as np
import pytest

from builders import LIMITS, a_clip
from engine.decode.decoder import ChildDecoder, ClipRead
from engine.decode.frame_folder import frame_folder
from engine.decode.request import Backend
from engine.rows import Failure
from engine.store.filesystems import Storage
from models.base import Evenly, FrameSpec, Square

SPEC = FrameSpec(choose=Evenly(4), size=Square(32))


def jpeg(number: int) -> bytes:
    """A picture that is uniformly grey number * 5."""
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 64, 48, "yuvj420p", Fraction(1)
    frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 5, np.uint8), format="rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode()])


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Twelve pictures, which at three a second are four seconds; and a file that is none."""
    folder = tmp_path / "castle_s01"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number + 1:05d}.jpg").write_bytes(jpeg(number))
    (folder / "notes.txt").write_text("none")
    return folder


def read(video: str, backend: Backend = "pyav", read_bytes: int = LIMITS.read_bytes, **window: Any) -> ClipRead | Failure:
    with ChildDecoder(Storage(), replace(LIMITS, read_bytes=read_bytes), backend) as decoder:
        return decoder.decode(a_clip(video=video, **window), SPEC)


def numbers(result: ClipRead | Failure) -> list[int]:
    assert isinstance(result, ClipRead), result
    return [round(float(frame.mean()) / 5) for frame in result.video.frames]


@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_a_folder_of_pictures_is_a_video(frames: Path, backend: Backend) -> None:
    whole = read(f"{frames}#fps=3", backend)
    assert numbers(whole) == [1, 4, 7, 10]
    assert isinstance(whole, ClipRead)
    assert whole.video.times_s == pytest.approx((1 / 3, 4 / 3, 7 / 3, 10 / 3), abs=2e-3)
    assert numbers(read(f"{frames}#fps=3", backend, start_s=1.0, end_s=3.0)) == [3, 5, 6, 8]
    assert numbers(read(f"{frames}#fps=6", backend, start_s=1.0)) == [6, 8, 9, 11]


def test_its_version_is_that_of_all_pictures(frames: Path) -> None:
    before, num_bytes = read(f"{frames}#fps=3"), sum(path.stat().st_size for path in frames.glob("*.jpg"))
    (frames / "00012.jpg").write_bytes(jpeg(40))
    after = read(f"{frames}#fps=3")
    assert isinstance(before, ClipRead)
    assert isinstance(after, ClipRead)
    assert before.etag != after.etag
    assert before.bytes_read == num_bytes


def test_a_folder_in_an_object_store(frames: Path) -> None:
    memory = fsspec.filesystem("memory")
    for path in frames.glob("*.jpg"):
        memory.pipe_file(f"/tvqa/castle_s01/{path.name}", path.read_bytes())
    assert numbers(read("memory://tvqa/castle_s01#fps=3")) == [1, 4, 7, 10]


def test_what_is_no_folder_of_pictures_is_a_failure(frames: Path, tmp_path: Path) -> None:
    missing = read(f"{tmp_path}/other#fps=3")
    assert isinstance(missing, Failure)
    assert missing.kind == "missing"
    (tmp_path / "empty").mkdir()
    empty = read(f"{tmp_path}/empty#fps=3")
    assert isinstance(empty, Failure)
    assert empty.kind == "missing"
    plain = read(str(frames))
    assert isinstance(plain, Failure)
    assert plain.kind == "missing"
    large = read(f"{frames}#fps=3", read_bytes=1000)
    assert isinstance(large, Failure)
    assert large.kind == "unreadable"
    assert "limits.read_bytes" in large.detail
    (frames / "00002.jpg").write_bytes(b"no picture")
    broken = read(f"{frames}#fps=3")
    assert isinstance(broken, Failure)
    assert broken.kind == "codec"


def test_only_names_with_a_rate_are_folders(tmp_path: Path) -> None:
    assert frame_folder("/v/a#fps=29.97") == ("/v/a", Fraction("29.97"))
    assert [frame_folder(name) for name in ("/v/a#fps=0", "/v/a#fps=", "/v/a.mp4", "/v/a#fps=3.mp4")] == [None] * 4
