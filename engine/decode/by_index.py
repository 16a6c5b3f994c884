"""When the frames of given numbers are shown: counted by the container's index, or by its packets; nothing is decoded for it."""

import bisect
from collections.abc import Sequence
from itertools import islice

import av

REORDERED = 32
"""Packets before the last one that may be shown after it: codecs reorder up to 16."""
DEFAULT_RATE = 25
"""FFmpeg's, where a stream does not say at what rate it is shown."""
WITH_ALL_PACKETS = "mov,mp4,m4a,3gp,3g2,mj2"
"""The demuxer whose index has an entry for each packet, unless the file is fragmented."""


def has_all_packets(container: "av.container.InputContainer", stream: "av.VideoStream") -> bool:
    """True if the index has an entry for each packet."""
    return bool(container.format.name == WITH_ALL_PACKETS and 0 < len(stream.index_entries) == stream.frames)


def shown_entries(stream: "av.VideoStream") -> list[int]:
    """Numbers of the index's entries that are shown, in the order of decoding."""
    entries = stream.index_entries
    return [number for number in range(len(entries)) if not entries[number].is_discard]


def ticks_of(
    container: "av.container.InputContainer", stream: "av.VideoStream", chosen: Sequence[int], shown: Sequence[int]
) -> list[int]:
    """Presentation times of the frames of these ascending numbers; fewer where the file ends before.

    `shown`: entries of an index that has one for each packet. Of the file only the packets from a keyframe to the chosen frames are
    read: what is decoded before a keyframe is shown before everything that is decoded after it, so its entry's number is a count.
    """
    entries, ticks = stream.index_entries, dict[int, int]()
    for keyframe, numbers in stretches(chosen, [at for at, entry in enumerate(shown) if entries[entry].is_keyframe]):
        dts = entries[shown[keyframe]].timestamp
        # a packet or two early: FFmpeg compares the aim with presentation times
        container.seek(dts, stream=stream, any_frame=True)
        times = ticks_from_here(container, stream, dts, numbers[-1] - keyframe + 1 + REORDERED)
        ticks |= {number: times[number - keyframe] for number in numbers if number - keyframe < len(times)}
    return [ticks[number] for number in chosen if number in ticks]


def ticks_from_here(
    container: "av.container.InputContainer", stream: "av.VideoStream", first_dts: int | None = None, count: int | None = None
) -> list[int]:
    """Presentation times, ascending, of the next packets that are shown: so many or all, from a decode time on or from here."""
    packets = (packet for packet in container.demux(stream) if packet.pts is not None and not packet.is_discard)
    if first_dts is not None:
        packets = (packet for packet in packets if packet.dts is not None and packet.dts >= first_dts)
    return sorted(packet.pts for packet in islice(packets, count))


def stretches(chosen: Sequence[int], keyframes: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Which packets to look through for the frames of these ascending numbers: the keyframe to begin at, and the numbers from there
    on. A stretch goes on over keyframes that it comes to anyway.

    >>> stretches([3, 30, 200], [0, 12, 24, 190])
    [(0, [3, 30]), (190, [200])]
    """
    grouped: list[tuple[int, list[int]]] = []
    for number in chosen:
        keyframe = keyframes[max(0, bisect.bisect_right(keyframes, number) - 1)] if keyframes else 0
        if grouped and keyframe <= grouped[-1][1][-1] + REORDERED:
            grouped[-1][1].append(number)
        else:
            grouped.append((keyframe if keyframe <= number else 0, [number]))
    return grouped
