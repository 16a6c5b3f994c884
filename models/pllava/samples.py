"""How a sample of several turns is shown to the model: its exchanges as text, the view of each clip, and the context's limit."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.base import Sample, Video
from models.pllava.modeling import View
from models.pllava.processing import Exchange, PllavaProcessor


def exchanges_of(sample: Sample) -> list[Exchange]:
    """(prompt, answer) of each turn; None for an empty last answer, which the model has to give."""
    return [*((turn.prompt, turn.answer) for turn in sample[:-1]), (sample[-1].prompt, sample[-1].answer or None)]


def views_of(processor: PllavaProcessor, sample: Sample) -> list[View]:
    """How each turn shows its clip: shots with fewer frames and tokens, the query in full."""
    shot_frames = processor.shot_frame_numbers()
    chosen = None if len(shot_frames) == processor.num_frames else tuple(shot_frames)
    *shot_shapes, query_shape = processor.shapes(len(sample) - 1)
    shots = [(turn.clip, chosen, shape) for turn, shape in zip(sample[:-1], shot_shapes, strict=True)]
    return [*shots, (sample[-1].clip, None, query_shape)]


def refuse_long(processor: PllavaProcessor, sample: Sample, num_tokens: int, context_tokens: int) -> None:
    """Raises ValueError for a sample beyond the context. Nothing is cut off, because the answer would be cut off first."""
    if num_tokens > context_tokens:
        raise ValueError(
            f"a sample of {len(sample) - 1} shots, {math.prod(processor.shot_shape)} visual tokens each, and a query of "
            f"{processor.tokens_per_video} takes {num_tokens} tokens with its answer, and the model's context is "
            f"{context_tokens}; lower episodes.shots, episodes.pooling_shape or model.pooling_shape"
        )


def stack(processor: PllavaProcessor, videos: Sequence[Video]) -> Tensor:
    """uint8[B,T,S,S,3] of B videos. PLLaVA's frame spec gives all videos of a checkpoint one shape."""
    expected = (processor.num_frames, processor.image_size, processor.image_size, 3)
    for index, video in enumerate(videos):
        shape = f"{video.frames.dtype}{list(video.frames.shape)}"
        assert shape == f"uint8{list(expected)}", f"video {index} is {shape}, and the model watches uint8{list(expected)}"
    if not videos:
        return torch.zeros(0, *expected, dtype=torch.uint8)
    return torch.from_numpy(np.stack([video.frames for video in videos]))
