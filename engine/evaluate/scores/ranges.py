"""Temporal grounding: the overlap of the time range that an answer gives with the label's, and whether it reaches 0.3, 0.5, 0.7."""

from collections.abc import Sequence

import numpy as np

from engine.evaluate.metrics import RECALLS
from engine.evaluate.scores import Array, Means, Row, Source
from engine.labels import TimeRange


def measure(rows: Sequence[Row]) -> Array:
    """Columns IoU, then 0 or 1 for each threshold. A verdict's score is the IoU; an answer without a range has 0."""
    overlaps = [
        (0.0 if attempt.outcome == "failed" else attempt.score) if isinstance(clip.label, TimeRange) else np.nan
        for clip, attempt in rows
    ]
    iou = np.array(overlaps, dtype=np.float64)
    reached = [np.where(np.isnan(iou), np.nan, (iou >= least - 1e-9).astype(np.float64)) for least in RECALLS]
    return np.stack([iou, *reached], axis=1)


def build(source: str, means: Means) -> Source:
    return Source(1 + len(RECALLS), measure)
