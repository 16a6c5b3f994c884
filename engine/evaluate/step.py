"""The evaluate step: a model's answers to an evaluation set, the set's metrics, and the test against the best model before."""

import logging
from dataclasses import asdict, replace
from typing import Any

from engine.config import HELDOUT, EvaluationSet
from engine.evaluate.figures import figures
from engine.evaluate.judge.asker import warning_of
from engine.evaluate.outcomes import Outcomes, Recorder, read_outcomes
from engine.evaluate.paired import compare
from engine.evaluate.scores.measuring import Measuring, measuring
from engine.generate.attempts import Tally, attempt_split, counts_of, spec_of
from engine.generate.one_model import read_model
from engine.generate.prompts import wording_of
from engine.generate.reuse import Origins, reused_step, write_reused
from engine.run.plan import BASE
from engine.run.promotion import level_of
from engine.run.work import Progress, StepResult, Work

log = logging.getLogger(__name__)


def evaluate(work: Work) -> StepResult:
    """The same actors as in generation: greedy, asked as training asks, without a hint and without a second chance.

    Of a run that continues another one, clips whose answers by the same model stand are not asked again.
    """
    prompts = wording_of(work.config, work.config.prompts_of(work.step.split))
    evaluation_set, total = set_named(work.config.sets, work.step.split), sum(work.part_sizes()[work.step.split])
    as_trained, recorder, origins = replace(prompts, answer=prompts.train, rationalize=""), Recorder(), Origins()
    spec = spec_of(work, as_trained, 0.0, rationalize=False)
    if source := reused_step(work):
        write_reused(work, spec, source)

    def report(marks: int) -> None:
        work.report(Progress(step=work.step.name, unit="answers", done=marks, total=max(marks, total)))

    with measuring(work.config, evaluation_set, work.store, report) as measures:
        scores = measures.scores(measures.metrics)
        tallies: list[Tally] = [recorder, origins, *([scores] if scores else [])]
        ledger = attempt_split(work, spec, tallies)
        outcomes = recorder.outcomes(scores.by_source() if scores else None)
        judged = {"judge": measures.asker.facts()} if measures.asker else {}
        compared = comparison_of(work, measures, outcomes)
    if judged and (line := warning_of(judged["judge"])):
        log.warning("%s: %s", work.step.name, line)
    measured = figures(measures.metrics, outcomes, recorder.group_names) | compared | judged
    facts = measured | {"model": read_model(work.store, work.step.name)}
    counts = counts_of(ledger)
    if source:
        counts |= {"reused": origins.reused}
        log.info("answers to %d of %d clips are those of %s/%s", origins.reused, ledger.clips, work.config.parent.run, source)
    return StepResult(files=list(work.groups().values()), counts=counts, facts=facts | asdict(ledger))


def comparison_of(work: Work, measures: Measuring, outcomes: Outcomes) -> dict[str, Any]:
    """{"comparison"} of the headline with the best model before; {} where the plan names none.

    Its "decides" says that its gain, and not the two accuracies, decides about the cycle. {"over_base"} is the same with the base,
    where that is another model. The answers of both are measured again.
    """
    headline = measures.metrics[0]

    def compared_with(step: str, level: float | None) -> dict[str, Any]:
        before = read_outcomes(work.store, step, work.parts(work.step.split), measures.scores([headline]))
        return asdict(compare(step, headline, before, outcomes)) | {"level": level}

    if not work.step.compared:
        return {}
    is_heldout = work.step.split == HELDOUT
    is_tested = work.config.loop.promote != "best" and is_heldout
    comparison = compared_with(work.step.compared, level_of(work.config.loop) if is_tested else None)
    comparison |= {"decides": "gain"} if is_heldout else {}
    others = BASE in work.step.inputs and work.step.compared != BASE
    return {"comparison": comparison} | ({"over_base": compared_with(BASE, None)} if others else {})


def set_named(sets: tuple[EvaluationSet, ...], name: str) -> EvaluationSet:
    return next(evaluation_set for evaluation_set in sets if evaluation_set.name == name)
