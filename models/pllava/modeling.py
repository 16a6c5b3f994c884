"""PLLaVA on transformers' LLaVA: the same parameters under the same names, plus a pool without parameters.

Shapes: B videos, T frames, S pixels a side, P patches a side, C channels of the tower's features, D hidden size of the LLM,
N tokens a video: T' * H' * W', and one more where a newline ends it.
"""

import models.pllava.lean_import  # noqa: F401  # before transformers' own models

# isort: split
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.llava.modeling_llava import (
    LlavaForConditionalGeneration,
    LlavaModel,
    LlavaModelOutputWithPast,
    LlavaMultiModalProjector,
)

from models.base import PoolMethod
from models.pllava.configuration import PllavaConfig
from models.pllava.pooling import METHODS, Shape, axis_weights
from models.pllava.samples import View

# A LLaVA subclass outside the transformers package loads random LLM weights, with nothing but a printed table, unless LLaVA's
# mapping of checkpoint keys is registered for it under both of these names. This has to happen at import.
for _ours, _theirs in (("pllava", "llava_next"), ("PllavaModel", "LlavaModel")):
    register_checkpoint_conversion_mapping(_ours, get_checkpoint_conversion_mapping(_theirs), overwrite=True)


Group = tuple[list[int] | None, int, Shape]
"""Videos that are pooled to one shape: rows of the features (None: all), frames of each video, and the shape."""

LLAVA_ONLY = ("vision_feature_layer", "vision_feature_select_strategy", "image_sizes")
"""Arguments of LLaVA's forward that PLLaVA refuses. LLaVA passes them on as None where the caller gave none."""


def pool3d(features: Tensor, shape: Shape, method: PoolMethod = "average") -> Tensor:
    """features[B,D,T,H,W] to [B,D,*shape] (models/pllava/pooling.py).

    Plain means where windows are of one size: the result of adaptive pooling, in any precision on any device. Both ways have a
    backward pass that is deterministic on CUDA, which torch's own modules for adaptive means and interpolation do not have.
    """
    sizes = features.shape[2:]
    if method == "strided":
        for dim, (size, pooled_size) in enumerate(zip(sizes, shape, strict=True), start=2):
            features = features.narrow(dim, 0, size // pooled_size * pooled_size)
        sizes = features.shape[2:]
    if method != "bilinear" and all(size % pooled_size == 0 for size, pooled_size in zip(sizes, shape, strict=True)):
        for dim, pooled_size in zip((2, 4, 6), shape, strict=True):
            features = features.unflatten(dim, (pooled_size, -1))
        return features.mean((3, 5, 7))
    pooled = features.float()
    for dim, pooled_size in enumerate(shape, start=2):
        if (size := pooled.shape[dim]) != pooled_size:
            weights = torch.tensor(axis_weights(method, size, pooled_size), device=pooled.device)
            pooled = (pooled.movedim(dim, -1) @ weights.T).movedim(-1, dim)
    return pooled.to(features.dtype)


class PllavaMultiModalProjector(LlavaMultiModalProjector):
    """LLaVA's projector, with the pool before it or behind it.

    The pool behind it sits before linear_2: sums whose weights add up to 1 commute with it, and linear_2 has less to do.
    """

    def __init__(self, config: PllavaConfig) -> None:
        super().__init__(config)
        self.method, self.pools_first = METHODS[config.pooling_method], config.pooling_place == "before"

    def forward(self, features: Tensor, groups: Sequence[Group] | None = None) -> Tensor:
        """features[F, P*P, C] of all frames -> tokens [sum of T' * H' * W', D] of the groups' videos, one after the other.

        Without groups it is LLaVA's image path, [F, P*P, D]. However many groups there are, each layer runs once and one tensor
        comes out: with ZeRO-3 all ranks must run the same.
        """
        if groups is not None and self.pools_first:
            features = self._pooled(features, groups)
        hidden = self.act(self.linear_1(features))
        if groups is not None and not self.pools_first:
            hidden = self._pooled(hidden, groups)
        projected: Tensor = self.linear_2(hidden)
        return projected

    def _pooled(self, features: Tensor, groups: Sequence[Group]) -> Tensor:
        side, pooled = math.isqrt(features.shape[1]), []
        for frames, num_frames, shape in groups:
            grids = (features if frames is None else features[frames]).unflatten(0, (-1, num_frames)).unflatten(2, (side, side))
            pooled.append(pool3d(grids.permute(0, 4, 1, 2, 3), shape, self.method).flatten(2).transpose(1, 2).flatten(0, 1))
        return torch.cat(pooled)


class PllavaModel(LlavaModel):
    config: PllavaConfig
    config_class = PllavaConfig
    input_modalities = ("image", "video", "text")

    def __init__(self, config: PllavaConfig) -> None:
        super().__init__(config)
        self.multi_modal_projector = PllavaMultiModalProjector(config)
        if config.pooling_newline:
            self.image_newline = nn.Parameter(torch.zeros(config.text_config.hidden_size, dtype=self.dtype))
        self.post_init()

    def tower_features(self, pixel_values: Tensor) -> Tensor:
        """The patches' features [B*T, P*P, C] at the configured layers, from pixel_values[B*T, 3, S, S]."""
        return self._tower_tokens(pixel_values)[:, self.class_tokens :]

    def _tower_tokens(self, pixel_values: Tensor) -> Tensor:
        """The same, with CLIP's class token before the patches.

        Runs the tower's layers up to the last of these and keeps no other: 25 CLIP states of 16 frames would be half a gigabyte a
        video. The tower is frozen unless one of its parameters requires a gradient.
        """
        tower, layers = self.vision_tower, self.config.vision_feature_layer
        depth = len(tower.encoder.layers)
        numbers = [n if n >= 0 else depth + 1 + n for n in ([layers] if isinstance(layers, int) else layers)]
        trained = any(parameter.requires_grad for parameter in tower.parameters())
        with torch.set_grad_enabled(trained and torch.is_grad_enabled()):
            hidden = tower.embeddings(pixel_values)
            if self.class_tokens:
                hidden = tower.pre_layrnorm(hidden)
            states = {0: hidden}
            for number, block in enumerate(tower.encoder.layers[: max(numbers)], start=1):
                hidden = block(hidden, None)
                if number in numbers:
                    states[number] = hidden
        features: Tensor = torch.cat([states[number] for number in numbers], -1) if len(numbers) > 1 else states[numbers[0]]
        return features

    @property
    def class_tokens(self) -> int:
        """Tokens of the tower before the patches: 1 of CLIP, none of SigLIP."""
        return int(self.config.vision_config.model_type == "clip_vision_model")

    def get_image_features(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """pixel_values[I,3,S,S] -> .pooler_output, I times [P*P, D]: LLaVA's own path, without a pool.

        The strategy "full" keeps CLIP's class token: [P*P + 1, D].
        """
        first = int(self.config.vision_feature_select_strategy == "default")
        features = self._tower_tokens(pixel_values)[:, first:]
        return BaseModelOutputWithPooling(pooler_output=list(self.multi_modal_projector(features)))

    def get_video_features(
        self,
        pixel_values_videos: Tensor | Sequence[Tensor],
        pooling_shapes: Sequence[Shape] | None = None,
        views: Sequence[View] | None = None,
        **_: Any,
    ) -> BaseModelOutputWithPooling:
        """Videos of one length [B,T,3,S,S], or of their own lengths as B times [T,3,S,S] -> .pooler_output, t-major.

        Each video has one pooled shape, the configuration's by default. Views instead may show a video in several places and in
        several ways, though it goes through the tower once. The output is [B,N,D] where all shapes are the same, else a list of
        [N,D] for each video or view. A picture is a video of one frame, pooled to (1, P, P): LLaVA's path for images. Patches are
        pooled, and a class token is not shown: it has no place among them.
        """
        default: Shape = tuple(self.config.pooling_shape)  # type: ignore[assignment]  # of three, as architecture.py checks
        shapes: list[Shape] = [(t, h, w) for t, h, w in pooling_shapes] if pooling_shapes else [default] * len(pixel_values_videos)
        if len(shapes) != len(pixel_values_videos):
            raise ValueError(f"{len(shapes)} pooling_shapes for {len(pixel_values_videos)} videos")
        if views is not None and pooling_shapes is not None:
            raise ValueError("give pooling_shapes, or views, which have their own")
        lengths = [len(video) for video in pixel_values_videos]
        if 0 in lengths:
            raise ValueError(f"video {lengths.index(0)} of {len(lengths)} has no frames; leave it out, with its question")
        frames = (
            pixel_values_videos.flatten(0, 1) if isinstance(pixel_values_videos, Tensor) else torch.cat(list(pixel_values_videos))
        )
        features = self.tower_features(frames)
        if views is None and len({*zip(lengths, shapes, strict=True)}) == 1:
            tokens = self.multi_modal_projector(features, [(None, lengths[0], shapes[0])]).unflatten(0, (len(lengths), -1))
            return BaseModelOutputWithPooling(pooler_output=self._ended(tokens))
        if views is None:
            views = [(video, None, shape) for video, shape in enumerate(shapes)]
        return BaseModelOutputWithPooling(pooler_output=self._tokens_of_views(features, lengths, views))

    def _tokens_of_views(self, features: Tensor, lengths: Sequence[int], views: Sequence[View]) -> list[Tensor]:
        """Tokens [N,D] of each view, from features[F,P*P,C] of videos of `lengths` frames. Equal views are pooled once."""
        starts = [0, *itertools.accumulate(lengths)]
        views_by_size: dict[tuple[int, Shape], dict[View, None]] = {}
        for view in views:
            video, chosen, shape = view
            views_by_size.setdefault((lengths[video] if chosen is None else len(chosen), shape), {})[view] = None
        groups: list[Group] = []
        for (num_frames, shape), group in views_by_size.items():
            rows = [starts[video] + i for video, chosen, _ in group for i in (range(lengths[video]) if chosen is None else chosen)]
            groups.append((rows, num_frames, shape))
        sizes = [math.prod(shape) for (_, shape), group in views_by_size.items() for _ in group]
        tokens = self.multi_modal_projector(features, groups).split(sizes)
        tokens_by_view = dict(zip(itertools.chain(*views_by_size.values()), map(self._ended, tokens), strict=True))
        return [tokens_by_view[view] for view in views]

    def _ended(self, tokens: Tensor) -> Tensor:
        """Tokens[..., N, D] with the newline behind them, where the configuration says so."""
        if not self.config.pooling_newline:
            return tokens
        newline = self.image_newline.to(tokens.dtype).expand(*tokens.shape[:-2], 1, -1)
        return torch.cat((tokens, newline), -2)

    def embed(self, input_ids: Tensor, features: Mapping[str, BaseModelOutputWithPooling]) -> Tensor:
        """Embeddings[B,L,D] of input_ids[B,L]; the "image" and "video" features, in order, take the places of their tokens.

        Raises ValueError where there are more or fewer tokens than features.
        """
        placeholders = {"image": self.config.image_token_index, "video": self.config.video_token_index}
        is_placeholder = sum((input_ids == token for token in placeholders.values()), torch.zeros_like(input_ids, dtype=torch.bool))
        # a placeholder may have no row of its own in the embedding
        embeddings: Tensor = self.get_input_embeddings()(input_ids.masked_fill(is_placeholder, 0))
        for kind, output in features.items():
            flat = torch.cat([tokens.flatten(0, -2) for tokens in output.pooler_output])
            slots = input_ids == placeholders[kind]
            if int(slots.sum()) != len(flat):
                raise ValueError(
                    f"{int(slots.sum())} {kind} tokens for {len(output.pooler_output)} {kind}s of {len(flat)} tokens together; "
                    "processor and model must have the same pool"
                )
            embeddings = embeddings.masked_scatter(slots.unsqueeze(-1), flat.to(embeddings.device, embeddings.dtype))
        return embeddings

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_values_videos: Tensor | Sequence[Tensor] | None = None,
        pooling_shapes: Sequence[Shape] | None = None,
        views: Sequence[View] | None = None,
        inputs_embeds: Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> LlavaModelOutputWithPast:
        """LLaVA's forward, with videos. Features come from the configuration's layer; any-res tiling is not used."""
        if refused := [name for name in LLAVA_ONLY if kwargs.pop(name, None) is not None]:
            raise ValueError(f"{', '.join(refused)}: not an argument of PLLaVA; the configuration says which features are used")
        features = {kind: output for kind, output in (mm_encoder_outputs or {}).items() if output is not None}
        if pixel_values is not None:
            features["image"] = self.get_image_features(pixel_values)
        idle: Tensor | None = None
        if pixel_values_videos is not None and views is not None and not len(views):
            # pixels that no place shows: with ZeRO-3 all ranks have to run the same layers, so they are run, and weigh nothing
            features_of_nothing = self.get_video_features(pixel_values_videos, views=[(0, (0,), (1, 1, 1))])
            idle = 0.0 * features_of_nothing.pooler_output[0].sum()
        elif pixel_values_videos is not None:
            features["video"] = self.get_video_features(pixel_values_videos, pooling_shapes, views)
        if (input_ids is None) == (inputs_embeds is None) or (features and input_ids is None):
            raise ValueError("give input_ids, which say where images and videos go; or inputs_embeds, and neither of those")
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = self.embed(input_ids, features)
        if idle is not None:
            inputs_embeds = inputs_embeds + idle
        outputs = self.language_model(inputs_embeds=inputs_embeds, **kwargs)
        return LlavaModelOutputWithPast(
            last_hidden_state=outputs.last_hidden_state,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


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
        pixel_values: Tensor | None = None,
        pixel_values_videos: Tensor | Sequence[Tensor] | None = None,
        pooling_shapes: Sequence[Shape] | None = None,
        views: Sequence[View] | None = None,
        attention_mask: Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> Any:
        """LLaVA's forward with videos: see PllavaModel. generate() reads this signature to know what it may pass."""
        return super().forward(
            input_ids=input_ids,
            pixel_values=pixel_values,
            pixel_values_videos=pixel_values_videos,
            pooling_shapes=pooling_shapes,
            views=views,
            attention_mask=attention_mask,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )
