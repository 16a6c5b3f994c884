"""Frames and token ids in, tensors out, by the rules of a checkpoint's processor.

Shapes: B samples, V videos and I images of all samples together, T frames, S pixels a side, L tokens.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.base import Video
from models.pllava.pooling import Shape
from models.pllava.processing import PllavaProcessor
from models.pllava.template import VIDEO_TOKEN


def stack(processor: PllavaProcessor, videos: Sequence[Video]) -> Tensor:
    """uint8[B,T,S,S,3] of B videos. PLLaVA's frame spec gives all videos of a checkpoint one shape."""
    expected = (processor.num_frames, processor.image_size, processor.image_size, 3)
    for index, video in enumerate(videos):
        shape = f"{video.frames.dtype}{list(video.frames.shape)}"
        assert shape == f"uint8{list(expected)}", f"video {index} is {shape}, and the model watches uint8{list(expected)}"
    if not videos:
        return torch.zeros(0, *expected, dtype=torch.uint8)
    return torch.from_numpy(np.stack([video.frames for video in videos]))


def pixels(processor: PllavaProcessor, frames: Tensor) -> Tensor:
    """uint8[B,T,H,W,3] -> float[B,T,3,S,S]: short side to S (bicubic) and centre crop, or stretched; then mean and deviation."""
    if frames.dtype != torch.uint8 or frames.ndim != 5 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise ValueError(f"frames must be uint8[B,T,H,W,3] with at least one frame each, not {frames.dtype}{list(frames.shape)}")
    batch, num_frames, height, width, _ = frames.shape
    values = frames.permute(0, 1, 4, 2, 3).flatten(0, 1).float() / 255
    size = processor.image_size
    if (height, width) != (size, size):
        scale = size / min(height, width)
        cropped = max(size, round(height * scale)), max(size, round(width * scale))
        scaled = (size, size) if processor.stretches else cropped
        values = F.interpolate(values, scaled, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = (scaled[0] - size) // 2, (scaled[1] - size) // 2
        values = values[:, :, top : top + size, left : left + size]
    channels = (processor.image_mean, processor.image_std)
    mean, std = (torch.tensor(channel, device=frames.device).view(1, 3, 1, 1) for channel in channels)
    normal: Tensor = ((values - mean) / std).unflatten(0, (batch, num_frames))
    return normal


def pad(processor: PllavaProcessor, rows: Sequence[Sequence[int]], side: str) -> dict[str, Tensor]:
    """input_ids and attention_mask int64[B,L]; `side` is "left" or "right"."""
    longest = max(map(len, rows), default=0)
    ids = torch.full((len(rows), longest), processor.tokenizer.pad_token_id)
    mask = torch.zeros(len(rows), longest, dtype=torch.int64)
    for index, row in enumerate(rows):
        place = slice(longest - len(row), None) if side == "left" else slice(len(row))
        ids[index, place] = torch.tensor(list(row), dtype=torch.int64)
        mask[index, place] = 1
    return {"input_ids": ids, "attention_mask": mask}


def training_batch(processor: PllavaProcessor, pairs: Sequence[tuple[list[int], list[int]]]) -> dict[str, Tensor]:
    """Right-padded input_ids, attention_mask and labels int64[B,L] of what training_ids gave."""
    batch = pad(processor, [ids for ids, _ in pairs], "right")
    length = batch["input_ids"].shape[1]
    return batch | {"labels": torch.tensor([labels + [-100] * (length - len(labels)) for _, labels in pairs])}


def model_inputs(
    processor: PllavaProcessor,
    text: str | Sequence[str],
    images: Tensor | None = None,
    videos: Tensor | Sequence[Tensor] | None = None,
    pooling_shapes: Sequence[Shape] | None = None,
    padding_side: str = "left",
) -> dict[str, Any]:
    """Chats with one video token for each video and one image token for each image; their pixels in the same order.

    images uint8[I,H,W,3]; videos uint8[V,T,H,W,3], or a sequence of uint8[T,H,W,3] of their own lengths; pooling_shapes one for
    each video. Returns what PllavaForConditionalGeneration takes.
    """
    texts = [text] if isinstance(text, str) else list(text)
    counts = [processor.tokenizer.encode(chat).count(processor.video_token_id or 0) for chat in texts]
    if pooling_shapes is not None and len(pooling_shapes) != sum(counts):
        raise ValueError(f"{len(pooling_shapes)} pooling_shapes for {sum(counts)} {VIDEO_TOKEN} in the texts")
    rows, first = [], 0
    for chat, count in zip(texts, counts, strict=True):
        rows.append(processor.token_ids(chat, pooling_shapes[first : first + count] if pooling_shapes is not None else None))
        first += count
    inputs: dict[str, Any] = pad(processor, rows, padding_side)
    if images is not None:
        inputs["pixel_values"] = pixels(processor, images.unsqueeze(1)).squeeze(1)
    if isinstance(videos, Tensor):
        inputs["pixel_values_videos"] = pixels(processor, videos)
    elif videos is not None:
        inputs["pixel_values_videos"] = [pixels(processor, video.unsqueeze(0)).squeeze(0) for video in videos]
    if pooling_shapes is not None:
        inputs["pooling_shapes"] = [tuple(shape) for shape in pooling_shapes]
    return inputs
