"""How a sample of several turns is shown to the model: its exchanges as text, the view of each clip, and the context's limit."""

from collections.abc import Container
from dataclasses import dataclass

from models.base import Sample
from models.context import sample_too_long
from models.pllava.forms import Exchange
from models.pllava.pooling import Shape
from models.pllava.processing import PllavaProcessor

View = tuple[int, tuple[int, ...] | None, Shape]
"""How one place in the text shows a video: which video, which of its frames (None: all), and its pooled shape."""


def exchanges_of(sample: Sample) -> list[Exchange]:
    """Each turn as the chat has it; an empty last answer is None, for the model to give."""
    unanswered = len(sample) - 1 if not sample[-1].answer else None
    return [
        Exchange(turn.prompt, None if number == unanswered else turn.answer, turn.clip is not None, turn.learned, turn.instruction)
        for number, turn in enumerate(sample)
    ]


def views_of(processor: PllavaProcessor, sample: Sample, pictures: Container[int] = ()) -> list[View]:
    """How the turns that show a clip show it: pictures whole, shots with fewer frames and tokens, the last clip in full.

    A picture is one frame with all its patches and no pool: LLaVA's path for images (transformers, LlavaModel.get_image_features),
    which needs no training to be understood by a PLLaVA. PLLaVA's own code repeats a picture to 16 frames and pools them
    (modeling_pllava.py, media_type == "image"); its released models have seen no picture in training.
    """
    shot_frames = processor.shot_frame_numbers()
    chosen = None if len(shot_frames) == processor.num_frames else tuple(shot_frames)
    clips = [turn.clip for turn in sample if turn.clip is not None]
    views: list[View] = [(clip, chosen, processor.video.shot_pooled) for clip in clips[:-1]]
    views += [(clip, None, processor.video.pooled) for clip in clips[-1:]]
    return [(view[0], (0,), processor.picture_shape) if view[0] in pictures else view for view in views]


def ids_of(processor: PllavaProcessor, sample: Sample, pictures: Container[int] = ()) -> list[int]:
    """Token ids of the sample, those that stand for its clips included."""
    return processor.sample_ids(exchanges_of(sample), [shape for _, _, shape in views_of(processor, sample, pictures)])


def too_long(processor: PllavaProcessor, sample: Sample, num_tokens: int, context_tokens: int) -> str:
    """Why a sample of so many tokens does not fit, "" where it does."""
    if shots := max(0, sum(turn.clip is not None for turn in sample) - 1):
        contents = (
            f"{shots} shots, {processor.tokens_of(processor.video.shot_pooled)} visual tokens each, and a query of "
            f"{processor.tokens_per_video}"
        )
        return sample_too_long(
            num_tokens, context_tokens, contents, "episodes.shots, episodes.pooling_shape or model.pooling_shape"
        )
    return sample_too_long(num_tokens, context_tokens, f"its {len(sample)} questions and answers", "model.pooling_shape")


def refuse_long(processor: PllavaProcessor, sample: Sample, num_tokens: int, context_tokens: int) -> None:
    """Raises ValueError for a sample beyond the context."""
    if reason := too_long(processor, sample, num_tokens, context_tokens):
        raise ValueError(reason)


@dataclass(frozen=True)
class SampleCounter:
    """See TokenCounter in models/base.py."""

    processor: PllavaProcessor
    context_tokens: int

    def count(self, sample: Sample, pictures: Container[int] = ()) -> int:
        return len(ids_of(self.processor, sample, pictures))

    def too_long(self, sample: Sample, pictures: Container[int] = ()) -> str:
        return too_long(self.processor, sample, self.count(sample, pictures), self.context_tokens)
