"""Keyframes of a container's index that stand in for the frames of moments: when they are shown, and each of them decoded alone.

What the index says is believed only after the packet and the decoder have confirmed it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import av

from engine.decode.by_index import REORDERED, has_all_packets
from engine.decode.pixels import PixelCount
from engine.decode.stand_ins import stand_ins
from engine.decode.timeline import Timeline

BY_PRESENTATION = "matroska,webm"
"""The demuxer whose index goes by presentation time."""


@dataclass(frozen=True)
class Keyframe:
    """A packet that the index calls a keyframe."""

    entry: int
    """Ticks by which the index has it: its presentation time in Matroska, its decode time in MP4."""
    pts: int
    """Its presentation time in ticks; a guess until it is known."""
    is_known: bool


class KeyframeReader:
    """Finds and decodes the keyframes that stand in for moments of one stream."""

    def __init__(
        self,
        container: "av.container.InputContainer",
        stream: "av.VideoStream",
        timeline: Timeline,
        pixel_count: PixelCount,
    ) -> None:
        self._container, self._stream, self._timeline, self._pixel_count = container, stream, timeline, pixel_count
        self._is_by_presentation = container.format.name == BY_PRESENTATION

    def stand_ins(self, moments_s: Sequence[float], tolerance_s: float, window_s: tuple[float, float]) -> list[Keyframe | None]:
        """For each moment the keyframe that is shown in its place, or None. Nothing is decoded for it.

        Of an MP4 without a full index (in fragments) none stands in: which keyframes it has is known only after it was read.
        """
        keyframes = self._between(moments_s[0] - tolerance_s, moments_s[-1] + tolerance_s)
        while True:
            keyframes.sort(key=lambda keyframe: keyframe.pts)
            times_s = [self._timeline.seconds(keyframe.pts) for keyframe in keyframes]
            chosen = [
                None if number is None else keyframes[number]
                for number in stand_ins(moments_s, times_s, tolerance_s, self._timeline.step_s, window_s)
            ]
            guessed = {keyframe for keyframe in chosen if keyframe is not None and not keyframe.is_known}
            if not guessed:
                return chosen
            known = {keyframe: self._known(keyframe) for keyframe in guessed}
            if None in known.values():  # an index that is wrong about one is not asked about others
                return [None] * len(moments_s)
            keyframes = _corrected([known.get(keyframe) or keyframe for keyframe in keyframes])

    def _between(self, start_s: float, end_s: float) -> list[Keyframe]:
        """The index's keyframes around these seconds. MP4's index has decode times: as many ticks later is guessed for all."""
        entries = self._stream.index_entries
        if not self._is_by_presentation and not has_all_packets(self._container, self._stream):
            return []
        delay = 0
        if not self._is_by_presentation:
            first_shown = next((number for number in range(len(entries)) if not entries[number].is_discard), None)
            delay = self._timeline.first - entries[first_shown].timestamp if first_shown is not None else 0
        margin_s = REORDERED * self._timeline.step_s
        low, high = (self._timeline.ticks(time_s) - delay for time_s in (start_s - margin_s, end_s + margin_s))
        keyframes = list[Keyframe]()
        for number in range(max(0, entries.search_timestamp(low, backward=True)), len(entries)):
            entry = entries[number]
            if entry.timestamp > high:
                break
            if entry.is_keyframe and not entry.is_discard:
                keyframes.append(Keyframe(entry.timestamp, entry.timestamp + delay, self._is_by_presentation))
        return keyframes

    def _known(self, keyframe: Keyframe) -> Keyframe | None:
        """The keyframe with the presentation time of its packet; None if there is no such packet."""
        packet = self._packet_of(keyframe)
        return None if packet is None or packet.pts is None else replace(keyframe, pts=packet.pts, is_known=True)

    def _packet_of(self, keyframe: Keyframe) -> "av.Packet[av.VideoStream] | None":
        """Its packet; None if there is no whole one that is a keyframe. Whatever is wrong then is told by the exact reading."""
        try:
            # where the index goes by decode time, FFmpeg compares the aim with presentation times, and begins a packet or two early
            self._container.seek(keyframe.entry, stream=self._stream, any_frame=not self._is_by_presentation)
            for packet in islice(self._container.demux(self._stream), REORDERED):
                if (packet.pts if self._is_by_presentation else packet.dts) == keyframe.entry:
                    is_whole = packet.is_keyframe and packet.size and not packet.is_corrupt and not packet.is_discard
                    return packet if is_whole else None
        except av.error.FFmpegError:
            pass
        return None

    def frame_of(self, keyframe: Keyframe) -> av.VideoFrame | None:
        """The keyframe, decoded alone; None where that does not give one whole frame of the right time.

        A packet may be a recovery point, from which the picture becomes whole little by little, or one field of an interlaced
        frame. Whoever reads on has to seek first.
        """
        packet, decoder = self._packet_of(keyframe), self._stream.codec_context
        if packet is None:
            return None
        try:
            frames = [*packet.decode(), *decoder.decode(None)]
        except av.error.FFmpegError:
            return None
        finally:
            decoder.flush_buffers()
        for frame in frames:
            self._pixel_count.add(frame)
        is_right = len(frames) == 1 and frames[0].pts == keyframe.pts and frames[0].key_frame
        return frames[0] if is_right and not frames[0].is_corrupt and not frames[0].interlaced_frame else None


def _corrected(keyframes: Sequence[Keyframe]) -> list[Keyframe]:
    """With better guesses: the first frame of an open group of pictures waits longer between decoding and presentation than the
    first one of the file."""
    delays = [keyframe.pts - keyframe.entry for keyframe in keyframes if keyframe.is_known]
    return [keyframe if keyframe.is_known else replace(keyframe, pts=keyframe.entry + delays[-1]) for keyframe in keyframes]
