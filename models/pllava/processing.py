"""Frames and messages in, tensors out. A video token becomes T' * H' * W' of them here, so batches need no merging in the model.

Shapes: B samples, V videos and I images of all samples together, T frames, S pixels a side, L tokens.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import BatchFeature, ProcessorMixin
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from models.base import LossOn
from models.pllava.modeling import Shape

VIDEO_TOKEN, IMAGE_TOKEN = "<video>", "<image>"
Exchange = tuple[str, str | None]
"""What is asked about a video, and what is said; None: nothing yet."""


def _three(values: Any) -> bool:
    return (
        isinstance(values, list | tuple)
        and len(values) == 3
        and all(isinstance(v, float | int) and math.isfinite(v) for v in values)
    )


class PllavaProcessor(ProcessorMixin):
    """Tokenizer and pixel rules of one checkpoint.

    PllavaProcessor(tokenizer, image_size=336, patch_size=14, num_frames=16, pooling_shape=[16, 12, 12])
    """

    def __init__(
        self,
        tokenizer: Any = None,
        chat_template: str | None = None,
        image_size: int = 336,
        patch_size: int = 14,
        num_frames: int = 16,
        pooling_shape: list[int] | tuple[int, ...] = (16, 12, 12),
        image_mean: list[float] | tuple[float, ...] = tuple(OPENAI_CLIP_MEAN),
        image_std: list[float] | tuple[float, ...] = tuple(OPENAI_CLIP_STD),
        **_: Any,
    ) -> None:
        super().__init__(tokenizer, chat_template=chat_template or tokenizer.chat_template)
        self.image_size = image_size
        self.patch_size = patch_size
        self.num_frames = num_frames
        self.pooling_shape = list(pooling_shape)
        self.shot_frames, self.shot_shape = num_frames, cast(Shape, tuple(pooling_shape))  # models/pllava/checkpoints.py sets them
        if not (_three(image_mean) and _three(image_std) and min(image_std) > 0):
            raise ValueError(f"image_mean {image_mean} and image_std {image_std} must be three numbers each, the latter above 0")
        self.image_mean, self.image_std = list(image_mean), list(image_std)
        self.video_token, self.image_token = VIDEO_TOKEN, IMAGE_TOKEN
        self.video_token_id = tokenizer.convert_tokens_to_ids(VIDEO_TOKEN)
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)

        added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        self.control_tokens = sorted({*added, *tokenizer.all_special_tokens, VIDEO_TOKEN, IMAGE_TOKEN}, key=len, reverse=True)

    @property
    def tokens_per_video(self) -> int:
        return math.prod(self.pooling_shape)

    @property
    def tokens_per_image(self) -> int:
        return (self.image_size // self.patch_size) ** 2

    def pixels(self, frames: Tensor) -> Tensor:
        """uint8[B,T,H,W,3] -> float[B,T,3,S,S]: short side to S (bicubic), centre crop, CLIP's mean and deviation."""
        if frames.dtype != torch.uint8 or frames.ndim != 5 or frames.shape[-1] != 3 or 0 in frames.shape:
            raise ValueError(
                f"frames must be uint8[B,T,H,W,3] with at least one frame each, not {frames.dtype}{list(frames.shape)}"
            )
        batch, num_frames, height, width, _ = frames.shape
        pixels = frames.permute(0, 1, 4, 2, 3).flatten(0, 1).float() / 255
        size = self.image_size
        if (height, width) != (size, size):
            scale = size / min(height, width)
            scaled = (max(size, round(height * scale)), max(size, round(width * scale)))
            pixels = F.interpolate(pixels, scaled, mode="bicubic", antialias=True).clamp(0, 1)
            top, left = (scaled[0] - size) // 2, (scaled[1] - size) // 2
            pixels = pixels[:, :, top : top + size, left : left + size]
        mean, std = (torch.tensor(values, device=frames.device).view(1, 3, 1, 1) for values in (self.image_mean, self.image_std))
        normal: Tensor = ((pixels - mean) / std).unflatten(0, (batch, num_frames))
        return normal

    def chat(self, question: str, answer: str | None = None, shots: Sequence[Exchange] = ()) -> str:
        """The chat as text: a video, its question, and the answer or the place where it begins; before it the shots, likewise."""
        messages: list[dict[str, Any]] = []
        for asked, said in [*shots, (question, answer)]:
            content = [{"type": "video"}, {"type": "text", "text": self._plain(asked)}]
            messages.append({"role": "user", "content": content})
            if said is not None:
                messages.append({"role": "assistant", "content": [{"type": "text", "text": self._plain(said)}]})
        text: str = self.tokenizer.apply_chat_template(
            messages, chat_template=self.chat_template, tokenize=False, add_generation_prompt=answer is None
        )
        return text

    def _plain(self, text: str) -> str:
        """A person's or a model's words, with special tokens taken apart: in the chat they would be the chat's own."""
        for token in self.control_tokens:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def token_ids(self, text: str, pooling_shapes: Sequence[Shape] | None = None) -> list[int]:
        """Token ids of a chat, each video token as many times as its video has tokens after pooling, image tokens likewise.

        pooling_shapes: one a video, in order; by default the checkpoint's for all. Raises ValueError where their number is another.
        """
        ids = self.tokenizer(text, add_special_tokens=False).input_ids
        return [token for token, count in zip(ids, self._widths(ids, pooling_shapes), strict=True) for _ in range(count)]

    def _widths(self, ids: list[int], pooling_shapes: Sequence[Shape] | None = None) -> list[int]:
        """How many places each token takes."""
        videos = ids.count(self.video_token_id)
        shapes = iter(pooling_shapes if pooling_shapes is not None else [self.pooling_shape] * videos)
        if pooling_shapes is not None and len(pooling_shapes) != videos:
            raise ValueError(f"{len(pooling_shapes)} pooling_shapes for {videos} {VIDEO_TOKEN} in the text")
        widths = {self.image_token_id: self.tokens_per_image}
        return [math.prod(next(shapes)) if token == self.video_token_id else widths.get(token, 1) for token in ids]

    @cached_property
    def prefix_ids(self) -> list[int]:
        """Token ids up to the end of the video: the same for every question."""
        return self.prompt_ids("")[0]

    def prompt_ids(self, question: str) -> tuple[list[int], list[int]]:
        """Token ids before and after the end of the video. What comes before is the same for every question: the shared prefix."""
        ids = self.token_ids(self.chat(question))
        end = len(ids) - ids[::-1].index(self.video_token_id)
        return ids[:end], ids[end:]

    def sample_ids(self, exchanges: Sequence[Exchange]) -> list[int]:
        """Token ids of a chat whose last exchange may be waiting for its answer."""
        *shots, (question, answer) = exchanges
        return self.token_ids(self.chat(question, answer, shots), self.shapes(len(shots)))

    def training_ids(
        self, question: str, answer: str, shots: Sequence[Exchange] = (), loss_on: LossOn = "query"
    ) -> tuple[list[int], list[int]]:
        """Token ids of a finished chat and its labels: -100 except on the answer and what closes it, or on the shots' answers too.

        Tokenized in one go and split by character offsets, so training sees the tokens that generation makes.
        """
        turns, whole = [*shots, (question, answer)], self.chat(question, answer, shots)
        learned = []  # from which character to which
        for last in range(len(turns)) if loss_on == "all" else [len(turns) - 1]:
            asked, said = turns[last]
            spans = [self.chat(asked, None, turns[:last]), self.chat(asked, said, turns[:last])]
            assert all(map(whole.startswith, spans)), "the chat template must render each beginning of a chat as one of the whole"
            learned.append((len(spans[0]), len(spans[1])))
        encoded = self.tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
        widths = self._widths(encoded.input_ids, self.shapes(len(shots)))
        ids, labels = [], []
        for token, (start, _), count in zip(encoded.input_ids, encoded.offset_mapping, widths, strict=True):
            ids += [token] * count
            labels += [token if any(a <= start < b for a, b in learned) else -100] * count
        return ids, labels

    def shapes(self, num_shots: int) -> list[Shape]:
        """Of a sample's videos, in order: the shots', and the query's."""
        return [*[self.shot_shape] * num_shots, (self.pooling_shape[0], self.pooling_shape[1], self.pooling_shape[2])]

    def shot_frame_numbers(self) -> list[int]:
        """Which of a clip's frames a shot shows: the middle one of each of equal parts.

        Of 8 frames, 4 are 1, 3, 5, 7.
        """
        return [(2 * i + 1) * self.num_frames // (2 * self.shot_frames) for i in range(self.shot_frames)]

    def pad(self, rows: Sequence[Sequence[int]], side: str) -> dict[str, Tensor]:
        """input_ids and attention_mask int64[B,L]."""
        padded = self.tokenizer.pad({"input_ids": [list(row) for row in rows]}, padding_side=side, return_tensors="pt")
        return {name: padded[name] for name in ("input_ids", "attention_mask")}

    def training_batch(self, pairs: Sequence[tuple[list[int], list[int]]]) -> dict[str, Tensor]:
        """Right-padded input_ids, attention_mask and labels int64[B,L] of what training_ids gave."""
        batch = self.pad([ids for ids, _ in pairs], "right")
        length = batch["input_ids"].shape[1]
        return batch | {"labels": torch.tensor([labels + [-100] * (length - len(labels)) for _, labels in pairs])}

    def __call__(
        self,
        text: str | Sequence[str],
        images: Tensor | None = None,
        videos: Tensor | Sequence[Tensor] | None = None,
        pooling_shapes: Sequence[Shape] | None = None,
        padding_side: str = "left",
    ) -> BatchFeature:
        """Chats with one video token a video and one image token an image; their pixels in the same order.

        images uint8[I,H,W,3]; videos uint8[V,T,H,W,3], or a sequence of uint8[T,H,W,3] of their own lengths; pooling_shapes one a
        video. Returns what PllavaForConditionalGeneration takes.
        """
        texts = [text] if isinstance(text, str) else list(text)
        counts = [self.tokenizer(one, add_special_tokens=False).input_ids.count(self.video_token_id) for one in texts]
        if pooling_shapes is not None and len(pooling_shapes) != sum(counts):
            raise ValueError(f"{len(pooling_shapes)} pooling_shapes for {sum(counts)} {VIDEO_TOKEN} in the texts")
        rows, first = [], 0
        for one, count in zip(texts, counts, strict=True):
            rows.append(self.token_ids(one, pooling_shapes[first : first + count] if pooling_shapes is not None else None))
            first += count
        inputs: dict[str, Any] = self.pad(rows, padding_side)
        if images is not None:
            inputs["pixel_values"] = self.pixels(images.unsqueeze(1)).squeeze(1)
        if isinstance(videos, Tensor):
            inputs["pixel_values_videos"] = self.pixels(videos)
        elif videos is not None:
            inputs["pixel_values_videos"] = [self.pixels(video.unsqueeze(0)).squeeze(0) for video in videos]
        if pooling_shapes is not None:
            inputs["pooling_shapes"] = [tuple(shape) for shape in pooling_shapes]
        return BatchFeature(inputs)
