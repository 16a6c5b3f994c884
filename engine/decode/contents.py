"""What a file is that should be another one, by its first bytes: a pointer or page in its place, or a format that is not opened.

It knows bytes alone: tables are checked with it too (engine/ingest/tables.py).
"""

import re

AGAIN = "fetch it again, signed in where that is needed"
STAND_INS = {
    rb"version https://(git-lfs|hawser)\.github\.com": "a pointer of Git LFS in place of the file; fetch it with: git lfs pull",
    rb"(\.\./)*(\.git)?/?annex/objects/": "a pointer of git-annex in place of the file; fetch it with: git annex get",
    rb"<!doctype html|<html|<head|<body": f"a web page (HTML) in place of the file, such as a login or an error page; {AGAIN}",
    rb"<Error>": f"a server's error message (XML) in place of the file; {AGAIN}",
}
"""Patterns of what servers and version control leave where a file should be -> what it is, and the remedy."""
PICTURE = "picture, which is not opened; convert it to PNG or JPEG"
UNPACK = "an archive; unpack it and name the files in it"
NO_VIDEO = "and no video; drop its row"
OTHERS = {
    rb"II\*\0|MM\0\*|II\+\0|MM\0\+": f"a TIFF {PICTURE}",
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": f"a JPEG 2000 {PICTURE}",
    rb"\0\0\0\x0cJXL |\xff\x0a": f"a JPEG XL {PICTURE}",
    rb"8BPS": f"a Photoshop {PICTURE}",
    rb"v/1\x01": f"an OpenEXR {PICTURE}",
    rb"\0\0\x01\0": f"an icon, a {PICTURE}",
    rb"P[1-7]\s": f"a PNM {PICTURE}",
    rb"(<!doctype svg[^>]*>\s*)?<svg": f"an SVG {PICTURE}",
    rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!|BZh\d|\xfd7zXZ|\x28\xb5\x2f\xfd": UNPACK,
    rb".{257}ustar": UNPACK,
    rb"%PDF-": f"a PDF document {NO_VIDEO}",
    rb"ID3[\x02-\x04]|fLaC|RIFF....WAVE": f"sound {NO_VIDEO}",
    rb"#EXTM3U": "a playlist, which names other files; save what it names with: ffmpeg -i ITS_URL -c copy OUT.mp4",
    rb'\{\s*"|\[\s*\{': f"JSON text and no video, such as a server's error message; {AGAIN}",
}
"""Patterns of what is no video -> what it is, and the remedy."""
_PROLOG = re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--((?!-->).)*-->\s*)*", re.DOTALL)
"""What may stand before the text: a byte order mark, blanks, the declaration of XML, comments."""


def stand_in(head: bytes) -> str:
    """What is there in place of a file, with the remedy; "" for a file that may be the right one.

    >>> stand_in(b"<!DOCTYPE html><html>")[:17], stand_in(b"video,label")
    ('a web page (HTML)', '')
    """
    return _match(STAND_INS, _PROLOG.sub(b"", head, count=1))


def other_contents(head: bytes) -> str:
    """What a file that is no video is, with the remedy; "" where its first bytes do not say it.

    >>> other_contents(b"II*" + bytes(9))
    'a TIFF picture, which is not opened; convert it to PNG or JPEG'
    """
    text = _PROLOG.sub(b"", head, count=1)
    return _match(STAND_INS, text) or _match(OTHERS, head) or _match(OTHERS, text)


def _match(patterns: dict[bytes, str], head: bytes) -> str:
    matches = (what for pattern, what in patterns.items() if re.match(pattern, head, re.IGNORECASE | re.DOTALL))
    return next(matches, "")
