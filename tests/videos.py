"""Videos that tests make: frames that say their number, long ones out of short ones, hostile ones."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

MS = Fraction(1, 1000)


def write_counting(
    path: Path,
    times_ms: list[int],
    codec: str = "libx264",
    width: int = 64,
    height: int = 64,
    pix_fmt: str = "yuv420p",
    **options: str,
) -> Path:
    """A video whose n-th frame is uniformly grey n * 5 (mod 250), shown at times_ms[n]."""
    with av.open(str(path), "w") as container:
        defaults = {} if codec == "mjpeg" else {"g": "12", "threads": "1"} | ({"crf": "10"} if "x26" in codec else {})
        stream = container.add_stream(codec, rate=25, options=defaults | options)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = MS
        for number, ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), number * 5 % 250, np.uint8), format="rgb24")
            frame.pts, frame.time_base = ms, MS
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_noisy(path: Path, seconds: float, width: int, height: int, codec: str = "libx264", fps: int = 25, **options: str) -> Path:
    """Slowly drifting noise: every frame differs from every other, as a camera's do."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (height // 16 + 16, width // 16 + 16, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options={"g": "50", "threads": "1"} | options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(round(seconds * fps)):
            x, y = number * 3 % 240, number * 2 % 240
            picture = np.ascontiguousarray(texture[y : y + height, x : x + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def turn(mp4: bytes, target: Path) -> Path:
    """The same mp4, marked to be shown a quarter turn clockwise: tkhd's matrix, in 16.16 and 2.30 fixed point."""
    data, unit = bytearray(mp4), 1 << 16
    width = struct.unpack_from(">I", data, data.index(b"tkhd") + 80)[0]
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, 0, unit, 0, -unit, 0, 0, width, 0, 1 << 30)
    target.write_bytes(data)
    return target


def remux(source: Path, target: Path, times: int, options: dict[str, str] | None = None) -> Path:
    """The same packets again and again, one after the other, without encoding: a long video out of a short one."""
    with av.open(str(target), "w", options=options or {}) as out:
        with av.open(str(source)) as short:
            stream = out.add_stream_from_template(short.streams.video[0])
            packets = [(bytes(p), p.pts, p.dts, p.duration, p.is_keyframe, p.time_base) for p in short.demux(video=0) if p.size]
        span = max(pts + duration for _, pts, _, duration, _, _ in packets) - min(pts for _, pts, *_ in packets)
        for lap in range(times):
            for data, pts, dts, duration, is_keyframe, time_base in packets:
                packet = av.Packet(data)
                packet.pts, packet.dts, packet.duration = pts + lap * span, dts + lap * span, duration
                packet.time_base, packet.is_keyframe, packet.stream = time_base, is_keyframe, stream
                out.mux(packet)
    return target
