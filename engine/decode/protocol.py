"""What a decoding process and its parent say to each other, over one socket. Nothing is pickled.

Parent to child: a length and a Request as JSON. Child to parent: "H" + length + text once, when it can begin, the text saying why
the kernel does not confine it, if so; then for each request any number of "R" + RANGE, each answered with a length and so many
bytes; and at the end one of "F" + length + FramesHeader as JSON + the frames' bytes, "X" + length + {"kind", "detail"} as JSON, or
"A" after NO_BYTES.
"""

import json
import socket
import struct
from dataclasses import asdict, dataclass
from typing import Any

from engine.decode.frames import is_possible
from models.base import FrameSpec

LENGTH = struct.Struct("!I")
RANGE = struct.Struct("!QI")
"""Offset and length of the bytes that the child wants to be sent."""
NO_BYTES = 0xFFFFFFFF
"""Sent for a length where the parent could not read; only the parent knows why."""
FIRST_READ_BYTES = 64 << 10
"""Bytes that a decoder requests at least where it begins to read: a round trip to storage costs as much as a few of them."""
LARGEST_RANGE = 8 << 20
"""Bytes of one request; the parent serves no larger one."""
LARGEST_TEXT = 1 << 20
"""Bytes of JSON that the parent reads; 768 frames' times need 10 KB."""
LARGEST_REASON = 1000
"""Bytes of the text of "H"."""
LONGEST_TIME_S = 1e20


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesHeader:
    """FramesHeader(num_frames=16, width=336, height=336, times_s=(0.25, ...), in_order=False)"""

    num_frames: int
    width: int
    height: int
    times_s: tuple[float, ...]
    """num_frames presentation times, in seconds since the start of the clip."""
    in_order: bool
    """The video was read from its start, or whole, because it has no index to find the window by."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.num_frames, self.height, self.width, 3

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def parse_header(body: bytes | bytearray, spec: FrameSpec) -> FramesHeader:
    """The header that a child sent. Raises ValueError unless it is one that the spec can give: the child is not trusted."""
    value = json_object(body)
    num_frames, width, height = (_whole_number(value, name) for name in ("num_frames", "width", "height"))
    if not is_possible(spec, num_frames, width, height):
        raise ValueError(f"it announced {num_frames} frames of {width} x {height}, which no video gives by what was asked for")
    times_s, in_order = value.get("times_s"), value.get("in_order")
    if not isinstance(times_s, list) or len(times_s) != num_frames or not all(map(_is_time, times_s)) or times_s != sorted(times_s):
        raise ValueError(f"it did not announce {num_frames} times in their order")
    if not isinstance(in_order, bool):
        raise ValueError("it did not announce how it read the video")
    return FramesHeader(num_frames=num_frames, width=width, height=height, times_s=tuple(map(float, times_s)), in_order=in_order)


def json_object(body: bytes | bytearray) -> dict[str, Any]:
    """Raises ValueError for anything else."""
    try:
        value = json.loads(body)
    except RecursionError:
        raise ValueError("it sent JSON that is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it sent JSON that is no object")
    return value


def _whole_number(value: dict[str, Any], name: str) -> int:
    number = value.get(name)
    if type(number) is not int or not 0 < number < 1 << 32:
        raise ValueError(f"it announced a {name} that is no size")
    return number


def _is_time(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= LONGEST_TIME_S  # type: ignore[operator]  # NaN is not


def receive_exactly(connection: socket.socket, length: int) -> bytes:
    """So many bytes. Raises EOFError where the other side closes before."""
    buffer = bytearray(length)
    view = memoryview(buffer)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return bytes(buffer)
