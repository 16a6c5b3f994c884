"""Pins that one pool gives what those of published models give, by transformers' and torch's modules; else it is refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from transformers import CLIPVisionConfig, LlamaConfig, Qwen2Config, SiglipVisionConfig
from transformers.models.llava_next_video.modeling_llava_next_video import LlavaNextVideoPooler
from transformers.models.llava_onevision.modeling_llava_onevision import LlavaOnevisionModel
from transformers.models.perception_lm.modeling_perception_lm import PerceptionLMMultiModalProjector

from llavas import SIGLIP, TEXT, VISION, write_llava
from models.base import ModelSpec, PoolingName, PoolMethod
from models.pllava import loading
from models.pllava.configuration import PllavaConfig
from models.pllava.modeling import PllavaMultiModalProjector, pool3d
from models.pllava.pooling import POOLINGS, axis_weights

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
SIDES = [4, 7, 24, 27]
"""Patches a side: those of CLIP at 336 pixels and of SigLIP at 384 among them."""
FRAMES = 4


def a_projector(pooling: PoolingName) -> PllavaMultiModalProjector:
    torch.manual_seed(0)
    own = POOLINGS[pooling]
    config = PllavaConfig(
        vision_config={"model_type": "clip_vision_model", "hidden_size": 12, "num_attention_heads": 2},
        text_config={"model_type": "llama", "hidden_size": 20, "num_attention_heads": 2},
        pooling_method=own.method,
        pooling_place=own.place,
    )
    return PllavaMultiModalProjector(config)


def pooled(pooling: PoolingName, features: torch.Tensor) -> tuple[torch.Tensor, PllavaMultiModalProjector]:
    """Tokens [2 videos, N, D] of features [2 * FRAMES, P*P, C], at the pool's usual shape, and the projector that made them."""
    projector, half = a_projector(pooling), POOLINGS[pooling].half(round(features.shape[1] ** 0.5))
    with torch.no_grad():
        return projector(features, [(None, FRAMES, (FRAMES, half, half))]).unflatten(0, (2, -1)), projector


@pytest.mark.parametrize("side", SIDES)
def test_pllava(side: int) -> None:
    """Its own code: AdaptiveAvgPool3d over (frames, rows, columns) of the projected features."""
    features = torch.randn(2 * FRAMES, side**2, 12)
    ours, projector = pooled("pllava", features)
    grids = projector(features).unflatten(0, (2, FRAMES)).unflatten(2, (side, side)).permute(0, 4, 1, 2, 3)
    half = (side + 1) // 2
    torch.testing.assert_close(ours, F.adaptive_avg_pool3d(grids, (FRAMES, half, half)).flatten(2).transpose(1, 2), **CLOSE)


@pytest.mark.parametrize("side", SIDES)
def test_llava_onevision(side: int) -> None:
    features = torch.randn(2 * FRAMES, side**2, 12)
    ours, projector = pooled("llava_onevision", features)
    tower = SimpleNamespace(image_size=side * 14, patch_size=14)
    itself: Any = SimpleNamespace(config=SimpleNamespace(vision_config=tower))
    theirs = LlavaOnevisionModel.apply_pooling(itself, projector(features))
    torch.testing.assert_close(ours, theirs.reshape(ours.shape), **CLOSE)


@pytest.mark.parametrize("side", SIDES)
def test_llava_next_video(side: int) -> None:
    features = torch.randn(2 * FRAMES, side**2, 12)
    ours, projector = pooled("llava_next_video", features)
    tower = SimpleNamespace(image_size=side * 14, patch_size=14, hidden_size=12)
    theirs = LlavaNextVideoPooler(SimpleNamespace(spatial_pool_mode="average", spatial_pool_stride=2, vision_config=tower))
    torch.testing.assert_close(ours, projector(theirs(features)).reshape(ours.shape), **CLOSE)


@pytest.mark.parametrize("side", SIDES)
def test_perception_lm(side: int) -> None:
    features = torch.randn(2 * FRAMES, side**2, 12)
    ours, projector = pooled("perception_lm", features)
    vision, text = SimpleNamespace(model_args={"embed_dim": 12}), SimpleNamespace(hidden_size=20)
    theirs = PerceptionLMMultiModalProjector(SimpleNamespace(vision_config=vision, text_config=text, projector_pooling_ratio=2))
    theirs.load_state_dict(projector.state_dict())
    torch.testing.assert_close(ours, theirs(features).reshape(ours.shape), **CLOSE)


@pytest.mark.parametrize("kind", ["llava_next_video", "llava_onevision"])
def test_a_checkpoint_s_own_pool_gives_the_features_of_its_own_model(tmp_path: Path, kind: PoolingName) -> None:
    """From pixels to tokens, tower, layer and newline included."""
    is_onevision = kind == "llava_onevision"
    tower = SiglipVisionConfig(**SIGLIP) if is_onevision else CLIPVisionConfig(**VISION)
    stock = write_llava(tmp_path, kind, tower, Qwen2Config(**TEXT) if is_onevision else LlamaConfig(**TEXT))
    model, processor = loading.load(ModelSpec(base=str(tmp_path), num_frames=3, pooling=kind))
    pixels = torch.randn(2, 3, 3, tower.image_size, tower.image_size)
    with torch.no_grad():
        theirs = stock.get_video_features(pixels, return_dict=True).pooler_output
        torch.testing.assert_close(model.get_video_features(pixels).pooler_output, theirs, **CLOSE)
        assert theirs.shape[1] == processor.tokens_per_video == (49 if is_onevision else 48)
        views = [(1, None, (3, 4, 4)), (0, (0, 2), (2, 4, 4))]
        tokens = model.get_video_features(pixels, views=views).pooler_output
    assert [len(own) for own in tokens] == [processor.tokens_of(shape) for _, _, shape in views]
    if is_onevision:
        torch.testing.assert_close(tokens[0], theirs[1], **CLOSE)
        torch.testing.assert_close(tokens[1], torch.cat((theirs[0, :16], theirs[0, 32:])), **CLOSE)


@pytest.mark.parametrize("method", ["average", "strided", "bilinear"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_shape_is_that_of_torch_s_modules(method: PoolMethod, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    features, close = torch.randn(2, 5, 4, 9, 7), CLOSE if dtype == torch.float32 else {"atol": 0.02, "rtol": 0.02}
    for shape in [(4, 9, 7), (4, 4, 3), (2, 3, 7), (3, 5, 2), (1, 1, 1)]:
        if method == "average":
            theirs = F.adaptive_avg_pool3d(features, shape)
        elif method == "strided":
            if shape in [(3, 5, 2), (4, 4, 3)]:
                continue
            theirs = F.avg_pool3d(features, tuple(size // n for size, n in zip((4, 9, 7), shape, strict=True)))
        else:
            theirs = F.interpolate(features, shape, mode="trilinear")
        ours = pool3d(features.to(dtype), shape, method)
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.float(), theirs, **close)


@pytest.mark.parametrize("method", ["average", "strided", "bilinear"])
def test_weights_add_up_to_one_so_that_the_pool_commutes_with_the_last_layer(method: PoolMethod) -> None:
    for size in range(1, 30):
        for count in range(1, size + 1):
            assert all(sum(row) == pytest.approx(1) and min(row) >= 0 for row in axis_weights(method, size, count))
            assert len(axis_weights(method, size, count)) == count


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"pooling": "llava_next_video", "pooling_shape": (4, 3, 3)},
            r"model.pooling_shape \[4, 3, 3\] does not fit 4 frames of 8 x 8 patches: windows of 2 make 4 of 8 patches, not 3; "
            "give 4, or another model.pooling_method",
        ),
        ({"pooling_method": "strided", "pooling_shape": (3, 4, 4)}, "windows of 1 make 4 of 4 frames, not 3; give 4"),
        (
            {"pooling_method": "bilinear", "pooling_shape": (1, 4, 4)},
            "a bilinear pool reads 2 frames for each of 1, and leaves 2 of 4 out; give at least 2",
        ),
        ({"pooling_shape": (5, 4, 4)}, r"5 cannot be made of 4 frames; give \(T', H', W'\)"),
        ({"pooling_shape": (4, 9, 9)}, "9 cannot be made of 8 patches"),
        ({"pooling": "llava_onevision"}, "has no image_newline, which ends a video in this pool; choose another model.pooling"),
    ],
)  # fmt: skip
def test_a_pool_that_cannot_be_is_one_line(tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    write_llava(tmp_path, "llava", CLIPVisionConfig(**VISION), LlamaConfig(**TEXT))
    with pytest.raises(ValueError, match=reason) as caught:
        loading.load(ModelSpec(base=str(tmp_path), num_frames=4, **fields))
    assert len(str(caught.value).splitlines()) == 1
