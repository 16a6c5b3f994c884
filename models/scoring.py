"""How likely texts are after prefixes that were computed before: one forward pass over the texts, and nothing is generated.

Texts that are read after one prefix stand side by side in few rows, each question once in a row: the mask lets a text see the
prefix, its question and itself. So the prefix's keys and values are not copied for each text.

Shapes: R rows, P prefix tokens, L tokens of a row's questions and texts together, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from models.base import Likelihood
from models.decoding import WINDOWS, Prefix
from models.passages import Row, Tokens, of_few_tokens, packed

READ_TOKENS = 2048
"""Tokens of questions and texts, padding included, that go through the LLM at once: their logits take 0.5 GB at 128,000 words."""
SHORT_ROW_TOKENS = 256
"""A row may be so long, or as long as its prefix: attention within it costs as much as it is long."""
READ_ROWS = 8
"""Prefixes that are read at once: each layer copies theirs while it computes."""
Read = Callable[[Tensor, Tensor, Tensor, Cache], Tensor]
"""A model that reads: (ids[R,L], mask[R,1,L,P+L] or [R,P+L], position_ids[R,L], cache) -> logits[R,L,V] of all places."""


class ReadLayer(DynamicLayer):
    """A layer's keys and values of a prefix, which what is read sees and leaves as they are."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values, self.is_initialized = keys, values, True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        assert self.keys is not None
        assert self.values is not None
        return torch.cat((self.keys, key_states), -2), torch.cat((self.values, value_states), -2)

    def get_seq_length(self) -> int:
        assert self.keys is not None
        return self.keys.shape[-2]


def sees(row: Row, length: int) -> Tensor:
    """bool[length, length]: which of the row's tokens each of them sees, padding at the end included, which sees itself."""
    question, text = (torch.full((length,), -1) for _ in range(2))
    question[: len(row.ids)], text[: len(row.ids)] = torch.tensor(row.question), torch.tensor(row.text)
    places = torch.arange(length)
    is_before = places.unsqueeze(0) <= places.unsqueeze(1)
    is_own = (text.unsqueeze(0) == text.unsqueeze(1)) | (text.unsqueeze(0) == 0)
    return is_before & is_own & (question.unsqueeze(0) == question.unsqueeze(1))


@torch.inference_mode()
def likelihoods(
    read: Read, config: Any, prefix: Prefix, rows: Sequence[int], tokens: Sequence[Tokens], dtype: torch.dtype
) -> list[Likelihood]:
    """Of each passage, whose tokens are read after prefix row rows[i]. `config`: the LLM's; `dtype`: of its activations."""
    windows = [size for name in WINDOWS if (size := getattr(config, name, None)) is not None]
    by_row: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        by_row.setdefault(row, []).append(number)
    logprobs: dict[int, list[float]] = {}
    limit = min(READ_TOKENS, max(SHORT_ROW_TOKENS, prefix.length))
    parts = [(row, part) for row, numbers in by_row.items() for part in of_few_tokens(tokens, numbers, limit)]
    for batch in _batches([(row, packed(tokens, part)) for row, part in parts]):
        longest = prefix.length + max(len(packed_row.ids) for _, packed_row in batch)
        if windows and longest > min(windows):  # a mask of our own would have to know each layer's window
            single = [(row, packed(tokens, [number])) for row, packed_row in batch for number in packed_row.starts]
            for row, packed_row in single:
                logprobs |= _read(read, prefix, [(row, packed_row)], tokens, None)
        else:
            logprobs |= _read(read, prefix, batch, tokens, dtype)
    return [Likelihood(text=own.text, spans=own.spans, logprobs=tuple(logprobs[number])) for number, own in enumerate(tokens)]


def _batches(rows: Sequence[tuple[int, Row]]) -> Iterator[list[tuple[int, Row]]]:
    """Rows of similar lengths, within READ_ROWS and READ_TOKENS."""
    batch: list[tuple[int, Row]] = []
    for row in sorted(rows, key=lambda row: (-len(row[1].ids), row[0])):
        if batch and (len(batch) == READ_ROWS or (len(batch) + 1) * len(batch[0][1].ids) > READ_TOKENS):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _read(
    read: Read, prefix: Prefix, batch: Sequence[tuple[int, Row]], tokens: Sequence[Tokens], dtype: torch.dtype | None
) -> dict[int, list[float]]:
    """Log-likelihoods by passage. `dtype`: of a mask for rows that hold several texts; None: each holds one, without padding."""
    device, length = prefix.device, max(len(row.ids) for _, row in batch)
    numbers = torch.tensor([number for number, _ in batch], device=device)
    cache = Cache(layers=[ReadLayer(keys[numbers], values[numbers]) for keys, values in prefix.layers])
    ids, positions = (torch.zeros(len(batch), length, dtype=torch.long) for _ in range(2))
    visible = torch.zeros(len(batch), 1, length, prefix.length + length, dtype=torch.bool)
    for i, (number, row) in enumerate(batch):
        own, size = prefix.lengths[number], len(row.ids)
        ids[i, :size] = torch.tensor(row.ids)
        positions[i, :size] = torch.tensor(row.steps) + own + (prefix.ahead[number] if prefix.ahead else 0)
        visible[i, 0, :, :own] = True
        visible[i, 0, :, prefix.length :] = sees(row, length)
    mask = visible[:, 0, -1].long()
    if dtype is not None:
        mask = torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)
    logits = read(ids.to(device), mask.to(device), positions.to(device), cache)
    logprobs: dict[int, list[float]] = {}
    for i, (_, row) in enumerate(batch):
        for passage, (last, start) in row.starts.items():
            answer = tokens[passage].answer
            if answer:
                places = [last, *range(start, start + len(answer) - 1)]
                chosen = torch.tensor(answer, device=device).unsqueeze(1)
                logprobs[passage] = logits[i, places].float().log_softmax(-1).gather(1, chosen).squeeze(1).tolist()
            else:
                logprobs[passage] = []
    return logprobs
