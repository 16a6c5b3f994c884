"""Texts that are read as the answer to a chat's last question, after any number of shots: one prefix for all texts.

Shapes: N tokens of a view, D hidden size.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from models.base import Likelihood, Sample
from models.decoding import Prefix, prefill
from models.devices import memory_errors_named
from models.passages import Tokens
from models.pllava.passages import behind_videos, chat_tokens
from models.pllava.samples import View, exchanges_of, refuse_long
from models.scoring import READ_TOKENS, Read, likelihoods

if TYPE_CHECKING:  # it opens these chats
    from models.pllava.video_llm import PllavaVideoLLM


class PllavaChats:
    """See OpenChats in models/base.py."""

    def __init__(
        self,
        llm: "PllavaVideoLLM",
        read: Read,
        samples: Sequence[Sample],
        views: Sequence[Sequence[View]],
        tokens: Mapping[View, Tensor],
    ) -> None:
        """`views`: of each sample. `tokens`: the visual tokens [N,D] of each view."""
        self._llm, self._read, self._samples, self._views, self._tokens = llm, read, samples, views, tokens
        self._opened: tuple[int, Prefix] | None = None

    @memory_errors_named
    def read(self, number: int, texts: Sequence[str]) -> list[Likelihood]:
        llm, sample = self._llm, self._samples[number]
        exchanges, shapes = exchanges_of(sample), [shape for _, _, shape in self._views[number]]
        ids, _ = behind_videos(llm.processor, exchanges, shapes)
        tokens = [chat_tokens(llm.processor, exchanges, text, shapes) for text in texts]
        longest = max((len(own.question) + len(own.answer) for own in tokens), default=0)
        refuse_long(llm.processor, sample, len(ids) + longest, llm.context_tokens)
        config, read = llm.model.config.text_config, list[Likelihood]()
        with llm.lock:
            prefix = self._prefix(number, ids)
            for batch in _of_few_tokens(tokens):
                read += likelihoods(self._read, config, prefix, [0] * len(batch), batch, llm.model.dtype)
        return read

    @torch.inference_mode()
    def _prefix(self, number: int, ids: Sequence[int]) -> Prefix:
        """Keys and values of the chat up to the end of its last video, whose tokens are `ids`."""
        if self._opened is None or self._opened[0] != number:
            self._opened = None  # the prefix before it is gigabytes
            model = self._llm.model
            row = torch.tensor([ids], device=model.lm_head.weight.device)
            features = BaseModelOutputWithPooling(pooler_output=[self._tokens[view] for view in self._views[number]])
            self._opened = number, prefill(model.model.language_model, [model.model.embed(row, {"video": features})], [len(ids)])
        return self._opened[1]


def _of_few_tokens(tokens: Sequence[Tokens]) -> Iterator[list[Tokens]]:
    """In batches of READ_TOKENS: all texts of a batch stand in one row."""
    batch, size = list[Tokens](), 0
    for own in tokens:
        if batch and size + len(own.answer) > READ_TOKENS:
            yield batch
            batch, size = [], 0
        batch.append(own)
        size += len(own.answer) + (0 if size else len(own.question))
    if batch:
        yield batch
