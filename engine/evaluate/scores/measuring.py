"""What measures the answers to one evaluation set: its metrics, the models that they need, and the judge where one is asked."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from engine.config import EvaluationSet, RunConfig
from engine.evaluate.judge.asker import Asker
from engine.evaluate.metrics import VCG, Metric, metric_of
from engine.evaluate.scores import JUDGED, Means, Scores, judge_of, scores_of
from engine.store.files import Store
from engine.verify.judging import JudgeSpec


@dataclass(frozen=True)
class Measuring:
    """with measuring(config, evaluation_set, store, report) as measures: measures.scores(measures.metrics)"""

    config: RunConfig
    metrics: Sequence[Metric]
    """The first one is the headline."""
    asker: Asker | None

    def scores(self, metrics: Sequence[Metric]) -> Scores | None:
        """Of some of the metrics; None where the verdicts are enough. Raises ValueError where a model cannot be loaded."""
        evaluate, own = self.config.evaluate, [metric for metric in metrics if metric.source == "vcg"]
        columns = range(len(VCG)) if any(metric.statistic for metric in own) else (metric.column for metric in own)
        means = Means(
            sentence_model=evaluate.sentence_model,
            cross_encoder=evaluate.cross_encoder,
            bert_model=evaluate.bert_model,
            asker=self.asker,
            dimensions=frozenset(columns),
        )
        return scores_of(metrics, means)


@contextmanager
def measuring(
    config: RunConfig, evaluation_set: EvaluationSet, store: Store, report: Callable[[int], None], asks: bool = True
) -> Iterator[Measuring]:
    """`store`: of the run, whose folder has the judge's replies. `report`, `asks`: of the Asker."""
    metrics = [metric_of(name) for name in evaluation_set.metrics]
    if not any(metric.source in JUDGED for metric in metrics):
        yield Measuring(config, metrics, None)
        return
    section = judge_of(config.evaluate, evaluation_set)
    asker = Asker(JudgeSpec.of(section, config.run.seed, "evaluate.judge"), section.wordings, store, report, asks)
    try:
        yield Measuring(config, metrics, asker)
    finally:
        asker.close()
