"""What an evaluation set is measured by: a line of the table for each metric. A clip that failed counts as wrong.

metric      what a metric is, and its value
statistics  metrics that are no means

A mean may end in _by_group or _by_label: the plain mean of the means of a benchmark's cells, or of the labels.
"""

from dataclasses import replace

from engine.evaluate.metrics.metric import Metric, by_group, by_label, value_of
from engine.evaluate.metrics.statistics import bleu, mean_of_all, mean_of_columns, relative_l2, spearman

__all__ = ["METRICS", "Metric", "accuracy", "accuracy_by_label", "metric_of", "value_of"]

VCG = ("correctness", "detail", "context", "temporal", "consistency")
"""Video-ChatGPT's dimensions: the columns of the source "vcg"."""
SCORES = (0.0, 5.0)
RECALLS = (0.3, 0.5, 0.7)
_TABLE = (
    Metric(name="accuracy"),
    Metric(name="qa_accuracy", source="qa"),
    Metric(name="qa_score", source="qa", column=1, is_share=False, bounds=SCORES),
    *(Metric(name=f"vcg_{name}", source="vcg", column=place, is_share=False, bounds=SCORES) for place, name in enumerate(VCG)),
    Metric(name="vcg_score", source="vcg", statistic=mean_of_all, is_share=False, bounds=SCORES),
    Metric(name="vcg_score_by_dimension", source="vcg", statistic=mean_of_columns, is_share=False, bounds=SCORES),
    Metric(name="spearman", source="numbers", statistic=spearman, is_share=False, bounds=(-1.0, 1.0)),
    Metric(name="relative_l2", source="numbers", statistic=relative_l2, is_share=False, bounds=(0.0, 100.0), falls=True),
    Metric(name="miou", source="ranges", is_share=False),
    *(Metric(name=f"recall_{least:g}", source="ranges", column=place) for place, least in enumerate(RECALLS, 1)),
    Metric(name="bleu", source="bleu", statistic=bleu, is_share=False, bounds=(0.0, 100.0)),
    *(Metric(name=name, source=name, is_share=False) for name in ("rouge_l", "bert_score", "sts", "sts_cross")),
)
METRICS = {metric.name: metric for metric in _TABLE}
AVERAGES = {"_by_group": by_group, "_by_label": by_label}
accuracy = METRICS["accuracy"]
"""Share of the clips whose answer contains the label."""
accuracy_by_label = replace(accuracy, name="accuracy_by_label", weigh=by_label)
"""Mean over labels of the share of a label's clips that are right."""


def metric_of(name: str) -> Metric:
    """Raises ValueError for a metric that is not known, and for an average of one that is no mean.

    >>> metric_of("accuracy_by_group").name, metric_of("qa_score_by_group").column
    ('accuracy_by_group', 1)
    """
    if name in METRICS:
        return METRICS[name]
    for ending, weigh in AVERAGES.items():
        metric = METRICS.get(name.removesuffix(ending)) if name.endswith(ending) else None
        if metric is not None and metric.statistic is None:
            return replace(metric, name=name, weigh=weigh)
    known = ", ".join(METRICS)
    raise ValueError(f"evaluate.sets names the metric {name!r}; known are {known}, and of a mean also NAME_by_group, NAME_by_label")
