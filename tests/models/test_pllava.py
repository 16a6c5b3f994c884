"""Pins that PLLaVA is LLaVA plus a pool: the same numbers, the same checkpoint keys, nothing random, nothing lost."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from models.base import ModelSpec
from models.folders import TINY
from models.pllava import loading
from models.pllava.configuration import PllavaConfig
from models.pllava.modeling import PllavaForConditionalGeneration, PllavaMultiModalProjector, pool3d
from models.tiny import build as tiny

PARTS = {
    "vision_config": {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
        "patch_size": 8, "projection_dim": 16,
    },
    "text_config": {
        "vocab_size": 96, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "max_position_embeddings": 128,
    },
}  # fmt: skip


def a_config(**fields: object) -> PllavaConfig:
    parts = {"vision_config": CLIPVisionConfig(**PARTS["vision_config"]), "text_config": LlamaConfig(**PARTS["text_config"])}
    defaults = {"image_token_index": 90, "video_token_index": 91, "num_frames": 4, "pooling_shape": [4, 2, 2]}
    return PllavaConfig(**parts | defaults | fields)


@pytest.mark.parametrize("shape", [(4, 2, 2), (2, 2, 2), (4, 3, 3), (3, 4, 1)])
def test_pooling_before_the_last_layer_is_projecting_then_pooling_adaptively(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    projector = PllavaMultiModalProjector(a_config())
    features = torch.randn(2 * 4, 16, 32)
    pooled = projector(features, [(None, 4, shape)]).unflatten(0, (2, -1))
    grid = projector(features).unflatten(0, (2, 4)).unflatten(2, (4, 4)).permute(0, 4, 1, 2, 3)
    expected = F.adaptive_avg_pool3d(grid, shape).flatten(2).transpose(1, 2)
    torch.testing.assert_close(pooled, expected, atol=1e-5, rtol=1e-5)
    assert pool3d(grid, shape).shape[2:] == shape


def test_the_tower_stops_at_the_layer_that_is_used() -> None:
    model = PllavaForConditionalGeneration(a_config()).eval()
    pixels = torch.randn(3, 3, 32, 32)
    whole = model.model.vision_tower(pixels, output_hidden_states=True)
    torch.testing.assert_close(model.model.tower_features(pixels), whole.hidden_states[-2][:, 1:], atol=0, rtol=0)


def test_a_stock_llava_checkpoint_loads_whole(tmp_path: Path) -> None:
    stock = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**PARTS["vision_config"]),
            text_config=LlamaConfig(**PARTS["text_config"]),
            image_token_index=90,
        )
    )
    stock.save_pretrained(tmp_path)
    model, report = PllavaForConditionalGeneration.from_pretrained(tmp_path, config=a_config(), output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    ours = model.state_dict()
    for name, weight in stock.state_dict().items():
        torch.testing.assert_close(ours[name], weight, atol=0, rtol=0)


def test_a_missing_weight_is_an_error_that_names_it(tmp_path: Path) -> None:
    for path in TINY.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["multi_modal_projector.linear_2.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks multi_modal_projector\.linear_2\.weight; is config.json"):
        loading.load_base(ModelSpec(base=str(tmp_path)))


@pytest.mark.parametrize(
    ("base", "message"),
    [("/nowhere", "no checkpoint folder"), ("memory://nothing", "no checkpoint folder"), ("./x", "no checkpoint folder")],
)
def test_a_checkpoint_that_is_not_there(base: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loading.load_base(ModelSpec(base=base))


def test_video_tokens_and_features_must_match() -> None:
    model = PllavaForConditionalGeneration(a_config())
    with pytest.raises(ValueError, match="3 video tokens for 1 videos of 16 tokens"):
        model(input_ids=torch.tensor([[1, 91, 91, 91, 2]]), pixel_values_videos=torch.randn(1, 4, 3, 32, 32))


def test_the_tiny_model_is_tiny_and_shipped() -> None:
    model, processor = loading.load_base(ModelSpec(base="tiny"))
    assert sum(parameter.numel() for parameter in model.parameters()) <= 3_000_000
    assert sum(path.stat().st_size for path in TINY.glob("*.safetensors")) <= 6_000_000
    assert (processor.num_frames, processor.image_size, processor.tokens_per_video) == (tiny.NUM_FRAMES, tiny.IMAGE_SIZE, 32)


def test_pixels_are_resized_and_cropped_to_the_centre() -> None:
    _, processor = loading.load_base(ModelSpec(base="tiny"))
    wide = torch.zeros(1, 1, 96, 192, 3, dtype=torch.uint8)
    wide[:, :, :, 48:144] = 255
    pixels = processor.pixels(wide)
    white = (1 - torch.tensor(processor.image_mean)) / torch.tensor(processor.image_std)
    assert pixels.shape == (1, 1, 3, 48, 48)
    torch.testing.assert_close(pixels[0, 0, :, 24, 24], white)
    with pytest.raises(ValueError, match="frames must be uint8"):
        processor.pixels(torch.zeros(1, 48, 48, 3))
