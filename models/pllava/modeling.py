"""PLLaVA on transformers' LLaVA: the same parameters under the same names, plus a pool without parameters.

Shapes: B videos, T frames, S pixels a side, P patches a side, D hidden size of the LLM, N = T' * H' * W' tokens a video.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlavaForConditionalGeneration, LlavaModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.llava.modeling_llava import LlavaModelOutputWithPast, LlavaMultiModalProjector

from models.pllava.configuration import PllavaConfig

# A LLaVA subclass outside the transformers package loads random LLM weights, with nothing but a printed table, unless LLaVA's
# mapping of checkpoint keys is registered for it under both of these names. The one thing that has to happen at import.
for _ours, _theirs in (("pllava", "llava"), ("PllavaModel", "LlavaModel")):
    register_checkpoint_conversion_mapping(_ours, get_checkpoint_conversion_mapping(_theirs), overwrite=True)


def pool3d(features: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Average features[B,D,T,H,W] to [B,D,*shape].

    Plain average pooling where the shape divides: the result of adaptive pooling, and a deterministic backward pass on CUDA.
    """
    sizes = features.shape[2:]
    if all(size % wanted == 0 for size, wanted in zip(sizes, shape, strict=True)):
        return F.avg_pool3d(features, tuple(size // wanted for size, wanted in zip(sizes, shape, strict=True)))
    return F.adaptive_avg_pool3d(features, shape)


class PllavaMultiModalProjector(LlavaMultiModalProjector):
    """LLaVA's projector; for videos the pool sits before linear_2, with which a mean commutes, at a fraction of its work."""

    def forward(self, features: Tensor, frames_and_shape: tuple[int, tuple[int, int, int]] | None = None) -> Tensor:
        """features[B*T, P*P, C] -> [B, N, D] given (T, (T', H', W')); without it LLaVA's image path, [B*T, P*P, D]."""
        hidden = self.act(self.linear_1(features))
        if frames_and_shape is not None:
            num_frames, shape = frames_and_shape
            side = round(hidden.shape[1] ** 0.5)
            hidden = hidden.unflatten(0, (-1, num_frames)).unflatten(2, (side, side))
            hidden = pool3d(hidden.permute(0, 4, 1, 2, 3), shape).flatten(2).transpose(1, 2)
        projected: Tensor = self.linear_2(hidden)
        return projected


class PllavaModel(LlavaModel):
    config: PllavaConfig
    config_class = PllavaConfig
    input_modalities = ("image", "video", "text")

    def __init__(self, config: PllavaConfig) -> None:
        super().__init__(config)
        self.multi_modal_projector = PllavaMultiModalProjector(config)
        self.post_init()

    def tower_features(self, pixel_values: Tensor) -> Tensor:
        """The tower's patch features [B*T, P*P, C] at the configured layer, from pixel_values[B*T, 3, S, S].

        Runs the tower's layers up to that one and keeps no other: 25 CLIP states of 16 frames would be half a gigabyte a video.
        The tower is frozen unless one of its parameters asks for a gradient.
        """
        tower = self.vision_tower
        layer = self.config.vision_feature_layer
        num_layers = layer if layer >= 0 else len(tower.encoder.layers) + 1 + layer
        trained = any(parameter.requires_grad for parameter in tower.parameters())
        with torch.set_grad_enabled(trained and torch.is_grad_enabled()):
            hidden = tower.pre_layrnorm(tower.embeddings(pixel_values))
            for block in tower.encoder.layers[:num_layers]:
                hidden = block(hidden, None)
        features: Tensor = hidden[:, 1:] if self.config.vision_feature_select_strategy == "default" else hidden
        return features

    def get_video_features(self, pixel_values_videos: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """pixel_values_videos[B,T,3,S,S] -> .pooler_output[B,N,D], t-major."""
        num_frames = pixel_values_videos.shape[1]
        features = self.tower_features(pixel_values_videos.flatten(0, 1))
        pooled = self.multi_modal_projector(features, (num_frames, tuple(self.config.pooling_shape)))
        return BaseModelOutputWithPooling(pooler_output=pooled)

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> LlavaModelOutputWithPast:
        """LLaVA's forward; the videos' features take the places of the video tokens in input_ids."""
        video = (mm_encoder_outputs or {}).get("video")
        if video is None and pixel_values_videos is not None:
            video = self.get_video_features(pixel_values_videos)
        if video is not None:
            if input_ids is None:
                raise ValueError("videos need input_ids: the video tokens say where they go")
            inputs_embeds = self.get_input_embeddings()(input_ids)
            features = video.pooler_output.to(inputs_embeds.device, inputs_embeds.dtype)
            slots = input_ids == self.config.video_token_index
            if int(slots.sum()) != features.shape[0] * features.shape[1]:
                raise ValueError(
                    f"{int(slots.sum())} video tokens for {features.shape[0]} videos of {features.shape[1]} tokens each; "
                    "processor and model must have the same pooling_shape"
                )
            inputs_embeds = inputs_embeds.masked_scatter(slots.unsqueeze(-1), features)
            input_ids = None
        return super().forward(input_ids=input_ids, inputs_embeds=inputs_embeds, mm_encoder_outputs=mm_encoder_outputs, **kwargs)


class PllavaForConditionalGeneration(LlavaForConditionalGeneration):
    config: PllavaConfig
    config_class = PllavaConfig
    input_modalities = ("image", "video", "text")

    def __init__(self, config: PllavaConfig) -> None:
        super().__init__(config)
        self.model = PllavaModel(config)
        self.post_init()

    def get_video_features(self, pixel_values_videos: Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        return self.model.get_video_features(pixel_values_videos, **kwargs)

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        attention_mask: Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> Any:
        """LLaVA's forward with pixel_values_videos[B,T,3,S,S]. generate() reads this signature to know what it may pass."""
        return super().forward(
            input_ids=input_ids,
            pixel_values_videos=pixel_values_videos,
            attention_mask=attention_mask,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )

    def prepare_inputs_for_generation(self, input_ids: Tensor, is_first_iteration: bool = False, **kwargs: Any) -> Any:
        videos = kwargs.pop("pixel_values_videos", None)
        inputs = super().prepare_inputs_for_generation(input_ids, is_first_iteration=is_first_iteration, **kwargs)
        if is_first_iteration:
            inputs["pixel_values_videos"] = videos
        return inputs
