"""Pins what hostile and odd files become: a clip or a Failure of the right kind, within budget, the rest of the piece untouched."""

import errno
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from builders import DECODING, LIMITS, a_clip
from engine.decode import decoder as isolation
from engine.decode import process
from engine.decode.decoder import ChildDecoder, ClipRead, most_requests
from engine.decode.protocol import LENGTH, RANGE
from engine.decode.stage import Decoded, decode_piece, frame_columns, videos_of
from engine.ingest.clips import path_of, write_parts
from engine.rows import Failure
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.sources import LocalSource
from engine.store.troubles import StorageError
from models.base import Evenly, FrameSpec, KeepAspect, PerSecond, Square
from videos import remux, turn, write_counting, write_noisy

SPEC = FrameSpec(choose=Evenly(4), size=Square(32))
TIGHT = replace(
    LIMITS, timeout_s=20, memory_bytes=2 << 30, read_bytes=64 << 20, frame_pixels=4096 * 2304, decode_pixels=2_000_000_000
)
CLIP = "clip"
StepResult = tuple[Path, frozenset[str]]
Maker = Callable[[Path], StepResult]
MAKERS: dict[str, Maker] = {}


def makes(*kinds: str) -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    """Register a hostile file under its function's name, with what it may become."""

    def register(maker: Callable[[Path], Path]) -> Callable[[Path], Path]:
        MAKERS[maker.__name__] = lambda folder: (maker(folder), frozenset(kinds))
        return maker

    return register


def plain(folder: Path, name: str = "plain.mp4", **options: str) -> Path:
    path = folder / name
    return path if path.exists() else write_noisy(path, 4, 320, 240, **options)


def remuxed(folder: Path, name: str, **options: str) -> Path:
    """The same packets in another arrangement."""
    path = folder / name
    if not path.exists():
        remux(plain(folder), path, 1, options)
    return path


def cut(folder: Path, source: str, share: float) -> Path:
    whole = remuxed(folder, source, movflags="faststart") if source == "front.mp4" else plain(folder, source)
    data = whole.read_bytes()
    path = folder / f"cut-{share}-{source}"
    path.write_bytes(data[: int(len(data) * share)])
    return path


for share in (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 0.99):
    for source in ("plain.mp4", "front.mp4", "plain.mkv"):
        MAKERS[f"cut at {share} of {source}"] = lambda folder, share=share, source=source: (
            cut(folder, source, share),
            frozenset({"truncated"}),
        )

for seed in range(6):

    def flipped(folder: Path, seed: int = seed) -> StepResult:
        data = bytearray(plain(folder).read_bytes())
        rng = np.random.default_rng(seed)
        for at in rng.integers(48, len(data), 40 * 4**seed // 64 + 1):
            data[at] ^= 1 << int(rng.integers(8))
        path = folder / f"flipped-{seed}.mp4"
        path.write_bytes(data)
        return path, frozenset({CLIP, "codec", "truncated", "not_video", "too_large", "empty_window", "no_video_stream"})

    MAKERS[f"bits flipped, {seed}"] = flipped


@makes("not_video")
def zero_bytes(folder: Path) -> Path:
    path = folder / "zero.mp4"
    path.write_bytes(b"")
    return path


@makes("not_video")
def text(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("This is a letter, and not a video.\n" * 500)
    return path


@makes("not_video")
def html(folder: Path) -> Path:
    path = folder / "error.mp4"
    path.write_text("<html><body>404 not found, with status 200</body></html>" * 30)
    return path


@makes("not_video", "truncated")
def zeros(folder: Path) -> Path:
    path = folder / "zeros.mp4"
    path.write_bytes(bytes(1 << 20))
    return path


@makes("not_video")
def zip_bomb(folder: Path) -> Path:
    path = folder / "bomb.mp4"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("zeros", bytes(50 << 20))
    return path


@makes("not_video")
def playlist(folder: Path) -> Path:
    path = folder / "playlist.mp4"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{plain(folder)}\n#EXT-X-ENDLIST\n")
    return path


@makes("not_video")
def concat_script(folder: Path) -> Path:
    path = folder / "concat.mp4"
    path.write_text(f"ffconcat version 1.0\nfile {plain(folder)}\n")
    return path


@makes("not_video")
def sdp(folder: Path) -> Path:
    path = folder / "stream.mp4"
    path.write_text(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    )
    return path


@makes(CLIP)
def picture(folder: Path) -> Path:
    path = folder / "picture.mp4"
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.width = stream.height = 64
        stream.pix_fmt = "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    return path


@makes(CLIP)
def a_header_that_exaggerates(folder: Path) -> Path:
    """A small mp4 whose container says 20,000 x 20,000; its stream knows better."""
    data = bytearray(plain(folder).read_bytes())
    struct.pack_into(">HH", data, data.index(b"avc1") + 28, 20_000, 20_000)
    path = folder / "huge.mp4"
    path.write_bytes(data)
    return path


def with_jpeg_size(path: Path, side: int) -> bytearray:
    data, at = bytearray(path.read_bytes()), 0
    while (at := data.find(b"\xff\xc0\x00\x11\x08", at + 1)) > 0:
        struct.pack_into(">HH", data, at + 5, side, side)
    return data


@makes("too_large")
def a_header_of_20k_by_20k(folder: Path) -> Path:
    """Motion JPEG that says 20,000 x 20,000 in the container and in its pictures."""
    path = write_counting(folder / "huge.mkv", [40 * n for n in range(20)], "mjpeg", 512, 512, "yuvj420p")
    data = with_jpeg_size(path, 20_000)
    path.write_bytes(data.replace(b"\xb0\x82\x02\x00", b"\xb0\x82\x4e\x20").replace(b"\xba\x82\x02\x00", b"\xba\x82\x4e\x20"))
    return path


@makes("too_large", "codec")
def pictures_of_20k_by_20k_behind_a_small_header(folder: Path) -> Path:
    path = write_counting(folder / "behind.mkv", [40 * n for n in range(20)], "mjpeg", 512, 512, "yuvj420p")
    path.write_bytes(with_jpeg_size(path, 20_000))
    return path


@makes("too_large")
def really_large(folder: Path) -> Path:
    return write_counting(folder / "large.mp4", [0, 40], "mpeg4", 8000, 4000)


def write_sound(path: Path, cover: bool = False) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        if cover:
            picture = container.add_stream("mjpeg", rate=1)
            picture.width = picture.height = 64
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        for number in range(40):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, number * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if cover:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
    return path


@makes("no_video_stream")
def sound_only(folder: Path) -> Path:
    return write_sound(folder / "sound.mp4")


@makes("no_video_stream")
def sound_with_a_picture_of_its_cover(folder: Path) -> Path:
    return write_sound(folder / "cover.mp4", cover=True)


@makes("no_video_stream")
def sound_only_mkv(folder: Path) -> Path:
    return write_sound(folder / "sound.mkv")


@makes("not_video")
def wave(folder: Path) -> Path:
    path = folder / "wave.mp4"
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    return path


@makes(CLIP)
def endless_duration(folder: Path) -> Path:
    """The last frame stays for thirty years."""
    return write_counting(folder / "endless.mkv", [0, 40, 80, 10**12])


@makes(CLIP)
def rotated(folder: Path) -> Path:
    """As a phone writes it that was held upright; tests/engine/test_decode.py looks which way round the frames are."""
    return turn(plain(folder).read_bytes(), folder / "rotated.mp4")


@makes(CLIP)
def odd_sizes(folder: Path) -> Path:
    return write_counting(folder / "odd.mp4", [40 * n for n in range(20)], "libx264", 67, 35, "yuv444p")


@makes(CLIP)
def tiny_size(folder: Path) -> Path:
    return write_counting(folder / "tiny.mp4", [40 * n for n in range(20)], "mpeg4", 2, 2)


@makes(CLIP)
def very_wide(folder: Path) -> Path:
    return write_counting(folder / "wide.mp4", [40 * n for n in range(20)], "libx264", 2048, 16)


@makes(CLIP)
def one_frame(folder: Path) -> Path:
    return write_counting(folder / "one.mp4", [0])


@makes(CLIP)
def ten_bit(folder: Path) -> Path:
    return write_counting(folder / "ten.mp4", [40 * n for n in range(20)], "libx265", 128, 128, "yuv420p10le")


@makes(CLIP)
def hevc(folder: Path) -> Path:
    return write_counting(folder / "hevc.mp4", [40 * n for n in range(20)], "libx265", 128, 128)


@makes(CLIP)
def vp8(folder: Path) -> Path:
    return write_counting(folder / "vp8.webm", [40 * n for n in range(20)], "libvpx")


@makes(CLIP)
def vp9(folder: Path) -> Path:
    return write_counting(folder / "vp9.webm", [40 * n for n in range(20)], "libvpx-vp9")


@makes(CLIP)
def av1(folder: Path) -> Path:
    """Encoded in a process of its own: SVT-AV1, where it may, gives the thread that opens it real-time priority, and that is
    inherited by whatever is started later. A whole Ray at SCHED_FIFO leaves its machine nothing else to do."""
    path = folder / "av1.mp4"
    code = "import sys; from pathlib import Path; from videos import write_counting as w;"
    code += "w(Path(sys.argv[1]), [40 * n for n in range(20)], 'libsvtav1', 64, 64)"
    tests = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", code, str(path)], env=os.environ | {"PYTHONPATH": tests}, check=True, timeout=60)
    return path


@makes(CLIP)
def mpeg4_in_avi(folder: Path) -> Path:
    return write_noisy(folder / "a.avi", 2, 64, 64, "mpeg4")


@makes(CLIP)
def transport_stream(folder: Path) -> Path:
    return write_counting(folder / "a.ts", [40 * n for n in range(20)])


@makes("codec")
def a_codec_that_is_not_allowed(folder: Path) -> Path:
    return write_counting(folder / "ffv1.mkv", [40 * n for n in range(20)], "ffv1")


@makes(CLIP)
def variable_frame_rate(folder: Path) -> Path:
    return write_counting(folder / "vfr.mp4", [*range(0, 400, 20), *range(400, 4000, 300)])


@makes(CLIP)
def fragmented(folder: Path) -> Path:
    return remuxed(folder, "fragmented.mp4", movflags="frag_keyframe+empty_moov")


@makes(CLIP)
def no_index(folder: Path) -> Path:
    path = folder / "live.webm"
    with av.open(str(path), "w", format="webm", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), number * 5, np.uint8), format="rgb24")))
        container.mux(stream.encode())
    return path


@makes("missing")
def a_folder(folder: Path) -> Path:
    path = folder / "folder.mp4"
    path.mkdir()
    return path


@makes("missing")
def a_pipe_that_nobody_writes_to(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4"


@makes("missing")
def a_link_to_itself(folder: Path) -> Path:
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    return folder / "loop.mp4"


@makes("missing")
def a_name_that_is_too_long(folder: Path) -> Path:
    return folder / f"{'n' * 300}.mp4"


@makes("missing")
def nothing(folder: Path) -> Path:
    return folder / "nothing.mp4"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def decoder() -> ChildDecoder:
    return ChildDecoder(Storage(), TIGHT)


def test_there_are_at_least_forty() -> None:
    assert len(MAKERS) >= 40


@pytest.mark.parametrize("name", MAKERS)
def test_a_clip_or_a_failure_of_the_right_kind(folder: Path, decoder: ChildDecoder, name: str) -> None:
    path, kinds = MAKERS[name](folder)
    began = time.monotonic()
    result = decoder.decode(a_clip(video=str(path)), SPEC)
    assert time.monotonic() - began < TIGHT.timeout_s
    if isinstance(result, Failure):
        assert result.kind in kinds, result
        assert path.name in result.detail
        assert "\n" not in result.detail
    else:
        assert CLIP in kinds
        assert result.video.frames.shape == (4, 32, 32, 3)


def test_odd_files_by_a_frame_rate_in_their_own_aspect(folder: Path, decoder: ChildDecoder) -> None:
    size = KeepAspect(min_pixels=32 * 32, max_pixels=64 * 64, multiple_px=8)
    spec = FrameSpec(choose=PerSecond(rate=4, min_frames=2, max_frames=8, multiple=2), size=size)
    for maker, shape in [
        (odd_sizes, (2, 32, 64, 3)),
        (tiny_size, (2, 32, 32, 3)),
        (very_wide, (2, 8, 720, 3)),
        (one_frame, (2, 64, 64, 3)),
        (rotated, (8, 72, 48, 3)),
        (endless_duration, (8, 64, 64, 3)),
        (variable_frame_rate, (8, 64, 64, 3)),
        (no_index, (4, 64, 64, 3)),
        (transport_stream, (2, 64, 64, 3)),
        (mpeg4_in_avi, (8, 64, 64, 3)),
    ]:
        result = decoder.decode(a_clip(video=str(maker(folder))), spec)
        assert isinstance(result, ClipRead), result
        assert result.video.frames.shape == shape, maker.__name__
        assert list(result.video.times_s) == sorted(result.video.times_s)


def test_a_window_before_the_cut_is_a_clip(folder: Path, decoder: ChildDecoder) -> None:
    path = cut(folder, "front.mp4", 0.7)
    assert isinstance(decoder.decode(a_clip(video=str(path), start_s=0.5, end_s=1.5), SPEC), ClipRead)


def test_the_rest_of_the_piece_is_untouched(folder: Path, tmp_path: Path) -> None:
    """One piece of all hostile files, a good one between any two: each good one has the frames that it has alone."""
    good = str(plain(folder))
    clips = []
    for number, (name, maker) in enumerate(MAKERS.items()):
        (folder / str(number)).mkdir()
        clips += [a_clip(name, video=str(maker(folder / str(number))[0])), a_clip(f"good {number}", video=good)]
    store = Store(str(tmp_path))
    write_parts(store, clips)
    decoding = replace(DECODING, limits=TIGHT)
    row = {"piece_id": "p", "part": path_of("train", 0), "start": 0, "count": len(clips)}
    results = videos_of(decode_piece(row, spec=SPEC, decoding=decoding, store=store))
    assert len(results) == len(clips)
    goods = [result for clip, result in zip(clips, results, strict=True) if clip.clip_id.startswith("good")]
    assert len(goods) == len(MAKERS)
    assert isinstance(goods[0], Decoded)
    for good_result in goods:
        assert isinstance(good_result, Decoded)
        assert np.array_equal(good_result.video.frames, goods[0].video.frames)
        assert good_result.video.times_s == goods[0].video.times_s == (0.48, 1.48, 2.48, 3.48)


def header(**fields: Any) -> str:
    """Python code of the bytes that announce frames: those that SPEC asks for, but for the given fields."""
    honest = {"num_frames": 4, "width": 32, "height": 32, "times_s": [0.0, 1.0, 2.0, 3.0], "in_order": False}
    body = json.dumps(honest | fields).encode()
    return repr(b"F" + LENGTH.pack(len(body)) + body + bytes(4 * 32 * 32 * 3))


def failure_of(body: bytes) -> str:
    return repr(b"X" + LENGTH.pack(len(body)) + body)


ROGUE = "import os, socket, sys, time; connection = socket.socket(fileno=int(sys.argv[2])); connection.sendall(b'H' + bytes(4));"
"""The beginning of a decoding process's program that is not ours."""
LIES = {
    "other letters": repr(b"?" * 100),
    "a length of four gigabytes": repr(b"X" + b"\xff" * 100),
    "more frames": header(num_frames=1_000_000),
    "fewer frames": header(num_frames=3, times_s=[0.0, 1.0, 2.0]),
    "a negative size": header(width=-32, height=-32),
    "half a pixel": header(width=32.0),
    "a larger size": header(width=40_000, height=40_000),
    "one time too few": header(times_s=[0.0, 1.0, 2.0]),
    "a time that is no number": header(times_s=[0.0, 1.0, 2.0, float("nan")]),
    "a time before the clip": header(times_s=[-1.0, 1.0, 2.0, 3.0]),
    "times out of order": header(times_s=[0.0, 2.0, 1.0, 3.0]),
    "a time as text": header(times_s=["0", 1.0, 2.0, 3.0]),
    "a header that is a list": repr(b"F" + LENGTH.pack(2) + b"[]"),
    "a header nested too deeply": repr(b"F" + LENGTH.pack(1 << 20)) + " + b'[' * (1 << 20)",
    "a failure that is a list": failure_of(b"[]"),
    "a failure of an unknown kind": failure_of(b'{"kind": "haunted", "detail": ""}'),
    "a failure without a text": failure_of(b'{"kind": "codec", "detail": 1}'),
}
"""What a decoding process that was taken over may send -> Python code of its bytes."""


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        ("connection.recv(1 << 16); time.sleep(3600)", "timeout"),
        ("connection.recv(1 << 16)\nwhile True: pass", "timeout"),
        ("connection.recv(1 << 16); os.abort()", "crashed"),
        ("connection.recv(1 << 16); os._exit(3)", "crashed"),
    ],
)  # fmt: skip
def test_a_decoder_that_never_returns_or_dies(folder: Path, program: str, kind: str) -> None:
    with ChildDecoder(Storage(), replace(TIGHT, timeout_s=0.3), program=("-c", ROGUE + program)) as decoder:
        began = time.monotonic()
        failure = decoder.decode(a_clip(video=str(plain(folder))), SPEC)
        assert isinstance(failure, Failure)
        assert failure.kind == kind
        assert time.monotonic() - began < 30


def test_a_decoder_that_a_busy_node_does_not_let_compute_is_waited_for(folder: Path) -> None:
    """Its CPU time is counted and not the clock: else the load of a node decides which clips are kept."""
    with ChildDecoder(Storage(), replace(TIGHT, timeout_s=1.0)) as decoder:
        clip = a_clip(video=str(plain(folder)))
        decoder.decode(clip, SPEC)
        pid = decoder.pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(2.0, os.kill, (pid, signal.SIGCONT)).start()
        assert isinstance(decoder.decode(clip, SPEC), ClipRead)
        assert decoder.pid == pid


@pytest.mark.parametrize("lie", LIES)
def test_a_decoder_that_lies_is_not_believed(folder: Path, lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "TRIES", 1)
    monkeypatch.setattr(process, "EXIT_WAIT_S", 0.1)
    program = f"{ROGUE}connection.recv(1 << 16); connection.sendall({LIES[lie]}); time.sleep(3600)"
    with ChildDecoder(Storage(), TIGHT, program=("-c", program)) as decoder:
        failure = decoder.decode(a_clip(video=str(plain(folder))), SPEC)
    assert isinstance(failure, Failure)
    assert failure.kind == "crashed"


@pytest.mark.parametrize(
    ("asks", "kind"),
    [((0, 1), "timeout"), ((0, 0), "crashed"), ((10**9, 1), "crashed"), ((0, 10**9), "crashed"), ((7, 2**32 - 1), "crashed")],
)
def test_a_decoder_that_asks_for_bytes_without_end_is_stopped(
    folder: Path, asks: tuple[int, int], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock stands still while storage answers: one byte again and again must end too, and so must no byte at all."""
    monkeypatch.setattr(isolation, "TRIES", 1)
    monkeypatch.setattr(process, "EXIT_WAIT_S", 0.1)
    forever = f"connection.recv(1 << 16)\nwhile True: connection.sendall({b'R' + RANGE.pack(*asks)!r}); connection.recv(1 << 16)"
    reads, read = 0, LocalSource.read

    def slow(source: LocalSource, offset: int, length: int) -> bytes:
        nonlocal reads
        reads += 1
        assert reads < 1000
        return read(source, offset, length)

    monkeypatch.setattr(LocalSource, "read", slow)
    with ChildDecoder(Storage(), replace(TIGHT, timeout_s=1.0), program=("-c", ROGUE + forever)) as decoder:
        failure = decoder.decode(a_clip(video=str(plain(folder))), SPEC)
    assert isinstance(failure, Failure)
    assert failure.kind == kind


@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_honest_decoders_ask_for_bytes_far_less_often(folder: Path, monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    """A quarter of the requests is enough for each kind of container, and for as many frames as a model may watch."""
    if backend == "decord":
        pytest.importorskip("decord")
    monkeypatch.setattr(isolation, "most_requests", lambda request: most_requests(request) // 4)
    long = write_noisy(folder / "long.mp4", 12, 640, 360, preset="ultrafast", crf="10")
    assert long.stat().st_size > 3 << 20, "larger than what is read at once"
    many = FrameSpec(choose=PerSecond(rate=50, min_frames=4, max_frames=768, multiple=2), size=Square(16))
    with ChildDecoder(Storage(), LIMITS, backend) as decoder:
        for name in ("long.mp4", "long.mkv", "long.ts", "long.flv")[: 1 if backend == "decord" else None]:
            if not (folder / name).exists():
                remux(long, folder / name, 1, {})
            for spec in (SPEC, many):
                result = decoder.decode(a_clip(video=str(folder / name)), spec)
                assert isinstance(result, ClipRead), (name, result)


def test_the_lies_differ_from_the_truth(folder: Path) -> None:
    program = f"{ROGUE}connection.recv(1 << 16); connection.sendall({header()}); time.sleep(3600)"
    with ChildDecoder(Storage(), TIGHT, program=("-c", program)) as decoder:
        result = decoder.decode(a_clip(video=str(plain(folder))), SPEC)
    assert isinstance(result, ClipRead)
    assert result.video.times_s == (0.0, 1.0, 2.0, 3.0)


def test_a_failure_s_text_can_be_written(folder: Path) -> None:
    """A lone surrogate, which is no Unicode text, and a text without an end."""
    body = b'{"kind": "codec", "detail": "\\ud800' + b"x" * 5000 + b'"}'
    program = f"{ROGUE}connection.recv(1 << 16); connection.sendall({failure_of(body)}); time.sleep(3600)"
    with ChildDecoder(Storage(), TIGHT, program=("-c", program)) as decoder:
        assert decoder.decode(a_clip(video=str(plain(folder))), SPEC) == Failure(kind="codec", detail="?" + "x" * 999)


def test_a_decoder_that_was_killed_is_replaced_without_a_word(folder: Path, decoder: ChildDecoder) -> None:
    clip = a_clip(video=str(plain(folder)))
    before = decoder.decode(clip, SPEC)
    assert decoder.pid is not None
    os.kill(decoder.pid, 9)
    after = decoder.decode(clip, SPEC)
    assert isinstance(before, ClipRead)
    assert isinstance(after, ClipRead)
    assert np.array_equal(before.video.frames, after.video.frames)


def test_a_decoder_that_does_not_start_is_nobody_s_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "NOT_STARTED_WAIT_S", 0.0)
    with (
        ChildDecoder(Storage(), TIGHT, program=("-c", "raise SystemExit('no library')")) as decoder,
        pytest.raises(ChildProcessError, match=r"does not start \(exit 1: no library\)"),
    ):
        decoder.decode(a_clip(video=str(plain(folder))), SPEC)


@pytest.mark.parametrize("call", [(process.socket, "socketpair"), (os, "pipe"), (process.subprocess, "Popen")])
def test_a_decoder_that_cannot_be_forked_is_nobody_s_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: tuple[Any, str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    clip = a_clip(video=str(plain(folder)))
    monkeypatch.setattr(isolation, "NOT_STARTED_WAIT_S", 0.0)
    with ChildDecoder(Storage(), TIGHT) as decoder:
        with monkeypatch.context() as patches:
            patches.setattr(*call, refuse)
            before = os.listdir("/proc/self/fd")
            with pytest.raises(ChildProcessError, match=r"does not start \(.*Resource temporarily unavailable\)"):
                decoder.decode(clip, SPEC)
            assert os.listdir("/proc/self/fd") == before
        assert isinstance(decoder.decode(clip, SPEC), ClipRead)


@pytest.mark.parametrize("code", [errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN])
def test_a_mount_that_is_away_is_no_video_s_fault(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The decoding process lets the clip go, and decodes the next one."""

    def fail(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    clip = a_clip(video=str(plain(folder)))
    with ChildDecoder(Storage(patience_s=0), TIGHT) as decoder:
        assert isinstance(decoder.decode(clip, SPEC), ClipRead)
        pid = decoder.pid
        with monkeypatch.context() as patches:
            patches.setattr(os, "pread", fail)
            with pytest.raises(StorageError, match=os.strerror(code)):
                decoder.decode(clip, SPEC)
        assert isinstance(decoder.decode(clip, SPEC), ClipRead)
        assert decoder.pid == pid


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_machine_out_of_files_is_no_video_s_fault(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Although other files can be read."""
    system, video = os.open, str(plain(folder))

    def fail(path: Any, *arguments: Any, **options: Any) -> int:
        if path == video:
            raise OSError(code, os.strerror(code))
        return system(path, *arguments, **options)

    with ChildDecoder(Storage(patience_s=0), TIGHT) as decoder:
        assert isinstance(decoder.decode(a_clip(video=video), SPEC), ClipRead)
        monkeypatch.setattr(os, "open", fail)
        with pytest.raises(StorageError, match=rf"{os.strerror(code)}; this machine is out of memory or open files"):
            decoder.decode(a_clip(video=video), SPEC)


@pytest.mark.parametrize("error", [OSError(errno.EIO, os.strerror(errno.EIO)), ValueError("a filesystem's own"), OverflowError()])
def test_a_file_that_alone_cannot_be_read_is_a_row(folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """As with a bad block of a disk. The decoding process lets the clip go, and is not blamed."""
    clip, system = a_clip(video=str(plain(folder))), os.pread
    inode = plain(folder).stat().st_ino
    plain(folder, "other.mp4")

    def fail(file: int, *arguments: int) -> bytes:
        if os.fstat(file).st_ino == inode:
            raise error
        return system(file, *arguments)

    with ChildDecoder(Storage(patience_s=0), TIGHT) as decoder:
        with monkeypatch.context() as patches:
            patches.setattr(os, "pread", fail)
            failure = decoder.decode(clip, SPEC)
            pid = decoder.pid
        assert isinstance(failure, Failure)
        assert (failure.kind, clip.video in failure.detail) == ("unreadable", True)
        assert isinstance(decoder.decode(clip, SPEC), ClipRead)
        assert decoder.pid == pid


def test_a_read_error_outlives_a_decoder_that_does_not_let_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "pread", fail)
    program = f"{ROGUE}connection.recv(1 << 16); connection.sendall({b'R' + RANGE.pack(0, 100)!r}); time.sleep(3600)"
    with ChildDecoder(Storage(patience_s=0), replace(TIGHT, timeout_s=0.1), program=("-c", program)) as decoder:
        with pytest.raises(StorageError, match="Stale file handle"):
            decoder.decode(a_clip(video=str(plain(folder))), SPEC)
        assert decoder.pid is None


def test_the_decoding_process_holds_no_credential_and_opens_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    with ChildDecoder(Storage(), TIGHT) as decoder:
        decoder.decode(a_clip(video=str(plain(folder))), SPEC)
        proc = Path(f"/proc/{decoder.pid}")
        assert b"AWS" not in (proc / "environ").read_bytes()
        limits = (proc / "limits").read_text()
        assert sorted(os.listdir(proc / "fd")) == ["0", "1", "2", "3"]
        assert "Max open files            4 " in limits
        assert f"Max address space         {TIGHT.memory_bytes} " in limits


def test_memory_is_bounded(folder: Path) -> None:
    path = write_counting(folder / "wide-4k.mp4", [0, 40, 80], "mpeg4", 4096, 2160)
    with ChildDecoder(Storage(), replace(TIGHT, memory_bytes=1 << 28)) as decoder:
        failure = decoder.decode(a_clip(video=str(path)), SPEC)
        assert isinstance(failure, Failure)
        assert failure.kind in ("too_large", "crashed")
        assert isinstance(decoder.decode(a_clip(video=str(plain(folder))), SPEC), ClipRead)


def test_decoding_is_bounded(folder: Path) -> None:
    with ChildDecoder(Storage(), replace(TIGHT, decode_pixels=1_000_000)) as decoder:
        failure = decoder.decode(a_clip(video=str(plain(folder))), SPEC)
    assert isinstance(failure, Failure)
    assert failure.kind == "too_large"
    assert "limits.decode_pixels" in failure.detail


def test_reading_is_bounded(folder: Path) -> None:
    with ChildDecoder(Storage(), replace(TIGHT, read_bytes=10_000)) as decoder:
        failure = decoder.decode(a_clip(video=str(plain(folder))), SPEC)
    assert isinstance(failure, Failure)
    assert failure.kind == "too_large"
    assert "limits.read_bytes" in failure.detail


def test_a_video_replaced_since_the_answer_is_told_apart(folder: Path, tmp_path: Path, decoder: ChildDecoder) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(plain(folder).read_bytes())
    clip = a_clip(video=str(path))
    result = decoder.decode(clip, SPEC)
    assert isinstance(result, ClipRead)
    assert isinstance(decoder.decode(clip, SPEC, etag=result.etag), ClipRead)
    path.write_bytes(one_frame(tmp_path).read_bytes())
    failure = decoder.decode(clip, SPEC, etag=result.etag)
    assert isinstance(failure, Failure)
    assert failure.kind == "replaced"


def test_a_file_without_an_index_is_read_in_order_and_says_so(folder: Path, decoder: ChildDecoder) -> None:
    for maker, in_order in ((no_index, True), (transport_stream, True), (mpeg4_in_avi, True), (hevc, False), (vp9, False)):
        result = decoder.decode(a_clip(video=str(maker(folder))), SPEC)
        assert isinstance(result, ClipRead)
        assert result.in_order == in_order


def test_failures_are_rows() -> None:
    failure = Failure(kind="codec", detail="why")
    assert videos_of(frame_columns([failure])) == [failure]


def test_no_video_gave_this_process_real_time_priority() -> None:
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
