"""How rows of other tools show a file: a tag in a message, <video> or <image>, and the file in a list of that name. Pure."""

import re
from pathlib import PurePosixPath

from engine.store.locations import local_path

PICTURES = frozenset("bmp gif jpeg jpg png webp".split())
"""Suffixes of still pictures that a run opens as videos of one frame; a GIF may be more."""
TAGS = re.compile(r"<(video|image|audio)>")
"""Where ms-swift, LLaVA and LLaMA-Factory put what a message shows."""


def without_tags(text: str) -> str:
    """The text with such tags broken, so that it shows nothing of its own.

    >>> without_tags("a <video> tag")
    'a <video > tag'
    """
    return TAGS.sub(r"<\1 >", text)


def shown_as(video: str) -> str:
    """
    >>> shown_as("s3://b/a.mp4"), shown_as("/v/a.JPG"), shown_as("")
    ('video', 'image', '')
    """
    if not video:
        return ""
    return "image" if suffix_of(video) in PICTURES else "video"


def tag_of(video: str) -> str:
    """
    >>> tag_of("/v/a.mp4"), tag_of("/v/a.jpg"), tag_of("")
    ('<video>', '<image>', '')
    """
    return f"<{shown_as(video)}>" if video else ""


def media_of(videos: list[str]) -> dict[str, list[str]]:
    """The lists of a row that shows these, in the order of its tags.

    >>> media_of(["/v/a.mp4", "/v/b.jpg", "/v/c.mp4"])
    {'videos': ['/v/a.mp4', '/v/c.mp4'], 'images': ['/v/b.jpg']}
    """
    return {f"{kind}s": [video for video in videos if shown_as(video) == kind] for kind in ("video", "image")}


def suffix_of(uri: str) -> str:
    """
    >>> suffix_of("https://h/a.MP4?v=1"), suffix_of("/v/clip")
    ('mp4', '')
    """
    path = uri if local_path(uri) is not None else uri.partition("?")[0]
    return PurePosixPath(path).suffix.lower().removeprefix(".")
