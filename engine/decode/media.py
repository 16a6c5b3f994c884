"""What a video is before it is decoded: what may be opened at all, whether it is whole, and how it fails.

It runs in the decoding process (engine/decode/child.py), and so knows bytes and FFmpeg, and nothing else of the project.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

Backend = Literal["pyav", "decord"]
CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg")
"""FFmpeg demuxers that may open a video, as FFmpeg names them. No playlist, no device, no text drawn as a picture."""
CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "mpeg1video", "h263", "mjpeg", "msmpeg4v3"})
UNINDEXED = ("mpegts", "mpeg", "avi")
"""Read in order, from the start: they carry no index by time, or, avi, no times."""
CUES = b"\x1c\x53\xbb\x6b"
"""Matroska's name for its index, announced in the seek head at the front."""
HEAD_BYTES = 4096
EBML = b"\x1aE\xdf\xa3"
BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide")
"""What Matroska begins with, and an mp4's first box."""

Frames = NDArray[np.uint8]


class Unusable(Exception):
    """A video that gives no frames: the kind of failure, and a detail that says what to do."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to read: T = num_frames frames of S = size_px pixels a side of a window in seconds of presentation time.

    Request(video="s3://b/a.mp4", size=1_200_000, start_s=3.0, end_s=11.0, num_frames=16, size_px=336, backend="pyav", ...)
    """

    video: str
    """For messages only."""
    size: int
    """Bytes of the whole object."""
    start_s: float | None
    end_s: float | None
    num_frames: int
    size_px: int
    backend: Backend
    jitter_seed: int | None
    frame_pixels: int
    """Most pixels a frame may have, before it is decoded."""
    decode_pixels: int
    """Most pixels that may be decoded for this clip, all frames together."""


def frames_shape(request: Request) -> Sequence[int]:
    """T, S, S, 3."""
    return (request.num_frames, request.size_px, request.size_px, 3)


def open_container(file: BinaryIO, video: str) -> "av.container.InputContainer":
    """With none but the allowed demuxers and no protocol. Raises Unusable."""
    try:
        return av.open(file, mode="r", options={"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none"})
    except (av.error.FFmpegError, EOFError) as error:
        raise invalid(file, video, error) from None


def video_stream(file: BinaryIO, container: "av.container.InputContainer", request: Request) -> "av.VideoStream":
    """The first moving one, its decoder bounded in pixels. Raises Unusable: no video, another codec, too large."""
    video = request.video
    if container.format.name not in CONTAINERS:
        raise Unusable("not_video", f"{video} is {container.format.long_name!r}, not a video container")
    moving = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not moving:
        if is_cut(file, request.size):
            raise truncated(video)
        raise Unusable("no_video_stream", f"{video} has no video stream; drop its row")
    stream = moving[0]
    codec = stream.codec_context
    if codec.codec.canonical_name not in CODECS:
        raise Unusable("codec", f"{video} is coded as {codec.codec.canonical_name!r}; known are {', '.join(sorted(CODECS))}")
    if codec.width * codec.height > request.frame_pixels:
        raise too_wide(request, f"{codec.width} x {codec.height} is")
    # a stream that grows behind its header: FFmpeg refuses before it allocates; it counts with the decoder's padding
    codec.options = {"max_pixels": str(2 * request.frame_pixels + (1 << 16))}
    codec.thread_count = 1
    return stream


def is_indexed(file: BinaryIO, container: "av.container.InputContainer") -> bool:
    """Whether a seek reads an index. A Matroska file that was streamed has none, and is searched from its start instead."""
    return container.format.name != "matroska,webm" or CUES in _head(file)


def _head(file: BinaryIO) -> bytes:
    at = file.tell()
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(at)
    return head


def empty(request: Request, length_s: float) -> Unusable:
    """No frame lies in the window that was asked for."""
    span = f"{request.start_s}..{request.end_s} s"
    return Unusable("empty_window", f"{request.video} is {length_s:.2f} s long; nothing lies in {span}")


def too_wide(request: Request, what: str) -> Unusable:
    """A frame, or what announces one, is above the budget."""
    return Unusable("too_large", f"{request.video}: {what} larger than limits.frame_pixels = {request.frame_pixels}")


def damaged(file: BinaryIO, request: Request, error: Exception) -> Unusable:
    """What an error of the decoder means: the end is missing, or something in the middle is wrong."""
    if is_cut(file, request.size):
        return truncated(request.video)
    return Unusable("codec", f"{request.video} cannot be decoded: {error}; can ffmpeg play it?")


def no_frame(video: str) -> Unusable:
    """A stream is announced, and no packet of it is there."""
    return Unusable("truncated", f"{video} announces a video stream and holds no frame; fetch it again")


def truncated(video: str) -> Unusable:
    """Fewer bytes than the container says."""
    return Unusable("truncated", f"{video} begins as a video and cannot be read to its end; fetch it again")


def invalid(file: BinaryIO, video: str, error: Exception) -> Unusable:
    """No demuxer opens it: the beginning of a video, or none."""
    head = _head(file)
    if head[4:8] in BOXES or head[:4] == EBML or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return truncated(video)
    if not head:
        return Unusable("not_video", f"{video} has 0 bytes; replace it or drop its row")
    known = ", ".join(name.partition(",")[0] for name in CONTAINERS)
    why = f"not one of {known}" if "whitelist" in str(error) else getattr(error, "strerror", None) or str(error)
    return Unusable("not_video", f"{video} is not a video file ({why}); replace it or drop its row")


def is_cut(file: BinaryIO, size: int) -> bool:
    """Whether the container announces more bytes than there are: mp4's boxes, Matroska's segment, AVI's RIFF."""
    head = _head(file)
    if head[:4] == b"RIFF":
        return int.from_bytes(head[4:8], "little") + 8 > size
    if head[:4] == EBML:
        return _segment_end(head) > size
    if head[4:8] not in BOXES:
        return False
    at = 0
    for _ in range(16):  # a fragmented file has thousands; its first boxes will do
        file.seek(at)
        box = file.read(16)
        if len(box) < 8:
            return at > size
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:16], "big")
        if length < 8:  # 0: up to the end of the file
            return False
        at += length
    return at > size


def _segment_end(head: bytes) -> int:
    """Where Matroska's segment ends, in bytes of the file; 0 where it does not say (variable-length integers: RFC 8794)."""

    def size_at(position: int) -> tuple[int, int]:
        first = head[position] if position < len(head) else 0
        width = 9 - first.bit_length() if first else 1
        value = int.from_bytes(head[position : position + width], "big") & ((1 << (7 * width)) - 1)
        unknown = value == (1 << (7 * width)) - 1
        return (0 if unknown else value), width

    header, width = size_at(4)
    at = 4 + width + header
    if head[at : at + 4] != b"\x18\x53\x80\x67":
        return 0
    length, width = size_at(at + 4)
    return at + 4 + width + length if length else 0
