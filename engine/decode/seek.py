"""Frames of a window out of a container with an index: seek, decode to a moment, then go on or seek again, whichever reads less."""

import math
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import av

from engine.decode.by_index import REORDERED
from engine.decode.cut import is_cut
from engine.decode.frames import has_begun
from engine.decode.keyframes import Keyframe, KeyframeReader
from engine.decode.media import no_frame, no_keyframe, truncated
from engine.decode.pixels import PixelCount
from engine.decode.request import Frames, Request
from engine.decode.resize import Resizer
from engine.decode.timeline import Timeline


class Untimed(Exception):
    """Frames come without times, or not in the order of their times: the container's index does not say when they are shown."""


class WindowReader:
    """Reads the frames of one window: seeks to the keyframe before a moment, decodes to the moment, and so on for each moment.

    An index may call a packet a keyframe that is none: a recovery point, from which the picture is whole only some frames later, or
    any packet of a file without a table of keyframes. The decoder says what it is, and then decoding begins further back.
    """

    def __init__(
        self, file: BinaryIO, container: "av.container.InputContainer", stream: "av.VideoStream", request: Request
    ) -> None:
        self._file, self._container, self._stream, self._request = file, container, stream, request
        self._pixel_count = PixelCount(request)
        self._timeline = Timeline(file, container, stream, request)
        self._keyframes = KeyframeReader(container, stream, self._timeline, self._pixel_count)
        self._packets: Iterator[av.Packet] = iter(())
        self._decoded: list[av.VideoFrame] = []
        """Frames that the decoder gave and that were not yet compared with a moment, in presentation order."""
        self._current: av.VideoFrame | None = None
        """The last frame that was compared."""
        self._reached: int | None = None
        """Decode time, in ticks, of the last packet that the decoder was given."""
        self._is_index_right = True
        """False once the index called a packet a keyframe that is none: then a seek costs more than it saves."""
        self._awaits_keyframe = False
        """True until the first keyframe is decoded: what comes before it cannot be right."""
        self._passed_over = self._timeline.first - 1
        """Presentation time, in ticks, of the last frame that came before a keyframe."""
        self._latest: int | None = None
        """Presentation time, in ticks, of the last frame that the decoder gave."""

    def read(self) -> tuple[list[Frames], list[float]]:
        """uint8[H,W,3] for each of the window's moments, and their presentation times in seconds since the file's start.

        Raises Unusable, FFmpegError, Untimed.
        """
        moments_s = self._timeline.moments()
        exactly: list[Keyframe | None] = [None] * len(moments_s)
        clip = None
        if self._request.tolerance_s and (stand_ins := self._stand_ins(moments_s)) != exactly:
            clip = self._read(moments_s, stand_ins)
        if clip is None:
            clip = self._read(moments_s, exactly)
        assert clip is not None, "without a keyframe that stands in, nothing is given up"
        return clip

    def _stand_ins(self, moments_s: Sequence[float]) -> list[Keyframe | None]:
        request = self._request
        window_s = request.start_s or 0.0, math.inf if request.end_s is None else request.end_s
        return self._keyframes.stand_ins(moments_s, request.tolerance_s, window_s)

    def _read(self, moments_s: Sequence[float], stand_ins: Sequence[Keyframe | None]) -> tuple[list[Frames], list[float]] | None:
        """What `read` returns, with these keyframes in place of the moments' own frames.

        None if the file is not as its index says, or if a keyframe is shown for another moment too: two moments then have the
        same frame that may have different ones.
        """
        self._forget()  # moments of an earlier reading may be later
        pictures, times_s = list[Frames](), list[float]()
        previous: av.VideoFrame | None = None
        resizer = Resizer(self._request, self._stream.sample_aspect_ratio, len(moments_s))
        for number, (moment_s, keyframe) in enumerate(zip(moments_s, stand_ins, strict=True)):
            frame = self.frame_at(moment_s) if keyframe is None else self._stand_in(keyframe)
            if frame is None:
                return None
            time_s, is_replaced = self._timeline.seconds(frame.pts), {*stand_ins[max(0, number - 1) : number + 1]} != {None}
            if is_replaced and times_s and time_s <= times_s[-1]:
                return None
            pictures.append(pictures[-1] if frame is previous and pictures else resizer.resize(frame))
            times_s.append(time_s)
            previous = frame
        return pictures, times_s

    def _stand_in(self, keyframe: Keyframe) -> av.VideoFrame | None:
        self._forget()
        return self._keyframes.frame_of(keyframe)

    def _forget(self) -> None:
        """Begin the next frame with a seek."""
        self._packets, self._decoded, self._current, self._reached = iter(()), [], None, None

    @property
    def num_decoded(self) -> int:
        """Frames that were decoded so far."""
        return self._pixel_count.num_frames

    @property
    def first_s(self) -> float:
        """Seconds from the file's start to the first frame."""
        return self._timeline.first_s

    def can_begin_before(self, moment_s: float) -> bool:
        """True if the last packet before the moment that the index calls a keyframe is one."""
        if self._is_keyframe_before(self._timeline.ticks(moment_s)):
            self._seek(self._timeline.ticks(moment_s))
        return self._is_index_right

    def frame_at(self, moment_s: float) -> av.VideoFrame:
        """The frame on screen at the moment: the last one that has begun."""
        target = self._timeline.ticks(moment_s)
        if self._is_keyframe_before(target):
            self._seek(target)
        while True:
            while self._decoded:
                if self._current is not None and not has_begun(self._timeline.seconds(self._decoded[0].pts), moment_s):
                    return self._current
                self._current = self._decoded.pop(0)
            if not self._decode_more():
                break
        if self._current is None or is_cut(self._file, self._request.size):
            raise truncated(self._request.video) if is_cut(self._file, self._request.size) else no_keyframe(self._request.video)
        return self._current

    def _is_keyframe_before(self, target: int) -> bool:
        """True if a keyframe lies between the last packet that was decoded and the target, or nothing was decoded yet."""
        if self._reached is None:
            return True
        entries = self._stream.index_entries
        at = entries.search_timestamp(target, backward=True)
        return self._is_index_right and bool(at >= 0 and entries[at].timestamp > self._reached)

    def _seek(self, target: int) -> None:
        """Go to a keyframe that is shown at or before the target. Where the index goes by decode time, that is the one before."""
        first, aim, back = self._timeline.first, target, max(1, int(1 / self._timeline.tick))
        while True:
            self._container.seek(aim, stream=self._stream, backward=True)
            self._packets = self._container.demux(self._stream)
            packet = next((packet for packet in self._packets if packet.pts is not None), None)
            if packet is None and is_cut(self._file, self._request.size):
                raise truncated(self._request.video)
            if packet is not None and (packet.pts <= target or aim <= first) and self._begin_at(packet, aim <= first):
                return
            if packet is None and aim <= first:
                raise no_frame(self._request.video)
            if packet is None or packet.pts <= target:
                aim = max(first, aim - back)
                back *= 2
            else:
                aim = (packet.dts if packet.dts is not None else packet.pts) - 1

    def _begin_at(self, packet: av.Packet, is_start: bool) -> bool:
        """Begin to decode with the packet. False if its frame is no keyframe, and the file has packets before it."""
        self._current, self._reached, self._awaits_keyframe = None, None, not packet.is_discard
        entry, self._passed_over, self._latest = packet.pts, packet.pts - 1, None
        self._decoded = self._decode(packet)
        if is_start or packet.is_discard:  # an edit list begins within a group of pictures: the keyframe itself is not shown
            return True
        for _ in range(REORDERED):
            if self._decoded or self._passed_over >= entry or not self._decode_more():
                break
        self._is_index_right = bool(self._decoded) and self._decoded[0].pts == entry
        return self._is_index_right

    def _decode_more(self) -> bool:
        packet = next(self._packets, None)
        if packet is None:
            return False
        self._decoded = self._decode(packet)
        return True

    def _decode(self, packet: av.Packet) -> list[av.VideoFrame]:
        frames = list[av.VideoFrame]()
        for frame in self._frames_of(packet):
            self._pixel_count.add(frame)
            if frame.pts is None or (self._latest is not None and frame.pts < self._latest):
                raise Untimed
            self._latest = frame.pts
            self._awaits_keyframe = self._awaits_keyframe and (not frame.key_frame or frame.is_corrupt)
            if self._awaits_keyframe:
                self._passed_over = max(self._passed_over, frame.pts)
            else:
                frames.append(frame)
        if packet.size:
            at = packet.dts if packet.dts is not None else packet.pts
            self._reached = at if at is not None else self._reached
        return frames

    def _frames_of(self, packet: av.Packet) -> list[av.VideoFrame]:
        try:
            return list(packet.decode())
        except av.error.InvalidDataError:
            if self._awaits_keyframe and self._stream.codec_context.width:  # without a width FFmpeg refuses the frame's size
                return []
            raise
