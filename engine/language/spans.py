"""The span of a text that answers a question, by a model for extractive question answering; on a CPU.

transformers 5 has no such pipeline any more, so this is what that of transformers 4 did: windows of 384 tokens with a stride of
128, the start and end with the highest product of their probabilities, at most 15 tokens long, widened to whole words.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

WINDOW_TOKENS, STRIDE_TOKENS, SPAN_TOKENS = 384, 128, 15


class Span(NamedTuple):
    """Span(text="a cup", score=0.93, start=11, end=16): `start` and `end` are offsets in the text."""

    text: str
    score: float
    start: int
    end: int


Extractor = Callable[[str, str], Span | None]
"""Question and text -> the span; None for a text without words."""


def of(model: str) -> Extractor | None:
    """`model`: folder or hub id; "": none. Raises ValueError if it cannot be loaded."""
    return _extractor_of(model) if model else None


def best_span(starts: NDArray[np.float64], ends: NDArray[np.float64]) -> tuple[int, int, float]:
    """The first and last token of the likeliest span, and its probability.

    >>> best_span(np.array([0.1, 0.7, 0.2]), np.array([0.6, 0.1, 0.3]))
    (1, 2, 0.21)
    """
    scores = np.triu(np.outer(starts, ends))
    scores = np.tril(scores, SPAN_TOKENS - 1)
    first, last = np.unravel_index(int(scores.argmax()), scores.shape)
    return int(first), int(last), round(float(scores[first, last]), 9)


@lru_cache(maxsize=2)
def _extractor_of(model: str) -> Extractor:
    import torch  # these take seconds to import, and only runs that name a model need them
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(model, use_fast=True, trust_remote_code=False)
        network: Any = AutoModelForQuestionAnswering.from_pretrained(model, trust_remote_code=False).eval()
    except Exception as error:
        raise ValueError(
            f"verify.span_model {model!r} cannot be loaded: {str(error).splitlines()[0]}; name a folder that holds it, or set "
            'verify.span_model="" to read whole answers'
        ) from None
    longest = min(WINDOW_TOKENS, int(getattr(network.config, "max_position_embeddings", WINDOW_TOKENS)))

    @torch.inference_mode()
    def extract(question: str, text: str) -> Span | None:
        question, room = _shortened(tokenizer, question, longest)
        windows = tokenizer(
            question,
            text,
            truncation="only_second",
            max_length=longest,
            stride=min(STRIDE_TOKENS, room // 2),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=True,
            return_tensors="pt",
        )
        inputs = {name: windows[name] for name in tokenizer.model_input_names if name in windows}
        output = network(**inputs)
        spans = []
        for number in range(len(windows["input_ids"])):
            encoding = windows.encodings[number]
            of_text = np.array([sequence == 1 for sequence in encoding.sequence_ids])
            if of_text.any():
                probabilities = (
                    _softmax(logits[number].double().numpy(), of_text) for logits in (output.start_logits, output.end_logits)
                )
                first, last, score = best_span(*probabilities)
                start, end = _whole_words(encoding, first, last)
                spans.append(Span(text[start:end], score, start, end))
        return max(spans, key=lambda span: span.score, default=None)

    return extract


def _shortened(tokenizer: Any, question: str, longest: int) -> tuple[str, int]:
    """The question, at most half a window of it, and the tokens that a window leaves for the text."""
    offsets = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    taken = min(len(offsets), longest // 2)
    kept = question[: offsets[taken - 1][1]] if taken < len(offsets) else question
    return kept, longest - taken - tokenizer.num_special_tokens_to_add(pair=True)


def _softmax(logits: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of the allowed places; 0 elsewhere."""
    powers: NDArray[np.float64] = np.where(allowed, np.exp(logits - logits[allowed].max()), 0.0)
    shares: NDArray[np.float64] = powers / powers.sum()
    return shares


def _whole_words(encoding: Any, first: int, last: int) -> tuple[int, int]:
    """The offsets of the words in which the first and the last token stand."""
    words = encoding.token_to_word(first), encoding.token_to_word(last)
    if None in words:
        return encoding.offsets[first][0], encoding.offsets[last][1]
    return encoding.word_to_chars(words[0], 1)[0], encoding.word_to_chars(words[1], 1)[1]
