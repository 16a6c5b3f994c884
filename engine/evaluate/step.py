"""The evaluate step: a model's answers to an evaluation set, the set's metrics, and the test against the best model before."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from engine.config import EvaluationSet
from engine.evaluate.figures import figures
from engine.evaluate.judge.asker import Asker, warning_of
from engine.evaluate.metrics import VCG, Metric, metric_of
from engine.evaluate.outcomes import Outcomes, Recorder, read_outcomes
from engine.evaluate.paired import compare
from engine.evaluate.scores import JUDGED, Means, Scores, judge_of, scores_of
from engine.generate.attempts import attempt_split, counts_of, spec_of
from engine.generate.one_model import read_model
from engine.generate.prompts import Prompts, wording_of
from engine.run.promotion import level_of
from engine.run.work import Progress, StepResult, Work
from engine.verify.judging import JudgeSpec

log = logging.getLogger(__name__)


def evaluate(work: Work) -> StepResult:
    """The same actors as in generation: greedy, asked as training asks, without a hint and without a second chance."""
    wording = wording_of(work.config, work.config.prompts_of(work.step.split)).train
    evaluation_set = set_named(work.config.sets, work.step.split)
    metrics = [metric_of(name) for name in evaluation_set.metrics]
    direct_only, recorder = Prompts(answer=wording, rationalize="", train=wording), Recorder()
    with judge_for(work, evaluation_set, metrics) as asker:
        scores = scores_of(metrics, means_of(work, metrics, asker))
        tallies = [recorder, scores] if scores else [recorder]
        ledger = attempt_split(work, spec_of(work, direct_only, 0.0, rationalize=False), tallies)
        outcomes = recorder.outcomes(scores.by_source() if scores else None)
        judged = {"judge": asker.facts()} if asker else {}
        compared = comparison_of(work, metrics, outcomes, asker)
    if judged and (line := warning_of(judged["judge"])):
        log.warning("%s: %s", work.step.name, line)
    measured = figures(metrics, outcomes, recorder.group_names) | compared | judged
    facts = measured | {"model": read_model(work.store, work.step.name)}
    return StepResult(files=list(work.groups().values()), counts=counts_of(ledger), facts=facts | asdict(ledger))


@contextmanager
def judge_for(work: Work, evaluation_set: EvaluationSet, metrics: Sequence[Metric]) -> Iterator[Asker | None]:
    """The judge of a set's metrics; None where no metric asks one. Its replies are those of the run."""
    if not any(metric.source in JUDGED for metric in metrics):
        yield None
        return
    section, total = judge_of(work.config.evaluate, evaluation_set), sum(work.part_sizes()[work.step.split])

    def report(done: int) -> None:
        work.report(Progress(step=work.step.name, unit="answers", done=done, total=max(done, total)))

    asker = Asker(JudgeSpec.of(section, work.config.run.seed, "evaluate.judge"), section.wordings, work.store, report)
    try:
        yield asker
    finally:
        asker.close()


def means_of(work: Work, metrics: Sequence[Metric], asker: Asker | None) -> Means:
    evaluate, own = work.config.evaluate, [metric for metric in metrics if metric.source == "vcg"]
    columns = range(len(VCG)) if any(metric.statistic for metric in own) else (metric.column for metric in own)
    return Means(
        sentence_model=evaluate.sentence_model,
        cross_encoder=evaluate.cross_encoder,
        bert_model=evaluate.bert_model,
        asker=asker,
        dimensions=frozenset(columns),
    )


def comparison_of(work: Work, metrics: Sequence[Metric], outcomes: Outcomes, asker: Asker | None) -> dict[str, Any]:
    """{"comparison"} of the headline with the best model before, whose answers are measured again; {} where the plan names none."""
    if not work.step.compared:
        return {}
    scores: Scores | None = scores_of(metrics[:1], means_of(work, metrics[:1], asker))
    before = read_outcomes(work.store, work.step.compared, work.parts(work.step.split), scores)
    comparison = compare(work.step.compared, metrics[0], before, outcomes)
    decides = work.config.loop.promote == "significant"
    return {"comparison": asdict(comparison) | {"level": level_of(work.config.loop) if decides else None}}


def set_named(sets: tuple[EvaluationSet, ...], name: str) -> EvaluationSet:
    return next(evaluation_set for evaluation_set in sets if evaluation_set.name == name)
