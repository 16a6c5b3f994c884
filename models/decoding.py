"""Shared-prefix batched sampling: what all continuations of a clip have in common is computed once.

Shapes: B clips in the prefix, P prefix tokens, R rows being answered, L their question's tokens, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from models.base import Sampling


@dataclass(frozen=True)
class Prefix:
    """Keys and values of B prefilled prefixes of the same length."""

    cache: DynamicCache
    length: int

    def select(self, rows: Tensor) -> DynamicCache:
        """A copy of some rows' keys and values; a row may be taken more than once."""
        copy = DynamicCache()
        for index, layer in enumerate(self.cache.layers):
            copy.update(layer.keys.index_select(0, rows), layer.values.index_select(0, rows), index)
        return copy


@torch.inference_mode()
def prefill(language_model: Any, embeddings: Tensor) -> Prefix:
    """Run embeddings[B,P,D] through the LLM and keep its keys and values."""
    cache = DynamicCache()
    language_model(inputs_embeds=embeddings, past_key_values=cache, use_cache=True)
    return Prefix(cache=cache, length=embeddings.shape[1])


@torch.inference_mode()
def continue_from(
    model: Any,
    prefix: Prefix,
    rows: Sequence[int],
    questions: Sequence[Sequence[int]],
    seeds: Sequence[int],
    sampling: Sampling,
    end_ids: frozenset[int],
) -> list[list[int]]:
    """New token ids for each question (token ids) after prefix row rows[i], without the end token.

    Questions are padded on the left, between prefix and question, where the mask hides the padding; positions do not count it.
    Finished rows leave the batch. Each row draws from its own generator, seeded by seeds[i].
    """
    device = model.lm_head.weight.device
    longest = max(len(question) for question in questions)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.ones(len(rows), prefix.length + longest, dtype=torch.long)
    for i, question in enumerate(questions):
        ids[i, longest - len(question) :] = torch.tensor(list(question))
        mask[i, prefix.length : prefix.length + longest - len(question)] = 0
    ids, mask = ids.to(device), mask.to(device)
    positions = mask.cumsum(1)[:, prefix.length :] - 1
    cache = prefix.select(torch.tensor(list(rows), device=device))
    noise = [torch.Generator().manual_seed(seed) for seed in seeds] if sampling.temperature > 0 else []
    replies: list[list[int]] = [[] for _ in rows]
    alive = list(range(len(rows)))
    for _ in range(sampling.max_tokens):
        hidden = model.model.language_model(
            inputs_embeds=model.get_input_embeddings()(ids),
            attention_mask=mask,
            position_ids=positions.clamp(min=0),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        drawn = _draw(model.lm_head(hidden[:, -1]), [noise[i] for i in alive] if noise else [], sampling.temperature)
        keep = []
        for slot, (i, token) in enumerate(zip(alive, drawn.tolist(), strict=True)):
            if token not in end_ids:
                replies[i].append(token)
                keep.append(slot)
        if not keep:
            break
        chosen = torch.tensor(keep, device=device)
        if len(keep) < len(alive):
            cache.batch_select_indices(chosen)
            mask, positions = mask[chosen], positions[chosen]
            alive = [alive[slot] for slot in keep]
        ids = drawn[chosen].unsqueeze(1)
        mask = torch.cat([mask, mask.new_ones(len(keep), 1)], dim=1)
        positions = positions[:, -1:] + 1
    return replies


def _draw(logits: Tensor, generators: list[torch.Generator], temperature: float) -> Tensor:
    """One token id a row from logits[R,V]: the likeliest, or by the Gumbel trick with each row's own noise."""
    if temperature == 0:
        return logits.argmax(-1)
    uniform = torch.stack([torch.rand(logits.shape[-1], generator=generator) for generator in generators])
    gumbel = -(-uniform.clamp(min=1e-20).log()).log()
    return (logits.float() / temperature + gumbel.to(logits.device)).argmax(-1)
