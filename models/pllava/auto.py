"""PLLaVA in transformers' Auto classes: whoever imports this module can load checkpoints of the kind "pllava" with them.

AutoConfig, AutoModel, AutoModelForImageTextToText and AutoProcessor; docs/pooling.md has an example. Starloop does not use it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor
from transformers.feature_extraction_utils import BatchFeature

from models.base import ModelSpec
from models.pllava import processing
from models.pllava.checkpoints import describe
from models.pllava.configuration import PllavaConfig
from models.pllava.modeling import PllavaForConditionalGeneration, PllavaModel


class PllavaProcessor:
    """Chats and frames to the arguments of the model, and token ids to text.

    PllavaProcessor.from_pretrained("converted/base")
    """

    def __init__(self, rules: processing.PllavaProcessor) -> None:
        self.rules = rules

    @classmethod
    def from_pretrained(cls, folder: str | Path, **_: Any) -> "PllavaProcessor":
        """Of a folder or a hub id, of our own layout or a stock LLaVA. Raises ValueError naming what is wrong with its files."""
        return cls(describe(ModelSpec(base=str(folder)))[1])

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Write the tokenizer's files and processor_config.json."""
        self.rules.save(Path(folder))

    def apply_chat_template(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = False) -> str:
        """The chat as text. A video is {"type": "video"} in a message's content."""
        return self.rules.tokenizer.render(messages, add_generation_prompt)

    def __call__(self, text: str | Sequence[str], videos: Sequence[NDArray[np.uint8] | Tensor] | None = None) -> BatchFeature:
        """Chats with their videos, in order, uint8[T,H,W,3] each: what PllavaForConditionalGeneration takes."""
        media = {} if videos is None else {"videos": [torch.as_tensor(video) for video in videos]}
        return BatchFeature(self.rules(text, **media))

    def decode(self, ids: Sequence[int] | Tensor, skip_special_tokens: bool = False) -> str:
        return self.rules.tokenizer.decode([int(token) for token in ids], skip_special_tokens)

    def batch_decode(self, rows: Sequence[Sequence[int]] | Tensor, skip_special_tokens: bool = False) -> list[str]:
        return [self.decode(row, skip_special_tokens) for row in rows]


AutoConfig.register("pllava", PllavaConfig, exist_ok=True)
AutoModel.register(PllavaConfig, PllavaModel, exist_ok=True)
AutoModelForImageTextToText.register(PllavaConfig, PllavaForConditionalGeneration, exist_ok=True)
AutoProcessor.register(PllavaConfig, PllavaProcessor, exist_ok=True)
