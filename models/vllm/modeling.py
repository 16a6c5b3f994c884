"""PLLaVA as a model of vLLM: LLaVA's of vLLM, with videos. vLLM's tower and LLM, and the projector and pool of models/pllava.

A video comes as bytes, with the shape of its tokens beside it: videos, shots and pictures of one checkpoint are all videos here.
Shapes: V videos of a step, T frames, S pixels a side, P patches of a frame, C tower size, D hidden size, N tokens of a video.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import BatchFeature
from vllm.config import VllmConfig
from vllm.config.multimodal import MultiModalDummyOptions
from vllm.model_executor.models.llava import LlavaForConditionalGeneration, init_vision_tower_for_llava
from vllm.model_executor.models.utils import init_vllm_registered_model, maybe_prefix
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import MultiModalDataItems, MultiModalDataParser
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    PromptReplacement,
    PromptUpdate,
)

from models.base import ModelSpec
from models.pllava.architecture import read_architecture
from models.pllava.configuration import PllavaConfig
from models.pllava.modeling import PllavaMultiModalProjector
from models.pllava.pooling import Shape
from models.pllava.processing import PllavaProcessor, open_processor
from models.pllava.template import VIDEO_TOKEN

SHAPE = "pooled"
"""Key of a video's metadata: (T', H', W') of its tokens."""


def processor_of(folder: str) -> PllavaProcessor:
    """The processor of a folder that models/vllm/pllava.py wrote."""
    return open_processor(Path(folder), read_architecture(Path(folder)), ModelSpec(base=folder))


class PllavaProcessingInfo(BaseProcessingInfo):
    def get_hf_config(self) -> PllavaConfig:
        config: PllavaConfig = self.ctx.get_hf_config(PllavaConfig)
        return config

    @property
    def processor(self) -> PllavaProcessor:
        return processor_of(self.ctx.model_config.model)

    def get_data_parser(self) -> MultiModalDataParser:
        return MultiModalDataParser(video_needs_metadata=True)

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return {"video": None}

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        processor = self.processor
        return {"video": max(processor.tokens_per_video, processor.tokens_per_image)}


class PllavaDummyInputsBuilder(BaseDummyInputsBuilder[PllavaProcessingInfo]):
    """What vLLM measures its memory with: videos of the most frames."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return VIDEO_TOKEN * mm_counts.get("video", 0)

    def get_dummy_mm_data(
        self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Mapping[str, MultiModalDummyOptions]
    ) -> dict[str, Any]:
        processor = self.info.processor
        frames = np.zeros((processor.num_frames, processor.image_size, processor.image_size, 3), np.uint8)
        return {"video": [(frames, {SHAPE: processor.video.pooled})] * mm_counts.get("video", 0)}


class PllavaVideoProcessor(BaseMultiModalProcessor[PllavaProcessingInfo]):
    """Frames stay bytes until they are on the GPU, and a video token becomes as many as the video has tokens."""

    def _call_hf_processor(self, hf_data: Mapping[str, Any], hf_kwargs: Mapping[str, object]) -> BatchFeature:
        videos = hf_data["videos"]
        return BatchFeature(
            {
                "frames": [torch.from_numpy(np.ascontiguousarray(frames)) for frames, _ in videos],
                "shapes": torch.tensor([metadata[SHAPE] for _, metadata in videos]),
            }
        )

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        return {
            "frames": MultiModalFieldConfig.batched("video"),
            "shapes": MultiModalFieldConfig.batched("video", keep_on_cpu=True),
        }

    def _get_prompt_updates(
        self, mm_items: MultiModalDataItems, hf_processor_mm_kwargs: Mapping[str, object], out_mm_kwargs: MultiModalKwargsItems
    ) -> Sequence[PromptUpdate]:
        token = self.info.get_hf_config().video_token_index

        def tokens(item: int) -> list[int]:
            shape = out_mm_kwargs["video"][item]["shapes"].data
            return [token] * int(shape.prod())

        return [PromptReplacement(modality="video", target=[token], replacement=tokens)]


@MULTIMODAL_REGISTRY.register_processor(PllavaVideoProcessor, info=PllavaProcessingInfo, dummy_inputs=PllavaDummyInputsBuilder)
class VllmPllava(LlavaForConditionalGeneration):
    """vLLM's LLaVA with videos for pictures, under the names of stock LLaVA's weights."""

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        return VIDEO_TOKEN

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        nn.Module.__init__(self)
        config = vllm_config.model_config.hf_config
        self.config, self.multimodal_config = config, vllm_config.model_config.multimodal_config
        self.processor = processor_of(vllm_config.model_config.model)
        self.configure_mm_token_handling(config.text_config.vocab_size, [config.video_token_index])
        with self._mark_tower_model(vllm_config, "video"):
            self.vision_tower = init_vision_tower_for_llava(
                config, vllm_config.quant_config, require_post_norm=False, prefix=maybe_prefix(prefix, "vision_tower")
            )
            self.multi_modal_projector = PllavaMultiModalProjector(config)  # small: whole on each GPU
        with self._mark_language_model(vllm_config):
            self.language_model = init_vllm_registered_model(
                vllm_config, hf_config=config.text_config, prefix=maybe_prefix(prefix, "language_model")
            )
        self.make_empty_intermediate_tensors = self.language_model.make_empty_intermediate_tensors

    def embed_multimodal(self, **inputs: Any) -> list[Tensor]:
        """[N,D] of each video, from "frames", V times uint8[T,S,S,3], and "shapes" int64[V,3]. The tower runs once for all."""
        videos = list(inputs.get("frames", []))
        if not videos:
            return []
        shapes: list[Shape] = [(t, h, w) for t, h, w in torch.as_tensor(inputs["shapes"]).tolist()]
        pixels = torch.cat([self.processor.pixels(frames.unsqueeze(0))[0] for frames in videos])
        features = self.vision_tower(
            pixels.to(self.multi_modal_projector.linear_1.weight.dtype),
            feature_select_strategy=self.config.vision_feature_select_strategy,
        )
        tokens, start = [], 0
        for frames, shape in zip(videos, shapes, strict=True):
            own = features[start : start + len(frames)]
            tokens.append(self.multi_modal_projector(own, [(None, len(frames), shape)]))
            start += len(frames)
        return tokens

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        loaded: set[str] = super().load_weights(weights)
        return loaded
