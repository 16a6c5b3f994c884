"""Videos and questions as the messages of a chat, in the forms that servers take.

`images`: one image_url for each frame, with its second as text before it; OpenAI's form, which vLLM, SGLang and vendors take.
`video`: vLLM's video_url of JPEG frames (vllm/multimodal/media/video.py of vLLM 0.32, VideoMediaIO.load_base64). media_io_kwargs
gives the seconds of the frames, and keeps vLLM from dropping those after the 32nd; vLLM takes it with --trust-request-mm-kwargs.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from models.base import Sample, Video
from models.endpoint.pictures import PictureFormat, encoded

Send = Literal["images", "video"]
Part = dict[str, Any]
"""An entry of a message's content."""
TICKS = 100
"""Ticks in a second by which vLLM is given the seconds of frames: it computes them as tick / TICKS."""


def parts_of(video: Video, send: Send, picture_format: PictureFormat, times: bool) -> list[Part]:
    """The content that shows a video; of a still picture one image. `times`: write each frame's second before it."""
    if video.is_picture:
        return [_image(next(encoded(video.frames[:1], picture_format)), picture_format)]
    if send == "video":
        return [{"type": "video_url", "video_url": {"url": f"data:video/jpeg;base64,{','.join(encoded(video.frames, 'jpeg'))}"}}]
    parts = []
    for second, data in zip(video.times_s, encoded(video.frames, picture_format), strict=True):
        parts += [text_part(f"{second:.1f} s:")] if times else []
        parts.append(_image(data, picture_format))
    return parts


def _image(data: str, picture_format: PictureFormat) -> Part:
    return {"type": "image_url", "image_url": {"url": f"data:image/{picture_format};base64,{data}"}}


def text_part(text: str) -> Part:
    return {"type": "text", "text": text}


def question_of(parts: Sequence[Part], question: str) -> list[dict[str, Any]]:
    """The messages of a question about one video."""
    return [{"role": "user", "content": [*parts, text_part(question)]}]


def chat_of(parts_by_clip: Mapping[int, Sequence[Part]], sample: Sample) -> list[dict[str, Any]]:
    """The messages of a sample, up to the question of its last turn."""
    messages: list[dict[str, Any]] = []
    for turn in sample:
        messages += question_of(parts_by_clip[turn.clip] if turn.clip is not None else [], turn.prompt)
        messages.append({"role": "assistant", "content": turn.answer})
    return messages[:-1]


def media_of(videos: Sequence[Video], send: Send) -> dict[str, Any]:
    """The keys of the request's body that say when the frames of its video are shown; {} where that is in the messages.

    >>> import numpy as np
    >>> media_of([Video(np.zeros((2, 4, 4, 3), np.uint8), (0.5, 1.5))], "video")["media_io_kwargs"]["video"]["frames_indices"]
    [50, 150]
    """
    shown = [video for video in videos if not video.is_picture]
    if send != "video" or len(shown) != 1:
        return {}
    ticks = [round(second * TICKS) for second in shown[0].times_s]
    total = max(ticks[-1] + 1, len(ticks))
    video = {"num_frames": -1, "fps": TICKS, "frames_indices": ticks, "total_num_frames": total, "duration": total / TICKS}
    return {"media_io_kwargs": {"video": video | {"do_sample_frames": False}}}
