"""Container checks before decoding: allowed formats, truncation, kinds of failure.

It runs in the decoding process (engine/decode/child.py), and so knows bytes and FFmpeg, and no rows, storage or configuration.
"""

from typing import BinaryIO

import av
from av.stream import Disposition

from engine.decode.request import Request, Unusable

CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg")
"""FFmpeg's names of the demuxers that may open a video: none for playlists, for devices or for text drawn as a picture."""
CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "mpeg1video", "h263", "mjpeg", "msmpeg4v3"})
UNINDEXED = ("mpegts", "mpeg", "avi")
"""Demuxers of videos that are read in order, from the start: these carry no index by time, and avi carries no times at all."""
CUES = b"\x1c\x53\xbb\x6b"
"""The element id of Matroska's index; a seek head at the front of the file announces it."""
HEAD_BYTES = 4096
EBML = b"\x1aE\xdf\xa3"
"""The first bytes of a Matroska file."""
BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide")
"""Types of an mp4 file's first box."""


def open_container(file: BinaryIO, video: str) -> "av.container.InputContainer":
    """Open a video with the allowed demuxers only, and no protocol. Raises Unusable."""
    try:
        return av.open(file, mode="r", options={"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none"})
    except (av.error.FFmpegError, EOFError) as error:
        raise invalid(file, video, error) from None


def video_stream(file: BinaryIO, container: "av.container.InputContainer", request: Request) -> "av.VideoStream":
    """The first video stream that is not a cover picture, with max_pixels set on its decoder.

    Raises Unusable where there is none, its codec is not allowed, or its frames are too large.
    """
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
    """True if a seek can use an index. A Matroska file that was streamed has none: FFmpeg would search it from its start."""
    return container.format.name != "matroska,webm" or CUES in _head(file)


def _head(file: BinaryIO) -> bytes:
    at = file.tell()
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(at)
    return head


def too_wide(request: Request, what: str) -> Unusable:
    """The failure of a video whose frames are larger than limits.frame_pixels."""
    return Unusable("too_large", f"{request.video}: {what} larger than limits.frame_pixels = {request.frame_pixels}")


def damaged(file: BinaryIO, request: Request, error: Exception) -> Unusable:
    """The failure that a decoder's error means: the end of the file is missing, or bytes in the middle are wrong."""
    if is_cut(file, request.size):
        return truncated(request.video)
    return Unusable("codec", f"{request.video} cannot be decoded: {error}; can ffmpeg play it?")


def no_frame(video: str) -> Unusable:
    """The failure of a file that announces a video stream and has no packet of it."""
    return Unusable("truncated", f"{video} announces a video stream and holds no frame; fetch it again")


def truncated(video: str) -> Unusable:
    """The failure of a file that is shorter than its container says."""
    return Unusable("truncated", f"{video} begins as a video and cannot be read to its end; fetch it again")


def invalid(file: BinaryIO, video: str, error: Exception) -> Unusable:
    """The failure of a file that no demuxer opens: a video that is cut off, or no video at all."""
    head = _head(file)
    if head[4:8] in BOXES or head[:4] == EBML or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return truncated(video)
    if not head:
        return Unusable("not_video", f"{video} has 0 bytes; replace it or drop its row")
    known = ", ".join(name.partition(",")[0] for name in CONTAINERS)
    why = f"not one of {known}" if "whitelist" in str(error) else getattr(error, "strerror", None) or str(error)
    return Unusable("not_video", f"{video} is not a video file ({why}); replace it or drop its row")


def is_cut(file: BinaryIO, size: int) -> bool:
    """True if the container announces more bytes than the file has: mp4's boxes, Matroska's segment, AVI's RIFF header."""
    head = _head(file)
    if head[:4] == b"RIFF":
        return int.from_bytes(head[4:8], "little") + 8 > size
    if head[:4] == EBML:
        return _segment_end(head) > size
    if head[4:8] not in BOXES:
        return False
    at = 0
    for _ in range(16):  # a fragmented file has thousands; its first boxes are enough
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
    """The offset in the file at which Matroska's segment ends; 0 if it does not say (variable-length integers: RFC 8794)."""

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
