"""What a film strip is, and which clip it is of. Pure; engine/report/frames.py makes them."""

import json
from dataclasses import dataclass

from engine.rows import Clip, Window
from engine.store.files import digest

StripKey = str
"""Names a clip's video and window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Strip(picture="/9j/4AAQ...", width=384, height=96, caption="4 of the 8 frames ...", missing="")"""

    picture: str = ""
    """Base64 of a JPEG; "": there is none."""
    width: int = 0
    height: int = 0
    caption: str = ""
    missing: str = ""
    """Why there is no picture."""


def key_of(clip: Clip | Window) -> StripKey:
    """A digest: the page names it, and a video's URI may hold a signature."""
    return digest([clip.video, clip.start_s, clip.end_s])


def translated(key: str) -> StripKey:
    """The key of a strip in a page, which in pages of an earlier version is the video and the two ends of its window.

    >>> translated("my clip.mp4 None 8.0") == digest(["my clip.mp4", None, 8.0])
    True
    """
    if " " not in key:
        return key
    video, *ends = key.rsplit(" ", 2)
    return digest([video, *(None if end == "None" else json.loads(end) for end in ends)])
