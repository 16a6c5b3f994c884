"""Batched sampling with shared prefixes: what all questions about a clip have in common is computed once.

Shapes: B clips in the prefix, P prefix tokens, R rows that are answered, L tokens of the longest question, D hidden size,
V vocabulary; keys and values [B or R, heads, tokens, head size].
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
from transformers.generation.logits_process import LogitsProcessor

from models.base import Sampling
from models.stops import NO_STOPS, StopTexts

CUT_SHARE = 0.25
"""Share of finished rows at which the batch is cut down to the others: a cut copies all keys and values of these."""
Step = Callable[[Tensor, Tensor, Tensor, Cache], Tensor]
"""A model that goes on: (ids[R,L], attention_mask[R,all places], position_ids[R,L], cache) -> logits[R,V] of the last place."""
WINDOWS = ("sliding_window", "attention_chunk_size")
"""Fields of an LLM's configuration that say how many places a layer looks back; None where it sees all."""


class PreallocatedLayer(DynamicLayer):
    """A layer's keys and values, with room for the tokens to come, which are written in place.

    DynamicLayer copies all of them for every token: at 7B three times the memory traffic of the attention itself.
    """

    def __init__(self, keys: Tensor, values: Tensor, rows: Tensor, room: int) -> None:
        super().__init__()
        shape = (len(rows), keys.shape[1], keys.shape[2] + room, keys.shape[3])
        self.keys, self.values, self._length = keys.new_empty(shape), values.new_empty(shape), keys.shape[2]
        for target, source in ((self.keys, keys), (self.values, values)):
            target[:, :, : self._length] = source.index_select(0, rows)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        start, self._length = self._length, self._length + key_states.shape[2]
        assert self.keys is not None
        assert self.values is not None
        self.keys[:, :, start : self._length] = key_states
        self.values[:, :, start : self._length] = value_states
        return self.keys[:, :, : self._length], self.values[:, :, : self._length]

    def get_seq_length(self) -> int:
        return self._length


@dataclass(frozen=True)
class Prefix:
    """Keys and values of B prefilled prefixes of up to P tokens each; those of shorter ones are padded at their end."""

    layers: list[tuple[Tensor, Tensor]]
    lengths: tuple[int, ...]
    """Tokens of each row."""
    ahead: tuple[int, ...] = ()
    """How far the position after each row is ahead of its number of tokens, in models that give a video's tokens positions in time
    and space (M-RoPE); () for none."""

    @property
    def num_rows(self) -> int:
        return len(self.lengths)

    @property
    def length(self) -> int:
        """P, padding included."""
        return max(self.lengths)

    @property
    def device(self) -> torch.device:
        return self.layers[0][0].device

    def select(self, rows: Tensor, room: int) -> Cache:
        """A copy of the rows' keys and values, with room for so many more tokens. A row may be taken more than once."""
        return Cache(layers=[PreallocatedLayer(keys, values, rows, room) for keys, values in self.layers])


def rows_padded_together(config: Any, prefix_tokens: int, question_tokens: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Rows whose questions may be padded to one length and answered together; `config`: the LLM's.

    That is all of them, unless the LLM looks back through a window (Mistral v0.1, Gemma 2 and 3, Phi-3, some Qwen2): transformers
    counts a window in places, padding included, so a padded row would see less. Then rows of equal lengths go
    together, or all where no row comes to the window's end.

    >>> from types import SimpleNamespace
    >>> rows_padded_together(SimpleNamespace(sliding_window=20), 6, [3, 5, 3], 10)
    [[0, 2], [1]]
    >>> rows_padded_together(SimpleNamespace(sliding_window=21), 6, [3, 5, 3], 10)
    [[0, 1, 2]]
    """
    windows = [size for name in WINDOWS if (size := getattr(config, name, None)) is not None]
    if not windows or prefix_tokens + max(question_tokens) + max_tokens <= min(windows):
        return [list(range(len(question_tokens)))]
    rows: dict[int, list[int]] = {}
    for row, tokens in enumerate(question_tokens):
        rows.setdefault(tokens, []).append(row)
    return list(rows.values())


def no_prefix(config: Any, like: Tensor) -> Prefix:
    """A prefix of one row without tokens, for prompts that share nothing.

    `config`: the LLM's; `like`: any tensor of its dtype and device.
    """
    heads = config.num_key_value_heads
    empty = like.new_empty(1, heads, 0, getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    return Prefix(layers=[(empty, empty)] * config.num_hidden_layers, lengths=(0,))


@torch.inference_mode()
def prefill(language_model: Any, embeddings: Iterable[Tensor], lengths: Sequence[int]) -> Prefix:
    """Run embeddings through the LLM, in chunks of the B rows [b,P,D], and keep its keys and values.

    In chunks, because the activations of a whole piece at once would be gigabytes beyond what is kept.
    """

    def caches() -> Iterator[Cache]:
        for chunk in embeddings:
            cache = DynamicCache()
            language_model(inputs_embeds=chunk, past_key_values=cache, use_cache=True)
            yield cache

    return Prefix(layers=gathered(caches(), lengths), lengths=tuple(lengths))


def gathered(caches: Iterable[Cache], lengths: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer for the rows of all caches, one after another; the rows of one cache have one length."""
    layers: list[tuple[Tensor, Tensor]] = []
    rows_done = 0
    for cache in caches:
        rows = slice(rows_done, rows_done + len(cache.layers[0].keys))
        rows_done = rows.stop
        for number, layer in enumerate(cache.layers):
            if len(layers) == number:
                shapes = [(len(lengths), t.shape[1], max(lengths), t.shape[3]) for t in (layer.keys, layer.values)]
                layers.append((layer.keys.new_zeros(shapes[0]), layer.values.new_zeros(shapes[1])))  # not NaN: 0 x NaN is NaN
            for kept, computed in zip(layers[number], (layer.keys, layer.values), strict=True):
                kept[rows, :, : computed.shape[2]] = computed
    assert rows_done == len(lengths)
    return layers


def placed(
    prefix: Prefix, rows: Sequence[int], questions: Sequence[Sequence[int]], max_tokens: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Questions behind prefix rows, on the prefix's device: ids[R,L], mask[R, P + L + max_tokens] and positions[R,L].

    Padding, which is token 0, stands between prefix and question, where the mask hides it; positions do not count it.
    """
    longest = max(len(question) for question in questions)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.ones(len(rows), prefix.length + longest + max_tokens, dtype=torch.long)
    for i, (row, question) in enumerate(zip(rows, questions, strict=True)):
        ids[i, longest - len(question) :] = torch.tensor(list(question))
        mask[i, prefix.lengths[row] : prefix.length + longest - len(question)] = 0
    ids, mask = ids.to(prefix.device), mask.to(prefix.device)
    ahead = torch.tensor([prefix.ahead[row] if prefix.ahead else 0 for row in rows], device=prefix.device).unsqueeze(1)
    positions = (mask[:, : prefix.length + longest].cumsum(1)[:, prefix.length :] - 1).clamp(min=0) + ahead
    return ids, mask, positions


@torch.inference_mode()
def continue_from(
    step: Step,
    prefix: Prefix,
    rows: Sequence[int],
    questions: Sequence[Sequence[int]],
    seeds: Sequence[int],
    sampling: Sampling,
    end_ids: frozenset[int],
    stops: StopTexts = NO_STOPS,
) -> list[list[int]]:
    """The answer to each question (token ids) after prefix row rows[i], as token ids without the end token.

    An answer that comes to a stop text ends with the token that completes it.

    Padding (see placed) is counted by a sliding window (rows_padded_together).
    Finished rows leave the batch. Each row draws from a generator of its own, seeded by seeds[i].
    """
    device = prefix.device
    ids, mask, positions = placed(prefix, rows, questions, sampling.max_tokens)
    end = prefix.length + ids.shape[1]
    cache = prefix.select(torch.tensor(list(rows), device=device), ids.shape[1] + sampling.max_tokens)
    generators = [torch.Generator(device).manual_seed(seed) for seed in seeds] if sampling.temperature > 0 else []
    answers: list[list[int]] = [[] for _ in rows]
    batch, unfinished = list(range(len(rows))), set(range(len(rows)))
    for _ in range(sampling.max_tokens):
        logits = step(ids, mask[:, :end], positions, cache)
        drawn = draw(logits, [generators[i] for i in batch] if generators else [], sampling.temperature)
        for i, token in zip(batch, drawn.tolist(), strict=True):
            if i in unfinished and token in end_ids:
                unfinished.remove(i)
            elif i in unfinished:
                answers[i].append(token)
                if stops.ends(answers[i]):
                    unfinished.remove(i)
        if not unfinished:
            break
        if len(unfinished) <= (1 - CUT_SHARE) * len(batch):
            kept = torch.tensor([slot for slot, i in enumerate(batch) if i in unfinished], device=device)
            cache.batch_select_indices(kept)
            drawn, mask, positions = drawn[kept], mask[kept], positions[kept]
            batch = [i for i in batch if i in unfinished]
        ids, end, positions = drawn.unsqueeze(1), end + 1, positions[:, -1:] + 1
    return answers


def draw(logits: Tensor, generators: list[torch.Generator], temperature: float) -> Tensor:
    """One token id for each row of logits[R,V]: the most likely, or by the Gumbel trick with the row's own noise."""
    if temperature == 0:
        return logits.argmax(-1)
    uniform = torch.stack([torch.rand(logits.shape[-1], generator=generator, device=generator.device) for generator in generators])
    gumbel = -(-uniform.clamp(min=1e-20).log()).log()
    return (logits.float() / temperature + gumbel).argmax(-1)


class Draw(LogitsProcessor):
    """Draws each row's next token with the row's own generator, and leaves no other to be chosen."""

    def __init__(self, seeds: Sequence[int], temperature: float, device: torch.device) -> None:
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._temperature = temperature

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        drawn = draw(scores, self._generators, self._temperature).unsqueeze(1)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)
