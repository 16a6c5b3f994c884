"""When the frames of a file are shown: seconds from the file's start, as players count, through joins and without time stamps.

A container's clock begins with the stream that begins first, which may be the sound; the video's first frame may come later.
"""

from collections.abc import Iterator
from fractions import Fraction

import av

DISCONTINUOUS = ("mpegts", "mpeg", "ogg")
"""Demuxers of formats that may be joined byte by byte, so that their clock starts again or jumps."""
LONGEST_GAP_S, LONGEST_STEP_BACK_S = 3600, Fraction(1, 10)
"""A decode time further behind the one that is due, or further back than the last, is another clock's. Until then it is a gap, as a
camera leaves that records on movement: players hold the last frame."""
ROUNDED_S = Fraction(2, 1_000_000)
"""FFmpeg rounds the container's start to microseconds, those of its streams not."""


def file_start_s(container: "av.container.InputContainer") -> Fraction | None:
    """The time stamp, in seconds, at which the file starts: the earliest among its streams. None where no packet has a time."""
    if container.start_time is None:
        return None
    start_s = Fraction(container.start_time, 1_000_000)
    exact = [stream.start_time * stream.time_base for stream in container.streams if stream.start_time is not None]
    return min((s for s in exact if abs(s - start_s) <= ROUNDED_S), key=lambda s: abs(s - start_s), default=start_s)


def continuous(
    container: "av.container.InputContainer", stream: "av.VideoStream"
) -> Iterator[tuple["av.Packet[av.VideoStream]", bool]]:
    """The stream's packets with a clock that goes on where files were joined, and whether another file begins with the packet.

    Without it the second file of two is shown at the same seconds as the first. FFmpeg's command line has this rule for a clock
    that goes back (ts_discontinuity_detect in fftools/ffmpeg_demux.c); it takes a gap of ten seconds for a joint too. At the end
    comes the packet that flushes the decoder.
    """
    tick: Fraction = stream.time_base or Fraction(1, 1000)
    longest, longest_back = int(LONGEST_GAP_S / tick), int(LONGEST_STEP_BACK_S / tick)
    is_watched = container.format.name in DISCONTINUOUS
    step = int(1 / stream.average_rate / tick) if stream.average_rate else 0
    offset, last, due = 0, 0, None
    for packet in container.demux(stream):
        is_joint = False
        if is_watched and packet.dts is not None:
            dts = packet.dts + offset
            if due is not None and (dts - due > longest or dts + longest_back < last):
                offset, dts, is_joint = offset + due - dts, due, True
            last, due = dts, dts + (packet.duration or step)
        if offset:
            packet.pts = packet.pts + offset if packet.pts is not None else None
            packet.dts = packet.dts + offset if packet.dts is not None else None
        yield packet, is_joint
