"""ROUGE-L of each answer with the reference that is nearest to it, and what the BLEU of the set is made of."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.evaluate.scores import Array, Means, Row, Source, references
from engine.evaluate.text_metrics import rouge_l


def nearest(rows: Sequence[Row]) -> Array:
    texts = [references(clip) for clip, _ in rows]
    best = [max(rouge_l(own, [attempt.text] * len(own))) for own, (_, attempt) in zip(texts, rows, strict=True)]
    return np.array(best, dtype=np.float64).reshape(-1, 1)


def build(source: str, means: Means) -> Source:
    return Source(10, _bleu_of()) if source == "bleu" else Source(1, nearest)


def _bleu_of() -> Any:
    from sacrebleu.metrics.bleu import BLEU  # optional: the extra "metrics"

    scorer = BLEU(effective_order=True)  # of one sentence; its counts are those of the corpus

    def measure(rows: Sequence[Row]) -> Array:
        """Columns: matches and n-grams of each order, words of the answer, words of the reference that is nearest in length."""
        scores = [scorer.sentence_score(attempt.text, list(references(clip))) for clip, attempt in rows]
        values = [[*score.counts, *score.totals, score.sys_len, score.ref_len] for score in scores]
        return np.array(values, dtype=np.float64).reshape(-1, 10)

    return measure
