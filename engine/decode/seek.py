"""Frames of a window out of a container with an index: seek, decode to a moment, then go on or seek again, whichever reads less."""

from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

import av

from engine.decode.frames import has_begun
from engine.decode.media import is_cut, no_frame, too_wide, truncated
from engine.decode.request import Frames, Request, Unusable, moments_of
from engine.decode.resize import Resizer


class PixelCount:
    """Counts the pixels that are decoded for a clip, against the request's bounds."""

    def __init__(self, request: Request) -> None:
        self._left, self._request = request.decode_pixels, request

    def add(self, frame: av.VideoFrame) -> None:
        """Raises Unusable where the frame is too large, or the clip's pixels are used up."""
        pixels = frame.width * frame.height
        if pixels > self._request.frame_pixels:
            raise too_wide(self._request, f"{frame.width} x {frame.height} is")
        self._left -= pixels
        if self._left < 0:
            allowed = self._request.decode_pixels
            raise Unusable(
                "too_large", f"{self._request.video}: more than limits.decode_pixels = {allowed} pixels were decoded for it"
            )


class WindowReader:
    """Reads the frames of one window: seeks to the keyframe before a moment, decodes to the moment, and so on for each moment."""

    def __init__(
        self, file: BinaryIO, container: "av.container.InputContainer", stream: "av.VideoStream", request: Request
    ) -> None:
        self._file, self._container, self._stream, self._request = file, container, stream, request
        self._pixel_count = PixelCount(request)
        self._tick: Fraction = stream.time_base or Fraction(1, 1000)
        self._first = self._first_ticks()
        self._packets: Iterator[av.Packet] = iter(())
        self._decoded: list[av.VideoFrame] = []
        """Frames that the decoder gave and that were not yet compared with a moment, in presentation order."""
        self._current: av.VideoFrame | None = None
        """The last frame that was compared."""
        self._measured_s: float | None = None
        self._reached: int | None = None
        """Decode time, in ticks, of the last packet that the decoder was given."""

    def read(self) -> tuple[list[Frames], list[float]]:
        """uint8[H,W,3] for each of the window's moments, and their presentation times in seconds since the start of the video.

        Raises Unusable, FFmpegError.
        """
        pictures: list[Frames] = []
        times_s: list[float] = []
        resizer = Resizer(self._request)
        previous: av.VideoFrame | None = None
        for moment_s in moments_of(self._request, self._length_s()):
            frame = self._frame_at(moment_s)
            pictures.append(pictures[-1] if frame is previous and pictures else resizer.resize(frame))
            times_s.append(self._seconds(frame))
            previous = frame
        return pictures, times_s

    def _first_ticks(self) -> int:
        """The presentation time of the first frame: the smallest among the packets at the start, which come in decode order."""
        first: int | None = None
        for packet in self._container.demux(self._stream):
            if packet.pts is None or packet.is_discard:
                continue
            if first is not None and (packet.dts if packet.dts is not None else packet.pts) > first:
                break
            first = packet.pts if first is None else min(first, packet.pts)
        if first is None:
            raise truncated(self._request.video) if is_cut(self._file, self._request.size) else no_frame(self._request.video)
        return first

    def _length_s(self) -> float:
        """Seconds up to the end of the last frame; the announced duration is enough if the window ends well before it."""
        announced_s = float(self._container.duration or 0) / 1e6
        if self._request.end_s is not None and self._request.end_s + 1 < announced_s:
            return announced_s
        if self._measured_s is None:
            self._measured_s = self._measured_length_s()
        return self._measured_s

    def _measured_length_s(self) -> float:
        """Seconds up to the end of the last frame, measured on the packets after the last keyframe."""
        start, entries = self._first, self._stream.index_entries
        far = max(start, self._stream.duration or 0, entries[len(entries) - 1].timestamp if len(entries) else 0)
        if self._container.duration:
            far = max(far, start + int(self._container.duration / 1e6 / self._tick))
        self._container.seek(far, stream=self._stream, backward=True)
        packets = [p for p in self._container.demux(self._stream) if p.pts is not None and not p.is_discard]
        if not packets:
            raise truncated(self._request.video) if is_cut(self._file, self._request.size) else no_frame(self._request.video)
        packets.sort(key=lambda packet: packet.pts)
        last = packets[-1]
        duration = last.duration or (last.pts - packets[-2].pts if len(packets) > 1 else 0)
        length_s = float(self._tick * int(last.pts + duration - start))
        if (self._request.end_s is None or self._request.end_s > length_s) and is_cut(self._file, self._request.size):
            raise truncated(self._request.video)  # the part that is left must not pass for the whole
        return length_s

    def _frame_at(self, moment_s: float) -> av.VideoFrame:
        """The frame on screen at the moment: the last one that has begun."""
        target = self._first + int(moment_s / self._tick)
        if self._is_keyframe_before(target):
            self._seek(target)
        while True:
            while self._decoded:
                if self._current is not None and not has_begun(self._seconds(self._decoded[0]), moment_s):
                    return self._current
                self._current = self._decoded.pop(0)
            if not self._decode_more():
                break
        if self._current is None or is_cut(self._file, self._request.size):
            raise truncated(self._request.video)
        return self._current

    def _seconds(self, frame: av.VideoFrame) -> float:
        return float(Fraction(frame.pts - self._first) * self._tick)

    def _is_keyframe_before(self, target: int) -> bool:
        """True if a keyframe lies between the last packet that was decoded and the target, or nothing was decoded yet."""
        if self._reached is None:
            return True
        entries = self._stream.index_entries
        at = entries.search_timestamp(target, backward=True)
        return bool(at >= 0 and entries[at].timestamp > self._reached)

    def _seek(self, target: int) -> None:
        """Go to a keyframe that is shown at or before the target. Where the index goes by decode time, that is the one before."""
        aim, back = target, max(1, int(1 / self._tick))
        while True:
            self._container.seek(aim, stream=self._stream, backward=True)
            self._packets = self._container.demux(self._stream)
            packet = next((packet for packet in self._packets if packet.pts is not None), None)
            if packet is None and is_cut(self._file, self._request.size):
                raise truncated(self._request.video)
            if packet is not None and (packet.pts <= target or aim <= self._first):
                self._current, self._reached = None, None
                self._decoded = self._decode(packet)
                return
            if packet is None and aim <= self._first:
                raise no_frame(self._request.video)
            aim = max(self._first, aim - back) if packet is None else (packet.dts if packet.dts is not None else packet.pts) - 1
            back *= 2

    def _decode_more(self) -> bool:
        packet = next(self._packets, None)
        if packet is None:
            return False
        self._decoded = self._decode(packet)
        return True

    def _decode(self, packet: av.Packet) -> list[av.VideoFrame]:
        frames = []
        for frame in packet.decode():
            self._pixel_count.add(frame)
            if frame.pts is not None:
                frames.append(frame)
        if packet.size:
            at = packet.dts if packet.dts is not None else packet.pts
            self._reached = at if at is not None else self._reached
        return frames
