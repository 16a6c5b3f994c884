"""Pins that no window of any file gives a wrong frame: what is shown is what a full decode shows at those seconds of the file."""

import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from engine.decode.read import read
from engine.decode.request import Unusable
from models.base import Evenly, FrameSpec, KeepAspect, Square, Stretch
from numbered import (
    PAIRS,
    RATE,
    SPEC,
    Pair,
    count_wrong,
    number_of,
    numbers_in,
    picture,
    request,
    write_numbered,
    write_pair,
)

X264 = Pair("mp4", "libx264", {"g": "12", "bf": "2"})
TICK = Fraction(1, RATE)


@pytest.mark.parametrize("index", range(0, len(PAIRS), 3), ids=lambda index: str(PAIRS[index]))
def test_random_windows_are_those_of_a_full_decode(tmp_path: Path, index: int) -> None:
    assert count_wrong(write_pair(tmp_path, index), PAIRS[index], num_windows=3) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize("index", range(len(PAIRS)), ids=lambda index: str(PAIRS[index]))
def test_many_random_windows_are_those_of_a_full_decode(tmp_path: Path, index: int) -> None:
    """30 windows of each pair: 2,010."""
    assert count_wrong(write_pair(tmp_path, index), PAIRS[index], num_windows=30) == ([], [])


def packets_of(path: Path) -> tuple[list[av.Packet], av.VideoStream, "av.container.InputContainer"]:
    container = av.open(str(path))
    stream = container.streams.video[0]
    return [packet for packet in container.demux(stream) if packet.size], stream, container


def write_packets(path: Path, source: Path, shift_s: float = 0.0, first: int = 0) -> Path:
    """The packets of a video from the given one on, all later by so many seconds."""
    packets, template, container = packets_of(source)
    with container, av.open(str(path), "w", options={"muxdelay": "0", "muxpreload": "0"}) as out:
        stream = out.add_stream_from_template(template)
        for packet in packets[first:]:
            ticks = round(shift_s / template.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts + ticks, packet.dts + ticks, stream
            out.mux(packet)
    return path


def write_with_sound(path: Path, video_from_s: float, video_frames: int, sound_s: float, codec: str = "libx264") -> Path:
    """Numbered frames from a second on, and sound from 0 s on."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=RATE, options={"threads": "1", "g": "12"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=48000)
        for number in range(round(sound_s * 48000 / 1024)):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 48000, number * 1024
            container.mux(sound.encode(samples))
        container.mux(sound.encode())
        for number in range(video_frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = number + round(video_from_s * RATE), TICK
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv"])
def test_seconds_count_from_the_file_s_start(tmp_path: Path, suffix: str) -> None:
    """The video begins 2 s after the sound: frame 50 is on screen at 4 s, as players show it.

    Outside of mp4 the sound itself begins 21 ms early, with what its coder needs to start.
    """
    path = write_with_sound(tmp_path / f"a.{suffix}", video_from_s=2.0, video_frames=100, sound_s=6.0)
    assert numbers_in(path, 4.03, 4.35) == [51, 53, 55, 57]
    assert numbers_in(path, 1.0, 2.35) == [1, 3, 5, 7], "cut to where the video begins"
    assert numbers_in(path) == [12, 37, 62, 87], "the video's own stretch"
    assert str(numbers_in(path, 0.0, 1.5)).startswith("empty_window")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv"])
def test_a_window_past_the_video_s_own_end_is_empty(tmp_path: Path, suffix: str) -> None:
    """3 s of video, 8 s of sound: neither the container's duration nor the sound prolongs the last frame."""
    path = write_with_sound(tmp_path / f"a.{suffix}", video_from_s=0.0, video_frames=75, sound_s=8.0)
    for window in [(4.0, 6.0), (4.0, None), (7.0, 7.5)]:
        assert str(numbers_in(path, *window)).startswith("empty_window"), window
    assert numbers_in(path, 2.02, 6.0) == [53, 59, 65, 71], "cut to the video's end"


def test_a_slot_of_avi_without_a_frame_repeats_the_one_before(tmp_path: Path) -> None:
    """An encoder dropped frames 30 to 54: their slots count."""
    packets, template, container = packets_of(write_numbered(tmp_path / "whole.avi", Pair("avi", "mpeg4", {"g": "1"}), 100))
    path = tmp_path / "gap.avi"
    with container, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(template)
        for packet in packets[:30] + packets[55:]:
            packet.stream = stream
            out.mux(packet)
    assert numbers_in(path, 2.4, 2.72) == [61, 63, 65, 67]
    assert numbers_in(path, 1.0, 2.0) == [28, 29, 29, 29]
    assert numbers_in(path, 0.0, 4.0) == [12, 29, 62, 87]


def write_streams(path: Path, streams: list[tuple[int, int, Disposition, int]]) -> Path:
    """Videos of (side, first number, disposition, frames), one stream each."""
    with av.open(str(path), "w") as container:
        videos = []
        for side, _, disposition, _ in streams:
            video = container.add_stream("libx264", rate=RATE, options={"threads": "1", "g": "12"})
            video.width, video.height, video.pix_fmt = side, side, "yuv420p"
            video.disposition = disposition
            videos.append(video)
        for video, (side, first, _, num_frames) in zip(videos, streams, strict=True):
            for number in range(num_frames):
                frame = av.VideoFrame.from_ndarray(picture(first + number, side, side), format="rgb24")
                frame.pts, frame.time_base = number, TICK
                container.mux(video.encode(frame))
            container.mux(video.encode())
    return path


NONE = Disposition(0)


@pytest.mark.parametrize(
    ("streams", "right"),
    [
        ([(64, 0, NONE, 1), (64, 100, Disposition.default, 40)], 100),
        ([(64, 0, NONE, 40), (128, 100, NONE, 40)], 100),
        ([(128, 0, NONE, 40), (64, 100, Disposition.default, 40)], 100),
        ([(64, 0, Disposition.default, 40), (64, 100, Disposition.default, 40)], 0),
    ],
    ids=["a thumbnail", "the larger", "the default", "the first of equals"],
)
def test_the_stream_that_ffmpeg_chooses(tmp_path: Path, streams: list[tuple[int, int, Disposition, int]], right: int) -> None:
    path = write_streams(tmp_path / "a.mkv", streams)
    assert numbers_in(path, 0.0, 0.32) == [right + number for number in (1, 3, 5, 7)]


HALVES = {"as stored": (1, 0, 0, 1), "hflip": (-1, 0, 0, 1), "vflip": (1, 0, 0, -1), "half turn": (-1, 0, 0, -1)}
SIDES = {"clockwise": (0, 1, -1, 0), "counterclockwise": (0, -1, 1, 0), "transpose": (0, 1, 1, 0), "transverse": (0, -1, -1, 0)}


@pytest.mark.parametrize("name", [*HALVES, *SIDES])
def test_turns_and_mirrors(tmp_path: Path, name: str) -> None:
    """The stored pixel (x, y) is shown at (ax + cy, bx + dy): the only bright corner, top left, goes where the matrix sends it."""
    a, b, c, d = (HALVES | SIDES)[name]
    pixels = np.zeros((48, 96, 3), np.uint8)
    pixels[:24, :48] = 255
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 96, 48, "yuv420p"
        stream.set_display_matrix([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30])
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    size = KeepAspect(min_pixels=32 * 32, max_pixels=128 * 128, multiple_px=8)
    stretched = Stretch(height_px=40, width_px=72)
    for shape in (size, Square(32), stretched):
        frames = read(
            (tmp_path / "a.mp4").open("rb"), request(tmp_path / "a.mp4", None, None, FrameSpec(choose=Evenly(1), size=shape))
        )
        frame = frames.frames[0].mean(2)
        height, width = frame.shape
        x, y = a * -1 + c * -1, b * -1 + d * -1  # of the corner, from the middle
        corner = frame[:: 1 if y < 0 else -1, :: 1 if x < 0 else -1][: height // 2 - 2, : width // 2 - 2]
        assert corner.mean() > 230, shape
        assert frame.sum() < 255 * height * width * 0.3
        if shape is size:
            assert (width > height) == (name in HALVES)
        if shape is stretched:
            assert (height, width) == (40, 72), "as it is shown, whichever way it is stored"


@pytest.mark.parametrize(
    ("suffix", "codec"), [("ts", "libx264"), ("ts", "mpeg2video"), ("vob", "mpeg2video"), ("mpg", "mpeg1video")]
)
def test_joined_files_go_on(tmp_path: Path, suffix: str, codec: str) -> None:
    """Two files one after the other, each with a clock of its own from 0 s on: 75 frames and 75 frames."""
    pair = Pair(suffix, codec, {"g": "12", "bf": "2"})
    parts = [write_numbered(tmp_path / f"{first}.{suffix}", pair, 75, first).read_bytes() for first in (0, 100)]
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(b"".join(parts))
    assert numbers_in(path, 0.0, 6.0) == [18, 56, 118, 156]
    assert numbers_in(path, 2.84, 3.16) == [72, 74, 101, 103]


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_a_still_stretch_is_no_joint(tmp_path: Path, codec: str) -> None:
    """Frames 0 to 49, nothing new for 12 s while the sound goes on, then frames 50 to 99: a camera that records on movement."""
    path = tmp_path / "a.ts"
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=RATE, options={"threads": "1", "g": "50", "bf": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("mp2", rate=48000)
        heard_s = 0.0
        for number in range(100):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = number + (300 if number >= 50 else 0), TICK
            while heard_s < frame.pts * TICK:
                samples = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), format="s16", layout="mono")
                samples.sample_rate, samples.pts = 48000, round(heard_s * 48000)
                container.mux(sound.encode(samples))
                heard_s += 1152 / 48000
            container.mux(video.encode(frame))
        container.mux(video.encode())
    for window in [(2.5, 3.5), (5.0, 8.0)]:
        assert numbers_in(path, *window) == [49] * 4, "the last frame stays on screen"
    assert count_wrong(path, Pair("ts", codec), num_windows=10) == ([], [])
    assert numbers_in(path, 14.3, 14.62) == [58, 60, 62, 64]


def test_a_joined_part_that_begins_within_a_group_of_pictures_is_a_failure_there(tmp_path: Path) -> None:
    """Its first frames refer to what is not there; the part before it must not be taken for that."""
    ts = Pair("ts", "libx264", {"g": "30", "bf": "0"})
    first = write_numbered(tmp_path / "first.ts", ts, 75)
    second = write_packets(tmp_path / "second.ts", write_numbered(tmp_path / "whole.ts", ts, 75, 100), first=10)
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    assert numbers_in(path, 1.0, 2.0) == [28, 34, 40, 46]
    assert str(numbers_in(path, 3.3, 3.7)).startswith("codec: joined.ts: ")
    assert "cannot be decoded, because what they refer to is missing" in str(numbers_in(path, 3.3, 3.7))


@pytest.mark.parametrize(("suffix", "codec"), [("ts", "libx264"), ("ts", "mpeg2video"), ("vob", "mpeg2video")])
def test_a_clock_that_wraps(tmp_path: Path, suffix: str, codec: str) -> None:
    """The 33 bits of an MPEG clock overflow after 1 s."""
    source = write_numbered(tmp_path / f"a.{suffix}", Pair(suffix, codec, {"g": "12", "bf": "2"}), 75)
    with av.open(str(source)) as container:
        began_s = (container.start_time or 0) / 1e6
    path = write_packets(tmp_path / f"wrap.{suffix}", source, shift_s=(1 << 33) / 90_000 - began_s - 1.0)
    assert numbers_in(path) == [9, 28, 46, 65]
    assert numbers_in(path, 0.9, 1.22) == [23, 25, 27, 29]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video", "mpeg4"])
def test_a_stream_that_begins_within_a_group_of_pictures(tmp_path: Path, codec: str) -> None:
    """Ten packets are missing at the start: frames are shown from the first keyframe on, and none before it."""
    options = {"libx265": {"x265-params": "keyint=30:min-keyint=30:open-gop=1:bframes=2:log-level=none"}}
    pair = Pair("ts", codec, options.get(codec, {"g": "30", "bf": "0" if codec == "mpeg4" else "2"}))
    whole = write_numbered(tmp_path / "a.ts", pair, 75)
    path = write_packets(tmp_path / "mid.ts", whole, first=10)
    missing_s = starts_at_s(path) - starts_at_s(whole)
    spec = FrameSpec(choose=Evenly(20), size=Square(48))
    clip = read(path.open("rb"), request(path, None, None, spec))
    numbers = [number_of(frame) for frame in clip.frames]
    assert 28 <= numbers[0] <= 31, "the first keyframe"
    assert numbers == [round((time_s + missing_s) * RATE) for time_s in clip.times_s]
    assert str(numbers_in(path, 0.0, 0.5)).startswith("empty_window")


def starts_at_s(path: Path) -> float:
    with av.open(str(path)) as container:
        return (container.start_time or 0) / 1e6


def without_keyframe_table(path: Path) -> Path:
    """The same mp4 whose table of keyframes has another name: then every packet counts as one."""
    path.write_bytes(path.read_bytes().replace(b"stss", b"free"))
    return path


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4", "mpeg2video"])
def test_packets_that_the_index_calls_keyframes(tmp_path: Path, codec: str) -> None:
    options = {"x265-params": "keyint=30:min-keyint=30:log-level=none"} if codec == "libx265" else {"g": "30", "bf": "2"}
    path = without_keyframe_table(write_numbered(tmp_path / "a.mp4", Pair("mp4", codec, options), 100))
    for start_s in (0.0, 0.48, 1.12, 1.92, 3.0):
        first = round(start_s * RATE)
        assert numbers_in(path, start_s, start_s + 0.32) == [first + number for number in (1, 3, 5, 7)], start_s
    assert numbers_in(path) == [12, 37, 62, 87]


def test_recovery_points_are_no_keyframes(tmp_path: Path) -> None:
    """Intra refresh: one keyframe, and then points from which the picture becomes whole little by little."""
    pair = Pair("mp4", "libx264", {"g": "20", "intra-refresh": "1", "bf": "2"}, size=(128, 96))
    path = write_numbered(tmp_path / "a.mp4", pair, 150)
    for start_s in (0.9, 2.0, 4.8):
        first = round(start_s * RATE)
        assert numbers_in(path, start_s, start_s + 0.32) == [first + number for number in (1, 3, 5, 7)], start_s
    assert numbers_in(path) == [18, 56, 93, 131]


def test_an_edit_list_that_begins_within_a_group_of_pictures(tmp_path: Path) -> None:
    """As a phone cuts a video without encoding it: 0.4 s are in the file and not shown."""
    data = bytearray(write_numbered(tmp_path / "a.mp4", X264, 75).read_bytes())
    at = data.index(b"elst") + 12  # duration and start of the one entry
    duration, start = struct.unpack_from(">Ii", data, at)
    struct.pack_into(">Ii", data, at, duration - 400, start + 512 * 10)
    (tmp_path / "edited.mp4").write_bytes(data)
    assert numbers_in(tmp_path / "edited.mp4", 0.0, 0.32) == [11, 13, 15, 17]
    assert numbers_in(tmp_path / "edited.mp4", 1.0, 1.32) == [36, 38, 40, 42]


@pytest.mark.parametrize("backend_size", [Square(64), KeepAspect(min_pixels=16, max_pixels=1 << 20, multiple_px=2)])
def test_pixels_that_are_no_squares(tmp_path: Path, backend_size: Square | KeepAspect) -> None:
    """64 x 64 stored, each pixel twice as wide as high: a circle's box is 128 x 64 on screen."""
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        pixels = np.zeros((64, 64, 3), np.uint8)
        pixels[:, 16:48] = 255
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    spec = FrameSpec(choose=Evenly(1), size=backend_size)
    frame = read((tmp_path / "a.mp4").open("rb"), request(tmp_path / "a.mp4", None, None, spec)).frames[0]
    if isinstance(backend_size, Square):
        assert frame.mean() > 250, "the middle square of 128 x 64"
    else:
        assert frame.shape == (64, 128, 3)


def write_picture(path: Path, codec: str, pix_fmt: str, format: str = "image2") -> Path:
    with av.open(str(path), "w", format=format, options={"update": "1"} if format == "image2" else {}) as container:
        stream = container.add_stream(codec, rate=1, options={"lossless": "1"} if codec == "libwebp" else {})
        stream.width, stream.height, stream.pix_fmt = 96, 48, pix_fmt
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(2748, 96, 48), format="rgb24")))
        container.mux(stream.encode())
    return path


PICTURES = [("jpg", "mjpeg", JPEG := "yuvj420p"), ("png", "png", "rgb24"), ("webp", "libwebp", "bgra"), ("bmp", "bmp", "bgr24")]


@pytest.mark.parametrize(("suffix", "codec", "pix_fmt"), [*PICTURES, ("gif", "gif", "rgb8")])
def test_a_picture_is_a_video_of_one_frame(tmp_path: Path, suffix: str, codec: str, pix_fmt: str) -> None:
    path = write_picture(tmp_path / f"a.{suffix}", codec, pix_fmt, "gif" if suffix == "gif" else "image2")
    for window in [(None, None), (0.0, None), (0.0, 5.0)]:
        clip = read(path.open("rb"), request(path, *window))
        assert [number_of(frame) for frame in clip.frames] == [2748] * 4
        assert clip.times_s == (0.0,) * 4
    assert str(numbers_in(path, 2.0, 3.0)).startswith("empty_window")


@pytest.mark.parametrize(("suffix", "codec", "pix_fmt"), PICTURES)
def test_a_picture_that_is_cut_short(tmp_path: Path, suffix: str, codec: str, pix_fmt: str) -> None:
    data = write_picture(tmp_path / f"a.{suffix}", codec, pix_fmt).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    for share in (0.5, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        assert str(numbers_in(path)).startswith(("truncated", "codec")), share


@pytest.mark.parametrize("way", ["named", "listed"])
def test_of_several_pictures_in_one_file_the_first_is_shown(tmp_path: Path, way: str) -> None:
    """MPO and Ultra HDR: a JPEG, and behind it another view or a gain map, which the first one may list."""
    first = write_picture(tmp_path / "a.jpg", "mjpeg", JPEG).read_bytes()
    with av.open(str(tmp_path / "b.jpg"), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 48, 24, JPEG
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(5, 48, 24), format="rgb24")))
        container.mux(stream.encode())
    listing = b"\xff\xe2" + struct.pack(">H", 10) + b"MPF\0MM\0*"
    path = tmp_path / ("a.jpg" if way == "named" else "a")
    path.write_bytes((first if way == "named" else first[:2] + listing + first[2:]) + (tmp_path / "b.jpg").read_bytes())
    for spec in (SPEC, FrameSpec(choose=Evenly(1), size=SPEC.size)):
        clip = read(path.open("rb"), request(path, None, None, spec))
        assert {number_of(frame) for frame in clip.frames} == {2748}
        assert set(clip.times_s) == {0.0}


@pytest.mark.parametrize(("suffix", "codec", "pix_fmt"), PICTURES[:2])
def test_data_behind_a_picture_do_not_matter_and_its_preview_does_not_end_it(
    tmp_path: Path, suffix: str, codec: str, pix_fmt: str
) -> None:
    path = write_picture(tmp_path / f"a.{suffix}", codec, pix_fmt)
    data = path.read_bytes()
    path.write_bytes(data + bytes(100_000))
    assert numbers_in(path) == [2748] * 4
    if suffix == "jpg":  # EXIF data hold a whole JPEG
        preview = b"Exif\0\0" + data
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(preview) + 2) + preview + data[2:]
        path.write_bytes(data)
        assert numbers_in(path) == [2748] * 4
    path.write_bytes(data[: int(len(data) * 0.8)])
    assert str(numbers_in(path)).startswith("truncated")


ORIENTATIONS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_photograph_is_shown_as_its_exif_data_say(tmp_path: Path, orientation: int) -> None:
    """The eight orientations of EXIF: 6 is a telephone that was held upright."""
    data = write_picture(tmp_path / "a.jpg", "mjpeg", JPEG).read_bytes()
    entry = struct.pack(">HHIHH", 0x112, 3, 1, orientation, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    path = tmp_path / "turned.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    spec = FrameSpec(choose=Evenly(1), size=KeepAspect(min_pixels=16, max_pixels=1 << 20, multiple_px=2))
    shown = read(path.open("rb"), request(path, None, None, spec)).frames[0].astype(int)
    right = ORIENTATIONS[orientation](picture(2748, 96, 48)).astype(int)
    assert shown.shape == right.shape
    assert np.abs(shown - right).mean() < 12


def test_a_codec_that_is_not_opened_is_told_how_to_convert(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mkv", Pair("mkv", "ffv1"), 5)
    assert "ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4" in str(numbers_in(path))
    path = write_numbered(tmp_path / "a.nut", Pair("nut", "mpeg4"), 5)
    assert "not_video" in str(numbers_in(path))
    assert "ffmpeg -i IN" in str(numbers_in(path))


def test_times_that_are_not_those_of_the_frames(tmp_path: Path) -> None:
    """AVI has no presentation times; a program that copied its packets into Matroska gave the frames their decode times."""
    packets, template, container = packets_of(
        write_numbered(tmp_path / "a.avi", Pair("avi", "libx264", {"g": "12", "bf": "2"}), 75)
    )
    path = tmp_path / "a.mkv"
    with container, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(template)
        for packet in packets:
            packet.stream, packet.pts = stream, packet.dts
            out.mux(packet)
    assert str(numbers_in(path, 1.0, 2.0)).startswith("codec: a.mkv: its frames are not in the order of their times")


@pytest.mark.parametrize(("suffix", "codec"), [("flv", "flv"), ("wmv", "wmv2")])
@pytest.mark.parametrize("sound_s", [0.0, 12.0])
def test_a_cut_file_does_not_pass_for_the_whole(tmp_path: Path, suffix: str, codec: str, sound_s: float) -> None:
    """These formats play as well if they are cut; their header says how long they were."""
    if sound_s:
        path = write_with_sound(tmp_path / f"a.{suffix}", 0.0, 200, sound_s, codec)
    else:
        path = write_numbered(
            tmp_path / f"a.{suffix}", Pair(suffix, codec, {"g": "12"}, format="asf" if suffix == "wmv" else None), 200
        )
    assert isinstance(numbers_in(path), list)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert str(numbers_in(path)).startswith("truncated")


def test_an_animated_webp_is_told(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.webp", Pair("webp", "libwebp_anim", pix_fmt="bgra"), 5)
    assert str(numbers_in(path)).startswith("codec: a.webp is an animated WebP")


def test_a_size_that_changes_where_files_were_joined(tmp_path: Path) -> None:
    sizes = [(64, 48), (128, 96)]
    pairs = [Pair("ts", "libx264", {"g": "12"}, size=size) for size in sizes]
    parts = [write_numbered(tmp_path / f"{n}.ts", pair, 50, 100 * n).read_bytes() for n, pair in enumerate(pairs)]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    assert numbers_in(path, 0.0, 4.0) == [12, 37, 112, 137]


def by_decord(path: Path, start_s: float | None = None, end_s: float | None = None) -> list[int] | str:
    pytest.importorskip("decord")
    try:
        clip = read(path.open("rb"), replace(request(path, start_s, end_s), backend="decord"))
    except Unusable as failure:
        return f"{failure.kind}: {failure.detail}"
    return [number_of(frame) for frame in clip.frames]


def test_decord_gives_the_same_frames_or_says_that_it_cannot(tmp_path: Path) -> None:
    """`generate.decoder` is a cost: it must not change what a run decides."""
    late = write_with_sound(tmp_path / "late.mp4", video_from_s=2.0, video_frames=100, sound_s=9.0)
    for window in [(4.03, 4.35), (1.0, 2.35), (None, None), (0.0, 1.5), (7.0, 8.0)]:
        assert by_decord(late, *window) == numbers_in(late, *window), window
    thumbnail = write_streams(tmp_path / "a.mkv", [(64, 0, NONE, 1), (64, 100, Disposition.default, 40)])
    assert by_decord(thumbnail, 0.0, 0.32) == [101, 103, 105, 107]
    pair = Pair("mp4", "libx264", {"g": "20", "intra-refresh": "1", "bf": "2"})
    for path in [
        write_numbered(tmp_path / "refresh.mp4", pair, 100),
        write_numbered(tmp_path / "a.ts", Pair("ts", "libx264"), 50),
        write_numbered(tmp_path / "a.gif", Pair("gif", "gif", pix_fmt="rgb8"), 50),
    ]:
        failure = str(by_decord(path, 1.4, 1.9))
        assert failure.startswith("codec: ")
        assert failure.endswith("use generate.decoder=pyav")


@pytest.mark.parametrize("pix_fmt", ["gray", "rgba64be", "monob", "gray16be", "ya8"])
def test_pictures_of_other_kinds_have_the_same_content(tmp_path: Path, pix_fmt: str) -> None:
    assert numbers_in(write_picture(tmp_path / "a.png", "png", pix_fmt)) == [2748] * 4
