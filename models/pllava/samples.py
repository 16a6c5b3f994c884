"""How a sample of several turns is shown to the model: its exchanges as text, the view of each clip, and the context's limit."""

import math

from models.base import Sample
from models.pllava.architecture import Shape
from models.pllava.processing import Exchange, PllavaProcessor

View = tuple[int, tuple[int, ...] | None, Shape]
"""How one place in the text shows a video: which video, which of its frames (None: all), and its pooled shape."""


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
            f"a sample of {len(sample) - 1} shots, {math.prod(processor.video.shot_pooled)} visual tokens each, and a query of "
            f"{processor.tokens_per_video} takes {num_tokens} tokens with its answer, and the model's context is "
            f"{context_tokens}; lower episodes.shots, episodes.pooling_shape or model.pooling_shape"
        )
