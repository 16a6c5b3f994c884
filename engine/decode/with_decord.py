"""Frames of a window by decord, where it gives the same ones as PyAV; where it is known not to, the failure names the setting.

decord reads the whole file, chooses the stream by another rule, knows no mirrors, and believes what the index calls a keyframe.
"""

from itertools import pairwise
from typing import BinaryIO

import av
import numpy as np

from engine.decode.frames import choose, num_decoded
from engine.decode.media import SEEKABLE, invalid, no_frame
from engine.decode.request import Frames, Request, Unusable, moments_of
from engine.decode.resize import Resizer, is_mirrored, is_on_its_side
from engine.decode.seek import WindowReader

DECORD_BATCH_BYTES = 1 << 29
"""Frames, of the video's own size, that decord gives at once: 86 of 1080p. Each batch seeks again, so few are better."""


def read_decord(
    file: BinaryIO, container: "av.container.InputContainer", stream: "av.VideoStream", request: Request
) -> tuple[list[Frames], list[float]]:
    """uint8[H,W,3] for each of the window's moments, and their presentation times in seconds since the file's start.

    decord keeps decoding ahead while a reader is held, so: open, get_batch, delete, in one call, on one thread.
    Its presentation times are 32-bit floats: exact to 0.2 ms at the end of an hour. Raises Unusable, FFmpegError.
    """
    import decord  # the other backend works without it, and it loads a second FFmpeg

    if container.format.name not in SEEKABLE or container.streams.best("video") is not stream:
        raise _not_for_decord(request, "it finds other times in it, or watches another stream")
    ours = WindowReader(file, container, stream, request)
    frame = ours.frame_at(ours.first_s)
    if is_mirrored(frame):
        raise _not_for_decord(request, "it does not mirror frames")
    aspect = stream.sample_aspect_ratio
    pixel_aspect = 1 / aspect if aspect and is_on_its_side(frame) else aspect
    file.seek(0)
    try:
        reader = decord.VideoReader(file, num_threads=1)
        spans = [(float(start), float(end)) for start, end in reader.get_frame_timestamp(range(len(reader)))]
        if not spans:
            raise no_frame(request.video)
        if any(after[0] <= before[0] for before, after in pairwise(spans)):
            raise _not_for_decord(request, "it finds no presentation times in it")
        times_s = [start - spans[0][0] + ours.first_s for start, _ in spans]
        moments_s = moments_of(request, ours.first_s, spans[-1][1] - spans[0][0] + ours.first_s)
        chosen = choose(times_s, moments_s)
        resizer = Resizer(request, pixel_aspect, len(chosen))
        frame_pixels = int(np.prod(reader[0].shape[:2]))
        # as WindowReader counts; that each further batch seeks again is left to the timeout
        if num_decoded(chosen, reader.get_key_indices()) * frame_pixels > request.decode_pixels:
            raise Unusable(
                "too_large", f"{request.video}: more than limits.decode_pixels = {request.decode_pixels} would be decoded"
            )
        if not all(ours.can_begin_before(moment_s) for moment_s in moments_s):
            raise _not_for_decord(request, "its index lists keyframes that are none")
        frames = list[Frames]()
        batch = max(1, DECORD_BATCH_BYTES // (3 * frame_pixels))
        for first in range(0, len(chosen), batch):
            for pixels in reader.get_batch(chosen[first : first + batch]).asnumpy():
                frames.append(resizer.resize(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        del reader
    except (decord.DECORDError, RuntimeError) as error:
        text = str(error).splitlines()[0][-160:] if str(error) else "decord gave no reason"
        raise (invalid(file, request.video, ValueError(text))) from None
    return frames, [times_s[number] for number in chosen]


def _not_for_decord(request: Request, why: str) -> Unusable:
    return Unusable("codec", f"{request.video} is not for decord: {why}; use generate.decoder=pyav")
