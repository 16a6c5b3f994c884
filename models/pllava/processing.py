"""Frames and messages in, tensors out. A video token becomes T' * H' * W' of them here, so batches need no merging in the model."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import BatchFeature, ProcessorMixin
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

VIDEO_TOKEN = "<video>"


class PllavaProcessor(ProcessorMixin):
    """Tokenizer and pixel rules of one checkpoint.

    PllavaProcessor(tokenizer, image_size=336, num_frames=16, pooling_shape=[16, 12, 12])
    """

    def __init__(
        self,
        tokenizer: Any = None,
        chat_template: str | None = None,
        image_size: int = 336,
        num_frames: int = 16,
        pooling_shape: list[int] | tuple[int, ...] = (16, 12, 12),
        image_mean: list[float] | tuple[float, ...] = tuple(OPENAI_CLIP_MEAN),
        image_std: list[float] | tuple[float, ...] = tuple(OPENAI_CLIP_STD),
        **_: Any,
    ) -> None:
        super().__init__(tokenizer, chat_template=chat_template or tokenizer.chat_template)
        self.image_size = image_size
        self.num_frames = num_frames
        self.pooling_shape = list(pooling_shape)
        self.image_mean, self.image_std = list(image_mean), list(image_std)
        self.video_token = VIDEO_TOKEN
        self.video_token_id = tokenizer.convert_tokens_to_ids(VIDEO_TOKEN)

    @property
    def tokens_per_video(self) -> int:
        t, h, w = self.pooling_shape
        return t * h * w

    def pixels(self, frames: Tensor) -> Tensor:
        """uint8[B,T,H,W,3] -> float[B,T,3,S,S]: short side to S (bicubic), centre crop, CLIP's mean and deviation."""
        if frames.dtype != torch.uint8 or frames.ndim != 5 or frames.shape[-1] != 3:
            raise ValueError(f"frames must be uint8[B,T,H,W,3], not {frames.dtype}{list(frames.shape)}")
        batch, num_frames, height, width, _ = frames.shape
        pixels = frames.permute(0, 1, 4, 2, 3).flatten(0, 1).float() / 255
        size = self.image_size
        if (height, width) != (size, size):
            scale = size / min(height, width)
            scaled = (max(size, round(height * scale)), max(size, round(width * scale)))
            pixels = F.interpolate(pixels, scaled, mode="bicubic", antialias=True).clamp(0, 1)
            top, left = (scaled[0] - size) // 2, (scaled[1] - size) // 2
            pixels = pixels[:, :, top : top + size, left : left + size]
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.image_mean, self.image_std))
        normal: Tensor = ((pixels - mean) / std).unflatten(0, (batch, num_frames))
        return normal

    def render(self, question: str, answer: str | None = None) -> str:
        """The chat as the model reads it: one video, one question, and the answer or the place where it begins."""
        content = [{"type": "video"}, {"type": "text", "text": question}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if answer is not None:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        text: str = self.tokenizer.apply_chat_template(
            messages, chat_template=self.chat_template, tokenize=False, add_generation_prompt=answer is None
        )
        return text.replace(VIDEO_TOKEN, VIDEO_TOKEN * self.tokens_per_video)

    def prompt_ids(self, question: str) -> tuple[list[int], list[int]]:
        """Token ids before and after the end of the video. What comes before is the same for every question: the shared prefix."""
        ids = self.tokenizer(self.render(question), add_special_tokens=False).input_ids
        end = len(ids) - ids[::-1].index(self.video_token_id)
        return ids[:end], ids[end:]

    def training_ids(self, question: str, answer: str) -> tuple[list[int], list[int]]:
        """Token ids of a finished chat and its labels: -100 except on the answer and what closes it.

        Tokenized in one go and split by character offsets, so training sees the tokens that generation makes.
        """
        prompt, whole = self.render(question), self.render(question, answer)
        assert whole.startswith(prompt), "the chat template must render a prompt as the beginning of the finished chat"
        encoded = self.tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
        labels = [
            token if start >= len(prompt) else -100
            for token, (start, _) in zip(encoded.input_ids, encoded.offset_mapping, strict=True)
        ]
        return encoded.input_ids, labels

    def __call__(self, text: str | list[str], videos: Tensor | None = None, **kwargs: Any) -> BatchFeature:
        """text with the video tokens already expanded (see `render`); videos uint8[B,T,H,W,3]."""
        inputs = dict(self.tokenizer(text, add_special_tokens=False, return_tensors="pt", **kwargs))
        if videos is not None:
            inputs["pixel_values_videos"] = self.pixels(videos)
        return BatchFeature(inputs)
