"""How near the meanings of answer and reference are, by language models on this machine's CPU; the nearest reference counts."""

from collections.abc import Callable, Sequence

import numpy as np

from engine.evaluate.scores import Array, Means, Row, Source, references
from engine.evaluate.text_metrics import bert_score, sts_bi, sts_cross

Likeness = Callable[[Sequence[str], Sequence[str], str], list[float]]
"""(references, answers, model): a number of each pair."""


def build(source: str, means: Means) -> Source:
    """Raises ValueError where the model cannot be loaded."""
    likeness, model = _likeness_of(source, means)
    likeness([], [], model)  # loads it, before anything is answered

    def measure(rows: Sequence[Row]) -> Array:
        """An answer without a word has 0."""
        pairs = [(number, reference, attempt.text) for number, (clip, attempt) in enumerate(rows) for reference in references(clip)]
        worded = [pair for pair in pairs if pair[2].strip()]
        best = np.zeros(len(rows))
        values = likeness([reference for _, reference, _ in worded], [text for _, _, text in worded], model)
        for (number, _, _), value in zip(worded, values, strict=True):
            best[number] = max(best[number], value)
        return best.reshape(-1, 1)

    return Source(1, measure)


def _likeness_of(source: str, means: Means) -> tuple[Likeness, str]:
    match source:
        case "sts":
            return sts_bi, means.sentence_model
        case "sts_cross":
            return sts_cross, means.cross_encoder
        case _:
            return bert_score, means.bert_model
