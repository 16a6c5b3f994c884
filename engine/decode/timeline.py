"""When a stream with an index shows its frames: its clock, its first and last frame, and the moments of a window."""

from fractions import Fraction
from typing import BinaryIO

import av

from engine.decode.by_index import DEFAULT_RATE, REORDERED, has_all_packets, shown_entries, ticks_from_here, ticks_of
from engine.decode.clock import file_start_s
from engine.decode.cut import is_cut
from engine.decode.media import no_frame, truncated
from engine.decode.request import Request, moments_of, numbers_of
from models.base import ByIndex


class Timeline:
    """Packets are read for it, and nothing is decoded: whoever decodes has to seek afterwards."""

    def __init__(
        self, file: BinaryIO, container: "av.container.InputContainer", stream: "av.VideoStream", request: Request
    ) -> None:
        self._file, self._container, self._stream, self._request = file, container, stream, request
        self.tick: Fraction = stream.time_base or Fraction(1, 1000)
        """Seconds of a tick."""
        self.first = self._first_ticks()
        """Presentation time, in ticks, of the first frame."""
        start_s = file_start_s(container)
        self._start_s = self.first * self.tick if start_s is None else start_s
        """The time stamp at which the file starts."""

    @property
    def first_s(self) -> float:
        """Seconds from the file's start to the first frame."""
        return self.seconds(self.first)

    @property
    def step_s(self) -> float:
        """Seconds for which a frame is on screen, on average."""
        return float(1 / (self._stream.average_rate or DEFAULT_RATE))

    def seconds(self, ticks: int) -> float:
        """From the file's start."""
        return float(ticks * self.tick - self._start_s)

    def ticks(self, time_s: float) -> int:
        """Of a second from the file's start; those of the first frame at least."""
        return max(self.first, int((Fraction(time_s) + self._start_s) / self.tick))

    def moments(self) -> list[float]:
        """Seconds at which the chosen frames are on screen. Raises Unusable."""
        if not isinstance(self._request.spec.choose, ByIndex):
            return moments_of(self._request, self.first_s, self._last_s())
        container, stream = self._container, self._stream
        rate = float(stream.average_rate or DEFAULT_RATE)
        if has_all_packets(container, stream):
            shown = shown_entries(stream)
            numbers = numbers_of(self._request, len(shown), rate)
            ticks = ticks_of(container, stream, numbers, shown)
        else:
            if is_cut(self._file, self._request.size):
                raise truncated(self._request.video)
            container.seek(self.first, stream=stream, backward=True)
            times = ticks_from_here(container, stream)
            numbers = numbers_of(self._request, len(times), rate)
            ticks = [times[number] for number in numbers]
        if len(ticks) < len(numbers):
            raise truncated(self._request.video)
        return [self.seconds(tick) for tick in ticks]

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

    def _last_s(self) -> float:
        """Seconds up to the end of the last frame; those up to the index's last entry are enough if the window ends before."""
        if self._request.end_s is not None:
            self._container.seek(self.ticks(self._request.start_s or 0.0), stream=self._stream)  # Matroska's index is read now
            indexed_s = self.seconds(self._last_entry())
            if self.first_s < self._request.end_s <= indexed_s:
                return indexed_s
        return self._measured_last_s()

    def _last_entry(self) -> int:
        """Ticks of the index's last entry that is shown; the video is at least so long."""
        entries = self._stream.index_entries
        for number in range(len(entries) - 1, max(-1, len(entries) - 1 - REORDERED), -1):
            if not entries[number].is_discard:
                return int(entries[number].timestamp)
        return self.first

    def _measured_last_s(self) -> float:
        """Seconds up to the end of the last frame, measured on the last packets."""
        self._seek_to_end()
        packets = [p for p in self._container.demux(self._stream) if p.pts is not None and not p.is_discard]
        if not packets:
            raise truncated(self._request.video) if is_cut(self._file, self._request.size) else no_frame(self._request.video)
        packets.sort(key=lambda packet: packet.pts)
        last = packets[-1]
        duration = last.duration or (last.pts - packets[-2].pts if len(packets) > 1 else 0)
        last_s = self.seconds(last.pts + duration)
        if (self._request.end_s is None or self._request.end_s > last_s) and is_cut(self._file, self._request.size):
            raise truncated(self._request.video)  # the part that is left must not pass for the whole
        return last_s

    def _seek_to_end(self) -> None:
        """Go to the last packets if the index lists all of them, else to the last keyframe."""
        entries, start = self._stream.index_entries, self.first
        if has_all_packets(self._container, self._stream):
            last = next((n for n in range(len(entries) - 1, 0, -1) if not entries[n].is_discard), 0)
            self._container.seek(entries[max(0, last - REORDERED)].timestamp, stream=self._stream, any_frame=True)
            return
        far = max(start, self._stream.duration or 0, self._last_entry())
        if self._container.duration:
            far = max(far, start + int(self._container.duration / 1e6 / self.tick))
        self._container.seek(far, stream=self._stream, backward=True)
