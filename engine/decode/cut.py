"""Whether a file ends before its container says: what is left must not pass for the whole."""

from typing import BinaryIO

from engine.decode import jpeg

HEAD_BYTES = 4096
EBML = b"\x1aE\xdf\xa3"
"""The first bytes of a Matroska file."""
BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide")
"""Types of an mp4 file's first box."""
ASF, ASF_FILE = bytes.fromhex("3026b2758e66cf11"), bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""The first bytes of an ASF file (.wmv), and the id of the header's object with the size of the file, 40 bytes on."""
PNG = b"\x89PNG\r\n\x1a\n"


def head_of(file: BinaryIO) -> bytes:
    at = file.tell()
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(at)
    return head


def is_cut(file: BinaryIO, size: int) -> bool:
    """True if the container announces more bytes than the file has: mp4's boxes, Matroska's segment, RIFF headers (AVI, WebP), ASF.

    A JPEG or PNG picture has a marker at its end, behind which other data may lie. The file's position stays, because a container
    may be reading it.
    """
    at = file.tell()
    try:
        return _is_cut(file, size)
    finally:
        file.seek(at)


def _is_cut(file: BinaryIO, size: int) -> bool:
    head = head_of(file)
    if head[:4] == b"RIFF":
        return int.from_bytes(head[4:8], "little") + 8 > size
    if head[:4] == EBML:
        return _segment_end(head) > size
    if head.startswith(ASF) and (at := head.find(ASF_FILE)) > 0:
        return int.from_bytes(head[at + 40 : at + 48], "little") > size
    if head.startswith(jpeg.BEGINNING):
        return not jpeg.has_end(file)
    if head.startswith(PNG):
        return not _png_ends(file, size)
    if head[4:8] not in BOXES:
        return False
    at = 0
    for _ in range(16):  # a fragmented file has thousands; its first boxes are enough
        file.seek(at)
        box = file.read(16)
        if len(box) < 8:
            return at > size
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:16], "big")
        if length < 8:  # 0: up to the end of the file
            return False
        at += length
    return at > size


def _png_ends(file: BinaryIO, size: int) -> bool:
    """Whether the chunk that ends a picture is there (PNG specification, 5.3)."""
    at = len(PNG)
    while at < size:
        file.seek(at)
        chunk = file.read(8)
        at += 12 + int.from_bytes(chunk[:4], "big")  # with length, type and checksum
        if chunk[4:] == b"IEND":
            return at <= size
    return False


def _segment_end(head: bytes) -> int:
    """The offset in the file at which Matroska's segment ends; 0 if it does not say (variable-length integers: RFC 8794)."""

    def size_at(position: int) -> tuple[int, int]:
        first = head[position] if position < len(head) else 0
        width = 9 - first.bit_length() if first else 1
        value = int.from_bytes(head[position : position + width], "big") & ((1 << (7 * width)) - 1)
        unknown = value == (1 << (7 * width)) - 1
        return (0 if unknown else value), width

    header, width = size_at(4)
    at = 4 + width + header
    if head[at : at + 4] != b"\x18\x53\x80\x67":
        return 0
    length, width = size_at(at + 4)
    return at + 4 + width + length if length else 0
