"""Container checks before decoding: allowed formats and codecs, the stream that is watched, kinds of failure.

It runs in the decoding process (engine/decode/child.py), and so knows bytes and FFmpeg, and no rows, storage or configuration.
"""

import re
from typing import BinaryIO

import av
from av.stream import Discard, Disposition

from engine.decode import jpeg
from engine.decode.contents import other_contents
from engine.decode.cut import BOXES, EBML, head_of, is_cut
from engine.decode.request import Request, Unusable

SEEKABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""FFmpeg's names of the demuxers with an index by time: of a window only its own bytes are read."""
MOVING = ("avi", "mpegts", "mpeg", "flv", "asf", "ogg", "mxf", "ivf", "dv", "gif", "apng", "yuv4mpegpipe")
RAW = ("h264", "hevc", "m4v", "mpegvideo", "mjpeg", "obu")
"""Streams of a codec without a container."""
PICTURES = ("jpeg_pipe", "png_pipe", "webp_pipe", "bmp_pipe")
"""Still pictures: videos of one frame, which is shown at 0 s. Previews, gain maps, other views or a film may lie behind it."""
JPEG_NAME = re.compile(r"\.(jpe?g|jpe|jfif|mpo)([?#]|$)", re.IGNORECASE)
CONTAINERS = (*SEEKABLE, *MOVING, *RAW, *PICTURES)
"""Demuxers that may open a video: none for playlists, for devices or for text drawn as a picture."""
CODECS = frozenset(
    "h264 hevc vp8 vp9 av1 mpeg4 mpeg2video mpeg1video h263 mjpeg msmpeg4v1 msmpeg4v2 msmpeg4v3 flv1 vp6 vp6a vp6f wmv1 wmv2 wmv3 "
    "vc1 theora dvvideo prores dnxhd rawvideo gif apng png webp bmp".split()
)
DEFAULT_SCORE, PACKETS_SCORE = 5_000_000, 100_000_000
"""What FFmpeg's command line adds to a stream's pixels for the flag "default", and for packets (map_auto_video in
fftools/ffmpeg_mux_init.c)."""
CUES = b"\x1c\x53\xbb\x6b"
"""The element id of Matroska's index; a seek head at the front of the file announces it."""
TRANSCODE = "convert it with: ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4"


def open_container(file: BinaryIO, video: str) -> "av.container.InputContainer":
    """Open a video from its first byte with the allowed demuxers only, and no protocol. Raises Unusable."""
    demuxer = "jpeg_pipe" if _is_still_jpeg(file, video) else None
    file.seek(0)
    try:
        options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none"}
        return av.open(file, mode="r", format=demuxer, options=options)
    except (av.error.FFmpegError, EOFError) as error:
        raise invalid(file, video, error) from None


def _is_still_jpeg(file: BinaryIO, video: str) -> bool:
    """True for a JPEG that is no motion JPEG, for which FFmpeg takes several pictures in one file: by name, or by what it lists."""
    is_jpeg = head_of(file).startswith(jpeg.BEGINNING)
    return is_jpeg and (JPEG_NAME.search(video) is not None or jpeg.lists_others(file))


def video_stream(file: BinaryIO, container: "av.container.InputContainer", request: Request) -> "av.VideoStream":
    """The stream that FFmpeg's command line chooses, with max_pixels set on its decoder; the other streams are not read.

    Raises Unusable where there is none, its codec is not allowed, or its frames are too large.
    """
    video = request.video
    if container.format.name not in CONTAINERS:
        raise Unusable("not_video", f"{video} is {container.format.long_name!r}, not a video container; {TRANSCODE}")
    if container.format.name == "webp_pipe" and b"ANIM" in head_of(file):
        raise Unusable("codec", f"{video} is an animated WebP, which FFmpeg does not read; convert it to GIF or MP4")
    parts = Disposition.attached_pic | Disposition.dependent  # covers, and tiles or layers of another picture
    moving = [stream for stream in container.streams.video if not stream.disposition & parts]
    if not moving:
        if any(stream.disposition & Disposition.dependent for stream in container.streams.video):
            raise Unusable("codec", f"{video} is one picture in tiles, such as HEIC; convert it to JPEG")
        if is_cut(file, request.size):
            raise truncated(video)
        raise Unusable("no_video_stream", f"{video} has no video stream; drop its row")
    stream = max(moving, key=_score)  # the first of equals
    codec = stream.codec_context
    if codec is None or codec.codec.canonical_name not in CODECS:
        name = "an unknown codec" if codec is None else repr(codec.codec.canonical_name)
        raise Unusable("codec", f"{video} is coded as {name}, which is not opened here; {TRANSCODE}")
    if codec.width * codec.height > request.frame_pixels:
        raise too_wide(request, f"{codec.width} x {codec.height} is")
    # a stream that grows behind its header: FFmpeg refuses before it allocates; it counts with the decoder's padding
    codec.options = {"max_pixels": str(2 * request.frame_pixels + (1 << 16))}
    codec.thread_count = 1
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    return stream


def _score(stream: "av.VideoStream") -> int:
    has_packets = stream.start_time is not None or stream.frames > 0 or len(stream.index_entries) > 0
    pixels = stream.codec_context.width * stream.codec_context.height if stream.codec_context is not None else 0
    return pixels + PACKETS_SCORE * has_packets + DEFAULT_SCORE * bool(stream.disposition & Disposition.default)


def is_indexed(file: BinaryIO, container: "av.container.InputContainer") -> bool:
    """True if a seek can use an index. A Matroska file that was streamed has none: FFmpeg would search it from its start."""
    name = container.format.name
    return name in SEEKABLE and (name != "matroska,webm" or CUES in head_of(file))


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


def no_keyframe(video: str) -> Unusable:
    """The failure of a file that was cut out of a longer one: fetching it again gives the same file."""
    return Unusable(
        "codec", f"{video} has no keyframe from which it can be decoded; cut it out of its source again, or drop its row"
    )


def truncated(video: str) -> Unusable:
    """The failure of a file that is shorter than its container says."""
    return Unusable("truncated", f"{video} begins as a video and cannot be read to its end; fetch it again")


def invalid(file: BinaryIO, video: str, error: Exception) -> Unusable:
    """The failure of a file that no demuxer opens: a video that is cut off, one of another format, or no video at all."""
    head = head_of(file)
    if head[4:8] in BOXES or head[:4] == EBML or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return truncated(video)
    if not head:
        return Unusable("not_video", f"{video} has 0 bytes; replace it or drop its row")
    if what := other_contents(head):
        return Unusable("not_video", f"{video} is {what}")
    if isinstance(error, av.error.ArgumentError):  # how FFmpeg says that a demuxer is not on the whitelist
        return Unusable("not_video", f"{video} is of a format that is not opened here; if it is a video, {TRANSCODE}")
    why = getattr(error, "strerror", None) or str(error)
    return Unusable("not_video", f"{video} is not a video file ({why}); replace it or drop its row")
