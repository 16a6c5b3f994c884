"""Frames of a window out of a container with an index: seek, decode to a moment, go on or seek again, whichever reads less."""

from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

import av
import numpy as np

from engine.decode.frames import is_by, moments, window
from engine.decode.media import Frames, Request, Unusable, empty, is_cut, no_frame, too_wide, truncated


class Budget:
    """Counts decoded pixels against the request's."""

    def __init__(self, request: Request) -> None:
        self._left, self._request = request.decode_pixels, request

    def spend(self, frame: av.VideoFrame) -> None:
        """Raises Unusable where the clip's pixels are used up."""
        pixels = frame.width * frame.height
        if pixels > self._request.frame_pixels:
            raise too_wide(self._request, f"{frame.width} x {frame.height} is")
        self._left -= pixels
        if self._left < 0:
            allowed = self._request.decode_pixels
            raise Unusable(
                "too_large", f"{self._request.video}: more than limits.decode_pixels = {allowed} pixels were decoded for it"
            )


class Windowed:
    """Seek to the keyframe before a moment, decode to the moment, and go on or seek again, whichever reads less."""

    def __init__(
        self, file: BinaryIO, container: "av.container.InputContainer", stream: "av.VideoStream", request: Request
    ) -> None:
        self._file, self._container, self._stream, self._request = file, container, stream, request
        self._budget = Budget(request)
        self._tick: Fraction = stream.time_base or Fraction(1, 1000)
        self._first = self._first_ticks()
        self._packets: Iterator[av.Packet] = iter(())
        self._decoded: list[av.VideoFrame] = []
        """Frames that came out and are not looked at yet, in presentation order."""
        self._shown: av.VideoFrame | None = None
        """The last one looked at."""
        self._measured_s: float | None = None
        self._reached: int | None = None
        """Decode time, in ticks, of the last packet that went in."""

    def frames(self) -> Frames:
        """uint8[T,S,S,3] at the window's moments. Raises Unusable, FFmpegError."""
        request = self._request
        span = window(request.start_s, request.end_s, self._length_s())
        if span is None:
            raise empty(request, self._length_s())
        chosen: list[Frames] = []
        last: av.VideoFrame | None = None
        for moment in moments(request.num_frames, *span, request.jitter_seed):
            frame = self._frame_at(moment)
            chosen.append(chosen[-1] if frame is last and chosen else usable(frame, request))
            last = frame
        return np.stack(chosen)

    def _first_ticks(self) -> int:
        """The presentation time of the first frame: of the packets at the start, in decode order, the smallest."""
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
        """Up to the end of the last frame. What the container announces will do where the window ends well before it."""
        announced_s = float(self._container.duration or 0) / 1e6
        if self._request.end_s is not None and self._request.end_s + 1 < announced_s:
            return announced_s
        if self._measured_s is None:
            self._measured_s = self._measured_length_s()
        return self._measured_s

    def _measured_length_s(self) -> float:
        """By the packets after the last keyframe."""
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
            raise truncated(self._request.video)  # what is left of it must not pass for the whole
        return length_s

    def _frame_at(self, moment_s: float) -> av.VideoFrame:
        """The frame on screen: the last one whose time has come."""
        target = self._first + int(moment_s / self._tick)
        if self._better_to_seek(target):
            self._seek(target)
        while True:
            while self._decoded:
                if self._shown is not None and not is_by(self._seconds(self._decoded[0]), moment_s):
                    return self._shown
                self._shown = self._decoded.pop(0)
            if not self._decode_more():
                break
        if self._shown is None or is_cut(self._file, self._request.size):
            raise truncated(self._request.video)
        return self._shown

    def _seconds(self, frame: av.VideoFrame) -> float:
        return float(Fraction(frame.pts - self._first) * self._tick)

    def _better_to_seek(self, target: int) -> bool:
        """Whether a keyframe lies between where we are and the target."""
        if self._reached is None:
            return True
        entries = self._stream.index_entries
        at = entries.search_timestamp(target, backward=True)
        return bool(at >= 0 and entries[at].timestamp > self._reached)

    def _seek(self, target: int) -> None:
        """To a keyframe that is shown at or before the target. An index may go by decode time: then it is the one before."""
        aim, back = target, max(1, int(1 / self._tick))
        while True:
            self._container.seek(aim, stream=self._stream, backward=True)
            self._packets = self._container.demux(self._stream)
            packet = next((packet for packet in self._packets if packet.pts is not None), None)
            if packet is None and is_cut(self._file, self._request.size):
                raise truncated(self._request.video)
            if packet is not None and (packet.pts <= target or aim <= self._first):
                self._shown, self._reached = None, None
                self._decoded = self._feed(packet)
                return
            if packet is None and aim <= self._first:
                raise no_frame(self._request.video)
            aim = max(self._first, aim - back) if packet is None else (packet.dts if packet.dts is not None else packet.pts) - 1
            back *= 2

    def _decode_more(self) -> bool:
        packet = next(self._packets, None)
        if packet is None:
            return False
        self._decoded = self._feed(packet)
        return True

    def _feed(self, packet: av.Packet) -> list[av.VideoFrame]:
        frames = []
        for frame in packet.decode():
            self._budget.spend(frame)
            if frame.pts is not None:
                frames.append(frame)
        if packet.size:
            at = packet.dts if packet.dts is not None else packet.pts
            self._reached = at if at is not None else self._reached
        return frames


def usable(frame: av.VideoFrame, request: Request) -> Frames:
    """uint8[S,S,3]. Raises Unusable where the decoder says that it had to guess."""
    if frame.is_corrupt:
        raise Unusable("codec", f"{request.video} is damaged at {frame.time} s; fetch it again")
    return square(frame, request.size_px)


def square(frame: av.VideoFrame, size_px: int) -> Frames:
    """uint8[S,S,3]: short side to S (bicubic), centre crop, turned as the container says it is to be shown."""
    scale = size_px / min(frame.width, frame.height)
    width, height = max(size_px, round(frame.width * scale)), max(size_px, round(frame.height * scale))
    pixels = frame.reformat(width=width, height=height, format="rgb24", interpolation="BICUBIC").to_ndarray()
    top, left = (height - size_px) // 2, (width - size_px) // 2
    cropped: Frames = pixels[top : top + size_px, left : left + size_px]
    quarter_turns = round(frame.rotation / 90) % 4
    return np.rot90(cropped, quarter_turns) if quarter_turns else cropped
