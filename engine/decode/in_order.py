"""Frames of a window out of a container without an index: its times are listed first, then it is decoded from its start.

Formats that have no clock, or one that goes by decoding, get their times from the order of their frames.
"""

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import av

from engine.decode.clock import continuous, file_start_s
from engine.decode.cut import is_cut
from engine.decode.frames import ROUNDING_S, has_begun
from engine.decode.media import PICTURES, RAW, no_frame, no_keyframe, open_container, truncated, video_stream
from engine.decode.pixels import PixelCount
from engine.decode.request import Frames, Request, Unusable, moments_of
from engine.decode.resize import Resizer

BY_DECODE_TIME = ("avi", "asf")
"""Formats that store one time for a packet, at which it is decoded. AVI counts its slots, also those without a frame."""
FEWEST_TIMES = 0.3
"""Share of packets with a presentation time, at least, for these times to be used: fields come in pairs with one time."""
MOST_MISSING = 3
"""Frames that a decoder may leave out in a row: fewer are pictures that are not shown (VP8's references, MPEG-4's repeats)."""
SLACK_S = 2.0
"""A file is taken for cut short that ends so much earlier than its header says, or 5 % earlier."""
ANNOUNCED = "flv"
"""The format whose header has seconds and no bytes, and which plays as well if it is cut."""
DEFAULT_RATE = 25
"""FFmpeg's, where a stream does not say at what rate it is shown."""


@dataclass(frozen=True)
class Listing:
    """Times of all packets of a stream, in seconds from the file's start."""

    decode_s: tuple[float, ...] | None
    """In the order of the packets. None: frames carry their own times."""
    shown_s: tuple[float, ...]
    """Ascending."""
    last_s: float
    """End of the last frame."""
    start_s: Fraction
    """The time stamp at which the file starts."""


class InOrderReader:
    """Reads the frames of one window, from the start of the file to the window's last frame."""

    def __init__(self, file: BinaryIO, request: Request) -> None:
        self._file, self._request, self._pixel_count = file, request, PixelCount(request)

    def read(self) -> tuple[list[Frames], list[float]]:
        """uint8[H,W,3] for each of the window's moments, and their presentation times in seconds since the file's start.

        Raises Unusable, FFmpegError.
        """
        if is_cut(self._file, self._request.size):
            raise truncated(self._request.video)
        with open_container(self._file, self._request.video) as container:
            stream = video_stream(self._file, container, self._request)
            listing = list_times(self._file, container, stream, self._request)
        # opened again: where a clock wraps, FFmpeg knows on which side it is only from a file's start
        with open_container(self._file, self._request.video) as container:
            stream = video_stream(self._file, container, self._request)
            return self._read(self._timed(container, stream, listing), listing, stream.sample_aspect_ratio)

    def _read(
        self, frames: Iterator[tuple[float, av.VideoFrame]], listing: Listing, pixel_aspect: Fraction | None
    ) -> tuple[list[Frames], list[float]]:
        current, following = next(frames, None), next(frames, None)
        if current is None:
            raise no_keyframe(self._request.video)
        pictures, times_s, previous = list[Frames](), list[float](), None
        moments_s = moments_of(self._request, current[0], listing.last_s)
        resizer = Resizer(self._request, pixel_aspect, len(moments_s))
        for moment_s in moments_s:
            while following is not None and has_begun(following[0], moment_s):
                current, following = following, next(frames, None)
            self._check_none_is_missing(listing, current[0], moment_s)
            pictures.append(pictures[-1] if current is previous else resizer.resize(current[1]))
            times_s.append(current[0])
            previous = current
        return pictures, times_s

    def _check_none_is_missing(self, listing: Listing, time_s: float, moment_s: float) -> None:
        times_s = listing.shown_s
        missing = bisect.bisect_right(times_s, moment_s + ROUNDING_S) - bisect.bisect_right(times_s, time_s + ROUNDING_S)
        if listing.decode_s is None and missing >= MOST_MISSING:
            raise Unusable(
                "codec",
                f"{self._request.video}: {missing} frames before {moment_s:.2f} s cannot be decoded, because what they refer to is "
                "missing; fetch it again, or encode it anew with ffmpeg",
            )

    def _timed(
        self, container: "av.container.InputContainer", stream: "av.VideoStream", listing: Listing
    ) -> Iterator[tuple[float, av.VideoFrame]]:
        """Decoded frames with their seconds from the file's start, which increase."""
        tick: Fraction = stream.time_base or Fraction(1, 1000)
        step_s, latest_s = float(1 / (stream.average_rate or DEFAULT_RATE)), -1e9
        slots: list[float] | None = None
        for number, frame in enumerate(self._decoded(container, stream, by_number=listing.decode_s is not None)):
            if listing.decode_s is not None:
                if slots is None:  # packets before the first frame that can be decoded give none
                    slots = sorted(listing.decode_s[max(0, frame.pts or 0) :])
                if number >= len(slots):
                    return
                latest_s = slots[number]
            else:
                time_s = float(frame.pts * tick - listing.start_s) if frame.pts is not None else latest_s + step_s
                if time_s < latest_s - ROUNDING_S:
                    raise Unusable(
                        "codec",
                        f"{self._request.video}: its frames are not in the order of their times; encode it anew with ffmpeg",
                    )
                latest_s = time_s
            yield latest_s, frame

    def _decoded(
        self, container: "av.container.InputContainer", stream: "av.VideoStream", by_number: bool
    ) -> Iterator[av.VideoFrame]:
        """Frames from the first keyframe on: what comes before, in a file that begins elsewhere, refers to what is not there."""
        number, has_begun_here, error = 0, False, None
        for packet, is_joint in _shown(container, stream):
            if is_joint:  # the next file's frames must not be predicted from this one's
                yield from self._counted(stream.codec_context.decode(None)) if has_begun_here else ()
                stream.codec_context.flush_buffers()
                has_begun_here = False
            if by_number and packet.size:
                packet.pts, number = number, number + 1
            try:
                frames = packet.decode()
            except av.error.InvalidDataError as raised:
                error = raised
                if has_begun_here or not stream.codec_context.width:  # without a width FFmpeg refuses the frame's size
                    raise
                continue
            for frame in self._counted(frames):
                has_begun_here = has_begun_here or (frame.key_frame and not frame.is_corrupt)
                if has_begun_here:
                    error = None
                    yield frame
        if error is not None:
            raise error

    def _counted(self, frames: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for frame in frames:
            self._pixel_count.add(frame)
            yield frame


def _shown(
    container: "av.container.InputContainer", stream: "av.VideoStream"
) -> Iterator[tuple["av.Packet[av.VideoStream]", bool]]:
    """The packets of `continuous`; of a still picture the first one."""
    is_still, has_come = container.format.name in PICTURES, False
    for packet, is_joint in continuous(container, stream):
        if not (is_still and has_come and packet.size):
            yield packet, is_joint
        has_come = True


def list_times(file: BinaryIO, container: "av.container.InputContainer", stream: "av.VideoStream", request: Request) -> Listing:
    """Reads the whole file. Raises Unusable where there is no packet, or the file ends before the end that it announces."""
    tick: Fraction = stream.time_base or Fraction(1, 1000)
    start_s = file_start_s(container)
    packets = [
        (packet.pts, packet.dts, packet.duration or 0)
        for packet, _ in _shown(container, stream)
        if packet.size and not packet.is_discard
    ]
    if not packets:
        raise no_frame(request.video)
    step = 1 / Fraction(stream.average_rate or DEFAULT_RATE)
    shown = sorted((pts, duration) for pts, _, duration in packets if pts is not None)
    times = [dts if dts is not None else pts for pts, dts, _ in packets]
    name = container.format.name
    if name in BY_DECODE_TIME and None not in times:
        start = start_s if start_s is not None else min(times) * tick
        seconds = [float(time * tick - start) for time in times]
        last_s = max(max(seconds) + float(step), float((stream.duration or 0) * tick) if name == "avi" else 0.0)
    elif name in RAW or len(shown) < FEWEST_TIMES * len(packets):
        start = shown[0][0] * tick if shown and name not in RAW else Fraction(0)
        first = start - start_s if start_s is not None and start else Fraction(0)
        seconds = [float(first + number * step) for number in range(len(packets))]
        last_s = seconds[-1] + float(step)
    else:
        start = start_s if start_s is not None else shown[0][0] * tick
        (last, duration), before = shown[-1], shown[-2][0] if len(shown) > 1 else shown[-1][0]
        last_s = float((last + (duration or last - before)) * tick - start)
        refuse_if_shorter(file, container, last_s, request)
        return Listing(None, tuple(float(pts * tick - start) for pts, _ in shown), last_s, start)
    refuse_if_shorter(file, container, last_s, request)
    return Listing(tuple(seconds), tuple(sorted(seconds)), last_s, Fraction(0))


def refuse_if_shorter(file: BinaryIO, container: "av.container.InputContainer", last_s: float, request: Request) -> None:
    """Raises Unusable where the header announces a longer file: what is left of it must not pass for the whole."""
    announced_s = (container.duration or 0) / 1e6
    shortest_s = announced_s - max(SLACK_S, 0.05 * announced_s)
    if container.format.name == ANNOUNCED and last_s < shortest_s and end_of_all_s(file, request) < shortest_s:
        raise truncated(request.video)


def end_of_all_s(file: BinaryIO, request: Request) -> float:
    """Seconds from the file's start to the last packet of any stream: sound may go on after the last frame."""
    with open_container(file, request.video) as container:
        start_s = file_start_s(container) or Fraction(0)
        times = (packet.dts * packet.time_base for packet in container.demux() if packet.dts is not None)
        return float(max(times, default=start_s) - start_s)
