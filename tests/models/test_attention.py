"""Pins that heads that share keys and values attend as with copies of them, and that a decoder of such heads attends so."""

import pytest
import torch
from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, SiglipVisionConfig
from transformers.cache_utils import DynamicCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from models import attention
from models.attention import NAME, attend, share_keys

ROWS, HEADS, GROUPS, PLACES, SIZE = 3, 8, 2, 40, 16


class Module(torch.nn.Module):
    num_key_value_groups, is_causal = HEADS // GROUPS, True


@pytest.mark.parametrize("tokens", [1, 5])
@pytest.mark.parametrize("of_heads", [1, HEADS])
@pytest.mark.parametrize("kind", [torch.bool, torch.float32, None])
def test_it_attends_as_with_keys_and_values_for_each_head(tokens: int, of_heads: int, kind: torch.dtype | None) -> None:
    drawn = torch.Generator().manual_seed(0)
    query = torch.randn(ROWS, HEADS, tokens, SIZE, generator=drawn)
    key, value = (torch.randn(ROWS, GROUPS, PLACES + 9, SIZE, generator=drawn)[:, :, :PLACES] for _ in range(2))
    sees = torch.rand(ROWS, of_heads, tokens, PLACES, generator=drawn) > 0.3
    mask = None if kind is None else sees if kind is torch.bool else torch.zeros(sees.shape).masked_fill(~sees, -1e30)
    expected, _ = sdpa_attention_forward(Module(), query, key, value, mask, scaling=0.3)
    attended, _ = attend(Module(), query, key, value, mask, scaling=0.3)
    assert attended.shape == (ROWS, tokens, HEADS, SIZE)
    assert torch.allclose(attended, expected, atol=1e-6)


def a_model(groups: int) -> LlavaForConditionalGeneration:
    torch.manual_seed(0)
    text = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=groups
    )
    tower = SiglipVisionConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28)
    return LlavaForConditionalGeneration(LlavaConfig(text_config=text, vision_config=tower)).eval()


@torch.inference_mode()
def test_a_decoder_whose_heads_share_keys_copies_none_and_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, mask = a_model(groups=2), torch.ones(2, 9, dtype=torch.long)
    mask[0, :3] = 0
    ids = torch.arange(18).view(2, 9)

    def last() -> torch.Tensor:
        cache = DynamicCache()
        model(input_ids=ids[:, :8], attention_mask=mask[:, :8], past_key_values=cache)
        logits: torch.Tensor = model(input_ids=ids[:, 8:], attention_mask=mask, past_key_values=cache).logits
        return logits

    expected = last()
    share_keys(model)
    assert (model.config.text_config._attn_implementation, model.config.vision_config._attn_implementation) == (NAME, "sdpa")
    repeating = []
    monkeypatch.setattr(attention, "sdpa_attention_forward", lambda *given, **options: (
        repeating.append(given[1].shape[2]), sdpa_attention_forward(*given, **options)
    )[1])  # fmt: skip
    assert torch.allclose(last(), expected, atol=1e-5)
    assert set(repeating) == {8}, "only the prompt, with all its tokens at once"


def test_a_decoder_whose_heads_have_keys_of_their_own_stays_as_it_is() -> None:
    model = a_model(groups=4)
    share_keys(model)
    assert model.config.text_config._attn_implementation == "sdpa"
