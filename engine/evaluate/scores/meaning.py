"""How near the meanings of answer and reference are, by language models on this machine's CPU; the nearest reference counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.evaluate.scores import Array, Means, Row, Source, references

Pairs = list[tuple[str, str]]
"""(answer, reference)"""


def build(source: str, means: Means) -> Source:
    """Raises ValueError where the model cannot be loaded."""
    likeness = {"sts": _bi_encoder, "sts_cross": _cross_encoder, "bert_score": _bert_score}[source](means)

    def measure(rows: Sequence[Row]) -> Array:
        """An answer without a word has 0."""
        owners = [number for number, (clip, _) in enumerate(rows) for _ in references(clip)]
        pairs = [(attempt.text, reference) for clip, attempt in rows for reference in references(clip)]
        worded = [number for number, (text, _) in enumerate(pairs) if text.strip()]
        values, best = likeness([pairs[number] for number in worded]) if worded else [], np.zeros(len(rows))
        for number, value in zip(worded, values, strict=True):
            best[owners[number]] = max(best[owners[number]], float(value))
        return best.reshape(-1, 1)

    return Source(1, measure)


def _bi_encoder(means: Means) -> Any:
    model = _loaded("sts", means.sentence_model, "SentenceTransformer")

    def likeness(pairs: Pairs) -> Array:
        texts = [text for pair in pairs for text in pair]
        vectors = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray((vectors[::2] * vectors[1::2]).sum(axis=1), dtype=np.float64)

    return likeness


def _cross_encoder(means: Means) -> Any:
    model = _loaded("sts_cross", means.cross_encoder, "CrossEncoder")
    return lambda pairs: np.asarray(model.predict(pairs, show_progress_bar=False), dtype=np.float64)


def _loaded(metric: str, name: str, kind: str) -> Any:
    import sentence_transformers  # optional, and takes seconds to import

    try:
        return getattr(sentence_transformers, kind)(name, device="cpu", trust_remote_code=False)
    except Exception as error:
        raise ValueError(f"the metric {metric}: the model {name!r} cannot be loaded: {str(error).splitlines()[0]}") from None


def _bert_score(means: Means) -> Any:
    from torchmetrics.functional.text.bert import bert_score  # optional; bert-score itself has had no release since 2023
    from transformers import AutoModel, AutoTokenizer

    try:
        model, tokenizer = (part.from_pretrained(means.bert_model) for part in (AutoModel, AutoTokenizer))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"the metric bert_score: the model {means.bert_model!r} cannot be loaded: {reason}") from None

    def likeness(pairs: Pairs) -> Array:
        """One pair at a time: of several, torchmetrics 1.9 sorts answers and references by length, each by itself."""
        own: dict[str, Any] = {"model": model.eval(), "user_tokenizer": tokenizer, "truncation": True}
        scores = [bert_score([answer], [reference], **own)["f1"] for answer, reference in pairs]
        return np.array([float(score) for score in scores])

    return likeness
