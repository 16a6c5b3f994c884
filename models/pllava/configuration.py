"""PLLaVA's configuration: LLaVA's, plus how many frames a video has and how they are pooled."""

import models.pllava.lean_import  # noqa: F401  # before transformers' own models

# isort: split
from huggingface_hub.dataclasses import strict
from transformers.models.llava.configuration_llava import LlavaConfig


@strict
class PllavaConfig(LlavaConfig):
    """PllavaConfig(vision_config=..., text_config=..., num_frames=16, pooling_shape=[16, 12, 12])

    Defaults are the released recipe's (paper section 4.1): 16 frames of 24x24 patches, pooled to 16x12x12 = 2304 visual tokens.
    """

    model_type = "pllava"
    attribute_map = {"image_token_id": "image_token_index", "video_token_id": "video_token_index"}  # noqa: RUF012  # as LLaVA's

    video_token_index: int = 32002
    num_frames: int = 16
    pooling_shape: list[int] | tuple[int, ...] = (16, 12, 12)
    """(T', H', W') after pooling; a video takes T' * H' * W' tokens."""
    pooling_method: str = "average"
    """"average", "strided" or "bilinear" (models/pllava/pooling.py)."""
    pooling_place: str = "after"
    """"before" or "after" the projector."""
    pooling_newline: bool = False
    """Whether the token image_newline ends each video, as in LLaVA-OneVision; it then takes one token more."""
