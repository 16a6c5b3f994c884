"""Pins that the right frames come out of a video, by presentation time, in both backends, and that no video is a Failure."""

import io
import json
import os
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from builders import DECODING, LIMITS, a_clip
from engine.decode import read, with_decord
from engine.decode.decoder import ChildDecoder, ClipRead
from engine.decode.request import Backend, Request
from engine.decode.stage import Decoded, FrameCache, decode_piece, decode_windows, videos_of
from engine.ingest.clips import path_of, write_parts
from engine.rows import Clip, Failure, Window
from engine.store.files import Store
from engine.store.filesystems import Storage
from models.base import Evenly, FrameSpec, KeepAspect, PerSecond, Square, Video
from videos import turn, write_counting
from worlds import shapes

SPEC = FrameSpec(choose=Evenly(4), size=Square(32))
ASPECT = KeepAspect(min_pixels=32 * 32, max_pixels=64 * 64, multiple_px=8)
FIVE_FPS = FrameSpec(choose=PerSecond(rate=5, min_frames=2, max_frames=100, multiple=2), size=ASPECT)
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


def video_of(clip: Clip, spec: FrameSpec, backend: Backend = "pyav", jitter_seed: int | None = None) -> Video:
    result = DECODERS[backend].decode(clip, spec, jitter_seed)
    assert isinstance(result, ClipRead), result
    assert len(result.video.frames) == len(result.video.times_s)
    return result.video


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_frame_rate_gives_mid_points_of_its_parts_and_their_times(tmp_path: Path, backend: Backend, suffix: str) -> None:
    """1.6 s at 5 a second: 8 parts of 0.2 s, the first mid-point at 0.1 s, where frame 2 (0.08 s) is on screen."""
    path = write_counting(tmp_path / f"a.{suffix}", [40 * n for n in range(40)])
    video = video_of(a_clip(video=str(path)), FIVE_FPS, backend)
    assert numbers(video.frames) == [2, 7, 12, 17, 22, 27, 32, 37]
    assert video.times_s == pytest.approx((0.08, 0.28, 0.48, 0.68, 0.88, 1.08, 1.28, 1.48), abs=0 if backend == "pyav" else 1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_frame_rate_is_of_the_window(tmp_path: Path, backend: Backend) -> None:
    """1.0..1.9 s at 5 a second: 4.5, so 4 parts of 0.225 s; times count from the window's start."""
    path = write_counting(tmp_path / "a.mp4", [40 * n for n in range(75)])
    video = video_of(a_clip(video=str(path), start_s=1.0, end_s=1.9), FIVE_FPS, backend)
    assert numbers(video.frames) == [27, 33, 39, 44]
    assert video.times_s == pytest.approx((0.08, 0.32, 0.56, 0.76), abs=0 if backend == "pyav" else 1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_variable_frame_rate_has_its_own_times(tmp_path: Path, backend: Backend) -> None:
    """Frames 0 to 19 begin every 20 ms, the others every 300 ms from 0.4 s on: frame 20 is on screen from 0.4 s to 0.7 s."""
    path = write_counting(tmp_path / "a.mp4", [*range(0, 400, 20), *range(400, 2001, 300)])
    video = video_of(a_clip(video=str(path), start_s=0.5, end_s=1.5), FIVE_FPS, backend)
    assert numbers(video.frames) == [20, 21, 22, 23], "moments 0.625, 0.875, 1.125, 1.375"
    assert video.times_s == pytest.approx((0.0, 0.2, 0.5, 0.8), abs=0 if backend == "pyav" else 1e-6), "the first began before"
    assert (video.frames[1] != video.frames[0]).any()


def test_times_count_from_the_first_frame_wherever_the_container_begins(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "ts"):
        path = write_counting(tmp_path / f"late.{suffix}", [2000 + 40 * n for n in range(40)])
        video = video_of(a_clip(video=str(path)), FIVE_FPS)
        assert numbers(video.frames) == [2, 7, 12, 17, 22, 27, 32, 37]
        assert video.times_s == (0.08, 0.28, 0.48, 0.68, 0.88, 1.08, 1.28, 1.48)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_frame_rate_stays_within_its_bounds(tmp_path: Path, backend: Backend) -> None:
    path = write_counting(tmp_path / "a.mp4", [40 * n for n in range(10)])
    few = FrameSpec(choose=PerSecond(rate=1, min_frames=6, max_frames=100, multiple=2), size=ASPECT)
    many = FrameSpec(choose=PerSecond(rate=100, min_frames=2, max_frames=5, multiple=2), size=ASPECT)
    assert numbers(video_of(a_clip(video=str(path)), few, backend).frames) == [0, 2, 4, 5, 7, 9]
    assert numbers(video_of(a_clip(video=str(path)), many, backend).frames) == [1, 3, 6, 8]
    often = FrameSpec(choose=PerSecond(rate=100, min_frames=2, max_frames=40, multiple=2), size=ASPECT)
    shown_again = video_of(a_clip(video=str(path)), often, backend)
    assert numbers(shown_again.frames) == [n for n in range(10) for _ in range(4)], "more than the video has"


@pytest.mark.parametrize("batch_bytes", [1, 5 * 64 * 64 * 3, 1 << 29])
def test_decord_gives_the_same_frames_in_any_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_bytes: int) -> None:
    monkeypatch.setattr(with_decord, "DECORD_BATCH_BYTES", batch_bytes)
    data = write_counting(tmp_path / "a.mp4", [40 * n for n in range(40)], bf="2").read_bytes()
    request = Request(
        video="a.mp4",
        size=len(data),
        start_s=None,
        end_s=None,
        spec=FIVE_FPS,
        backend="decord",
        jitter_seed=None,
        frame_pixels=LIMITS.frame_pixels,
        decode_pixels=LIMITS.decode_pixels,
    )
    assert numbers(read.read(io.BytesIO(data), request).frames) == [2, 7, 12, 17, 22, 27, 32, 37]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_window_late_in_a_video_costs_what_is_decoded_for_it(tmp_path: Path, backend: Backend) -> None:
    """Keyframes are 12 frames apart: frames 228 to 234 and 288 to 295 have to be decoded for the two, and not all 296."""
    path = write_counting(tmp_path / "a.mp4", [40 * n for n in range(400)])
    two = FrameSpec(choose=Evenly(2), size=Square(32))
    clip = a_clip(video=str(path), start_s=8.16, end_s=13.02)
    with ChildDecoder(Storage(), replace(LIMITS, decode_pixels=40 * 64 * 64), backend) as decoder:
        result = decoder.decode(clip, two)
    assert isinstance(result, ClipRead)
    assert numbers(result.video.frames) == [234 % 50, 295 % 50]
    with ChildDecoder(Storage(), replace(LIMITS, decode_pixels=8 * 64 * 64), backend) as decoder:
        failure = decoder.decode(clip, two)
    assert isinstance(failure, Failure)
    assert (failure.kind, "limits.decode_pixels" in failure.detail) == ("too_large", True)


def test_jitter_of_a_frame_rate_follows_its_seed(tmp_path: Path) -> None:
    path = write_counting(tmp_path / "a.mp4", [40 * n for n in range(40)])
    videos = [video_of(a_clip(video=str(path)), FIVE_FPS, jitter_seed=seed) for seed in (1, 1, 2)]
    drawn = [numbers(video.frames) for video in videos]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(5 * i <= number <= 5 * i + 5 for each in drawn for i, number in enumerate(each))
    assert [round(time_s / 0.04) for time_s in videos[0].times_s] == drawn[0]


def write_halves(path: Path, width: int, height: int) -> Path:
    """A video whose left half is white."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_aspect_is_kept_and_nothing_is_cut_off(tmp_path: Path, backend: Backend) -> None:
    """96 x 64 and 320 x 64 scaled down into 4096 pixels, 40 x 20 scaled up to 1024; turned, the sides change places."""
    spec = FrameSpec(choose=Evenly(2), size=ASPECT)
    for width, height, shape in [(96, 64, (2, 48, 72, 3)), (320, 64, (2, 24, 136, 3)), (40, 20, (2, 24, 48, 3))]:
        path = write_halves(tmp_path / f"{width}.mp4", width, height)
        frames = video_of(a_clip(video=str(path)), spec, backend).frames
        assert frames.shape == shape
        middle = shape[2] // 2
        assert frames[:, :, : middle - 4].min() > 200
        assert frames[:, :, middle + 4 :].max() < 55
    upright = turn((tmp_path / "96.mp4").read_bytes(), tmp_path / "turned.mp4")
    frames = video_of(a_clip(video=str(upright)), spec, backend).frames
    assert frames.shape == (2, 72, 48, 3)
    assert frames[:, :32].min() > 200
    assert frames[:, 40:].max() < 55


def test_clips_of_one_piece_have_their_own_shapes(tmp_path: Path) -> None:
    """Lengths and aspects differ, one clip fails, one is a window; columns of a row bring all of it across."""
    wide = write_counting(tmp_path / "wide.mp4", [40 * n for n in range(40)], width=96, height=32)
    high = write_counting(tmp_path / "high.mp4", [40 * n for n in range(20)], width=32, height=64)
    clips = [
        a_clip("a", video=str(wide)),
        a_clip("b", video=str(tmp_path / "none.mp4")),
        a_clip("c", video=str(high)),
        a_clip("d", video=str(wide), start_s=0.4, end_s=0.8),
    ]
    store = Store(str(tmp_path / "run"))
    write_parts(store, clips)
    row = {"piece_id": "p", "part": path_of("train", 0), "start": 0, "count": len(clips)}
    results = videos_of(decode_piece(row, spec=FIVE_FPS, decoding=DECODING, store=store))
    assert [isinstance(result, Failure) for result in results] == [False, True, False, False]
    decoded = [result for result in results if isinstance(result, Decoded)]
    assert [result.video.frames.shape for result in decoded] == [(8, 32, 96, 3), (4, 64, 32, 3), (2, 32, 96, 3)]
    assert numbers(decoded[0].video.frames) == [2, 7, 12, 17, 22, 27, 32, 37]
    assert numbers(decoded[1].video.frames) == [2, 7, 12, 17]
    assert numbers(decoded[2].video.frames) == [12, 17]
    assert decoded[2].video.times_s == (0.08, 0.28)
    assert decoded[0].video.frames.flags.writeable
    assert {result.etag for result in decoded} == {decoded[0].etag, decoded[1].etag}


def test_windows_are_decoded_once_where_they_are_kept(tmp_path: Path) -> None:
    path = write_counting(tmp_path / "a.mp4", [40 * n for n in range(40)])
    window = Window(video=str(path), start_s=0.4, end_s=0.8, etag="")
    row = {"windows": json.dumps([asdict(window)] * 2), "jitter_seeds": json.dumps([None, 5]), "kept": "as it was"}

    def shown(keep_bytes: int) -> list[list[int]]:
        decoded = decode_windows(row, spec=FIVE_FPS, decoding=replace(DECODING, keep_bytes=keep_bytes))
        assert decoded["kept"] == "as it was"
        return [numbers(result.video.frames) for result in videos_of(decoded) if isinstance(result, Decoded)]

    first = shown(1 << 20)
    assert first[0] == [12, 17]
    assert shown(0) == first
    path.unlink()
    assert shown(1 << 20) == first[:1], "the mid-points are kept, the random moments are not"
    assert shown(0) == []


def test_the_cache_counts_bytes() -> None:
    """Clips of 10 to 56 bytes; where they do not fit into 55, those that were used longest ago go."""

    def clip(num_bytes: int) -> tuple[Window, Decoded]:
        window = Window(video=f"{num_bytes}.mp4", start_s=None, end_s=None, etag="")
        return window, Decoded(Video(np.zeros(num_bytes, np.uint8), ()), "v1", in_order=False)

    cache = FrameCache(55)
    (ten, ten_bytes), (fifteen, fifteen_bytes), (twenty, twenty_bytes) = map(clip, (10, 15, 20))
    (thirty, thirty_bytes), (fifty, fifty_bytes), (large, large_bytes) = map(clip, (30, 50, 56))
    cache.put(ten, SPEC, ten_bytes)
    cache.put(twenty, SPEC, twenty_bytes)
    assert cache.get(ten, SPEC) is ten_bytes
    assert cache.get(ten, FIVE_FPS) is None, "another size"
    cache.put(thirty, SPEC, thirty_bytes)
    assert [cache.get(window, SPEC) is not None for window in (ten, twenty, thirty)] == [True, False, True]
    cache.put(large, SPEC, large_bytes)
    assert [cache.get(window, SPEC) is not None for window in (ten, thirty, large)] == [True, True, False]
    cache.put(fifteen, SPEC, fifteen_bytes)
    assert [cache.get(window, SPEC) is not None for window in (ten, thirty, fifteen)] == [True, True, True], "55 bytes fit"
    cache.put(fifty, SPEC, fifty_bytes)
    assert [cache.get(window, SPEC) is not None for window in (ten, thirty, fifteen, fifty)] == [False, False, False, True]


def test_a_size_that_changes_within_a_video_is_brought_to_its_first(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuvj420p"
        for number, (width, height) in enumerate([(64, 32)] * 10 + [(32, 64)] * 10):
            encoder = av.CodecContext.create("mjpeg", "w")
            assert isinstance(encoder, av.VideoCodecContext)
            encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuvj420p", Fraction(1, 25)
            picture = av.VideoFrame.from_ndarray(np.full((height, width, 3), number * 5, np.uint8), format="rgb24")
            for packet in encoder.encode(picture.reformat(format="yuvj420p")):
                packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
                container.mux(packet)
    video = video_of(a_clip(video=str(tmp_path / "a.mkv")), FrameSpec(choose=Evenly(4), size=ASPECT))
    assert video.frames.shape == (4, 32, 64, 3)
    assert numbers(video.frames) == [2, 7, 12, 17]


def test_an_aspect_that_no_model_watches_is_a_failure(tmp_path: Path) -> None:
    path = write_counting(tmp_path / "a.mp4", [0, 40, 80], "mpeg4", 2010, 10)
    failure = decode(a_clip(video=str(path)), FIVE_FPS)
    assert isinstance(failure, Failure)
    assert failure.kind == "too_large"
    assert "one side of 2010 x 10 is more than 200 times the other" in failure.detail


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
@pytest.mark.parametrize(
    ("name", "content", "detail"),
    [
        ("lfs.mp4", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n", "a pointer of Git LFS in place of the"),
        ("annex.mp4", b"/annex/objects/SHA256E-s9--4d.mp4\n", "fetch it with: git annex get"),
        (
            "page.jpg",
            b"\xef\xbb\xbf\n<!-- saved -->\n<!DOCTYPE html>\n<html><head>",
            "a web page (HTML) in place of the file, such as a login",
        ),
        ("denied.mp4", b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "a server's error message (XML)"),
        ("error.mp4", b'{"error": "not found"}', "JSON text and no video"),
        ("scan.tiff", b"II*\0\x08\0\0\0" + bytes(200), "a TIFF picture, which is not opened; convert it to PNG or JPEG"),
        ("scan.mp4", b"MM\0*\0\0\0\x08" + bytes(200), "a TIFF picture"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(200), "a JPEG 2000 picture"),
        ("a.ppm", b"P6\n4 4\n255\n" + bytes(48), "a PNM picture"),
        ("a.svg", b'<?xml version="1.0"?>\n<!-- x -->\n<svg width="4"></svg>', "an SVG picture"),
        ("a.zip", b"PK\x03\x04" + bytes(200), "an archive; unpack it"),
        ("a.wav", b"RIFF\x24\0\0\0WAVEfmt " + bytes(99), "sound and no video; drop its row"),
        ("a.m3u8", b"#EXTM3U\n#EXTINF:9,\na.ts\n", "a playlist, which names other files"),
    ],
)
def test_what_is_there_in_place_of_a_video_is_named(
    tmp_path: Path, backend: Backend, name: str, content: bytes, detail: str
) -> None:
    (tmp_path / name).write_bytes(content)
    failure = decode(a_clip(video=str(tmp_path / name)), SPEC, backend)
    assert isinstance(failure, Failure)
    assert failure.kind == "not_video"
    assert f"{name} is " in failure.detail
    assert detail in failure.detail
    assert "libx264" not in failure.detail


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
