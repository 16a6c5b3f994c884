"""Attention of a token that is decoded, where several query heads share keys and values (GQA: arXiv 2305.13245).

With a mask transformers repeats keys and values for each query head first, a copy of the whole prefix in each layer and for each
token. The heads that share them are as well queries of one head: nothing is copied.

Shapes: R rows, H query heads, G heads of keys and values, K places, D head size.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME, REPEATING = "starloop_grouped", "sdpa"


def attend(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """As transformers' sdpa_attention_forward: query [R,H,L,D], key and value [R,G,K,D] -> [R,L,H,D]."""
    rows, heads, tokens, size = query.shape
    groups = key.shape[1]
    is_one = attention_mask is not None and tokens == attention_mask.shape[1] == 1 and options.get("position_bias") is None
    if groups == heads or not is_one:
        output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return output
    assert attention_mask is not None
    queries, mask = query.view(rows, groups, heads // groups, size), attention_mask.expand(-1, -1, heads // groups, -1)
    dropped, scale = options.get("dropout", 0.0), options.get("scaling")
    attended = F.scaled_dot_product_attention(queries, key, value, attn_mask=mask, dropout_p=dropped, scale=scale)
    return attended.reshape(rows, 1, heads, size), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def share_keys(model: Any) -> None:
    """Let the decoder of a model for inference attend so, if its heads share keys and values and it uses torch's attention."""
    config = model.config.get_text_config()
    names = [name for name in model.config.sub_configs if getattr(model.config, name) is config]
    shares = getattr(config, "num_key_value_heads", None) not in (None, getattr(config, "num_attention_heads", None))
    if names and shares and config._attn_implementation == REPEATING:
        model.set_attn_implementation({names[0]: NAME})
