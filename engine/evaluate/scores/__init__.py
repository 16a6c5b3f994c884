"""What is measured of answers beside their verdicts, in batches, so that no texts are kept: a line of SOURCES for each kind.

numbers   the number that an answer gives, and the label's
ranges    how much the time range that an answer gives overlaps the label's
words     ROUGE-L and BLEU
meaning   BERTScore, and sentence models as bi- and as cross-encoder
judged    what the judge of [evaluate.judge] says (engine/evaluate/judge)
measuring what measures the answers to one set
"""

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.config import Evaluate, EvaluationSet
from engine.evaluate import text_metrics
from engine.evaluate.judge.asker import Asker
from engine.evaluate.metrics import Metric
from engine.judging import BenchmarkJudge
from engine.rows import Attempt, Clip

Array = NDArray[np.float64]
Row = tuple[Clip, Attempt]
BATCH_ROWS = 256
SOURCES = {
    "numbers": "engine.evaluate.scores.numbers",
    "ranges": "engine.evaluate.scores.ranges",
    "rouge_l": "engine.evaluate.scores.words",
    "bleu": "engine.evaluate.scores.words",
    "bert_score": "engine.evaluate.scores.meaning",
    "sts": "engine.evaluate.scores.meaning",
    "sts_cross": "engine.evaluate.scores.meaning",
    "qa": "engine.evaluate.scores.judged",
    "vcg": "engine.evaluate.scores.judged",
}
"""Source -> the module that has build(source, Means) -> Source."""
JUDGED = frozenset({"qa", "vcg"})
OF_TEXTS = {"bleu": "bleu", "bert_score": "bert_score", "sts": "sts_bi", "sts_cross": "sts_cross"}
"""Source -> the function of engine/evaluate/text_metrics.py that it is, whose libraries the extra "metrics" has."""


def _as_they_are(values: Array) -> Array:
    return values


@dataclass(frozen=True)
class Source:
    """Source(1, measure): a number of each row; NaN where there is none."""

    width: int
    measure: Callable[[Sequence[Row]], Array]
    """float64[rows, width] of a batch."""
    whole: Callable[[Array], Array] = _as_they_are
    """Of all rows together, once all are measured."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """What the sources work with: names of models, and the judge where there is one."""

    sentence_model: str = ""
    cross_encoder: str = ""
    bert_model: str = ""
    asker: Asker | None = None
    dimensions: frozenset[int] = frozenset()
    """Columns of the source "vcg" that a metric names."""


class Scores:
    """Records the clips of a step piece by piece: scores.add(clips, attempts); scores.by_source()."""

    def __init__(self, sources: dict[str, Source]) -> None:
        self._sources, self._rows = sources, list[Row]()
        self._values: dict[str, list[Array]] = {name: [] for name in sources}

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None:
        """The clips of a piece, and all attempts at them."""
        of_clip = {attempt.clip_id: attempt for attempt in attempts}
        self._rows += [(clip, of_clip[clip.clip_id]) for clip in clips]
        if len(self._rows) >= BATCH_ROWS:
            self._measure()

    def _measure(self) -> None:
        rows, self._rows = self._rows, []
        for name, source in self._sources.items():
            self._values[name].append(source.measure(rows))

    def by_source(self) -> dict[str, Array]:
        """float64[clips, K] by source, in the order in which the clips came."""
        if self._rows:
            self._measure()
        return {
            name: source.whole(np.concatenate([np.zeros((0, source.width)), *self._values[name]]))
            for name, source in self._sources.items()
        }


def scores_of(metrics: Iterable[Metric], means: Means) -> Scores | None:
    """None where the verdicts are enough. Raises ValueError where a model cannot be loaded."""
    names = {metric.source: None for metric in metrics if metric.source}
    return Scores({name: importlib.import_module(SOURCES[name]).build(name, means) for name in names}) if names else None


def judge_of(evaluate: Evaluate, evaluation_set: EvaluationSet) -> BenchmarkJudge:
    """The judge of a set: that of [evaluate.judge], with the set's own model where it names one."""
    model = evaluation_set.judge or evaluate.judge.model
    return evaluate.judge.model_copy(update={"model": model})


def refuse_missing(evaluate: Evaluate, evaluation_set: EvaluationSet, metrics: Sequence[Metric]) -> None:
    """Raises ValueError where a metric needs a package that is not installed, or a judge that is not named."""
    judge = judge_of(evaluate, evaluation_set)
    for metric in metrics:
        if metric.source in OF_TEXTS:
            text_metrics.refuse_missing([OF_TEXTS[metric.source]])
        if metric.source in JUDGED and not (judge.url and judge.model):
            raise ValueError(
                f"evaluation set {evaluation_set.name!r}: the metric {metric.name} needs a judge; give --set "
                "evaluate.judge.url=http://host:8000/v1 and --set evaluate.judge.model=NAME"
            )


def references(clip: Clip) -> tuple[str, ...]:
    """The label's texts."""
    return (clip.label.text, *getattr(clip.label, "aliases", ()))
