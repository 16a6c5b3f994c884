"""The segments of a JPEG file's first picture: whether it ends, and whether other pictures of the same scene lie behind it.

Only lengths are followed, because a segment may hold a whole picture of its own, such as a preview (ITU-T T.81, annex B).
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

BEGINNING = b"\xff\xd8\xff"
END, PIXELS, APPLICATION_2 = 0xD9, 0xDA, 0xE2
WITHOUT_LENGTH = (0x01, 0xD8, END)
MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])", re.DOTALL)
"""In coded pixels a byte of 0xff is followed by 0 or by one of the restart markers 0xd0 to 0xd7."""
CHUNK_BYTES = 1 << 16


def has_end(file: BinaryIO) -> bool:
    """Whether the first picture's end marker is there; cameras and editors write data of their own behind it."""
    return any(code == END for code, _ in _segments(file))


def lists_others(file: BinaryIO) -> bool:
    """Whether the first picture lists others that lie behind it: another view, a gain map (CIPA DC-007, MPO; Ultra HDR)."""
    for code, at in _segments(file):
        if code in (PIXELS, END):
            return False
        if code == APPLICATION_2:
            file.seek(at + 2)
            if file.read(4) == b"MPF\0":
                return True
    return False


def _segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """The markers up to the first picture's end, each with the offset behind it, where its length is."""
    at = len(BEGINNING) - 1
    while (marker := _next_marker(file, at)) is not None:
        code, at = marker
        yield code, at
        if code == END:
            return
        if code not in WITHOUT_LENGTH:
            file.seek(at)
            at += max(2, int.from_bytes(file.read(2), "big"))


def _next_marker(file: BinaryIO, at: int) -> tuple[int, int] | None:
    while True:
        file.seek(at)
        data = file.read(CHUNK_BYTES)
        if match := MARKER.search(data):
            return match[1][0], at + match.end()
        if len(data) < CHUNK_BYTES:
            return None
        at += len(data) - 1  # its last byte may be the first of a marker
