"""Texts that are read as the answer to a chat's last question, after any number of shots: one prefix for all texts.

Shapes: N tokens of a view, D hidden size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from models.base import Likelihood, Sample
from models.decoding import Prefix, prefill
from models.devices import memory_errors_named
from models.passages import Tokens
from models.pllava.passages import behind_videos, passage_tokens
from models.pllava.samples import View, exchanges_of, refuse_long
from models.scoring import Read, likelihoods

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
        """What stands behind the last video is the same in a chat of the last turn alone. The tokens with which all texts begin are
        read once."""
        llm, sample = self._llm, self._samples[number]
        exchanges, shapes = exchanges_of(sample), [shape for _, _, shape in self._views[number]]
        ids, behind = behind_videos(llm.processor, exchanges, shapes)
        tokens = [passage_tokens(llm.processor, exchanges[-1].prompt, text, shapes[-1]) for text in texts]
        longest = max((len(own.question) + len(own.answer) for own in tokens), default=0)
        refuse_long(llm.processor, sample, len(ids) + longest, llm.context_tokens)
        if not tokens:
            return []
        if any(list(own.question[: len(behind) - 1]) != behind[:-1] for own in tokens):
            raise ValueError(
                "the chat template writes the turn after shots otherwise than a turn alone; no texts can be read there"
            )
        shared = sum(
            1 for _ in takewhile(lambda column: len({*column}) == 1, zip(*(own.answer[:-1] for own in tokens), strict=False))
        )
        with llm.lock:
            prefix = self._prefix(number, ids)
            [first] = self._likelihoods(prefix, tokens[:1])
            rest = self._likelihoods(prefix, [_behind(own, shared) for own in tokens[1:]])
        head = first.logprobs[:shared]
        return [
            first,
            *(replace(read, spans=own.spans, logprobs=(*head, *read.logprobs)) for own, read in zip(tokens[1:], rest, strict=True)),
        ]

    def _likelihoods(self, prefix: Prefix, tokens: Sequence[Tokens]) -> list[Likelihood]:
        model = self._llm.model
        return likelihoods(self._read, model.config.text_config, prefix, [0] * len(tokens), tokens, model.dtype)

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


def _behind(tokens: Tokens, shared: int) -> Tokens:
    """The tokens, of whose answer the first ones count as the question's."""
    return replace(
        tokens, question=tokens.question + tokens.answer[:shared], answer=tokens.answer[shared:], spans=tokens.spans[shared:]
    )
