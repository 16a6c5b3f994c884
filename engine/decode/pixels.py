"""Counts the pixels that are decoded for a clip."""

import av

from engine.decode.media import too_wide
from engine.decode.request import Request, Unusable


class PixelCount:
    """Counts the pixels that are decoded for a clip, against the request's bounds."""

    def __init__(self, request: Request) -> None:
        self._left, self._request = request.decode_pixels, request
        self.num_frames = 0
        """Frames that were counted so far."""

    def add(self, frame: av.VideoFrame) -> None:
        """Raises Unusable where the frame is too large, or the clip's pixels are used up."""
        pixels = frame.width * frame.height
        if pixels > self._request.frame_pixels:
            raise too_wide(self._request, f"{frame.width} x {frame.height} is")
        self._left -= pixels
        self.num_frames += 1
        if self._left < 0:
            allowed = self._request.decode_pixels
            raise Unusable(
                "too_large", f"{self._request.video}: more than limits.decode_pixels = {allowed} pixels were decoded for it"
            )
