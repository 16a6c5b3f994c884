"""The generate step: direct attempts at every train clip, and rationalizations of the rejected ones."""

import logging
from dataclasses import asdict

from engine.config import JUDGE
from engine.generate.attempts import attempt_split, counts_of, spec_of
from engine.generate.groups import Groups
from engine.generate.judged import Judged, warning_of
from engine.generate.judged import line_of as judge_line
from engine.generate.lineage import LINEAGE, lineage_of, read_changes, reuse_line
from engine.generate.one_model import read_model
from engine.generate.prompts import wording_of
from engine.generate.reuse import Origins, reused_step, write_reused
from engine.generate.samples import Samples
from engine.generate.scores import Groundings
from engine.generate.tokens import Tokens, line_of
from engine.language import parse, similarity
from engine.run.plan import asks_elsewhere
from engine.run.work import StepResult, Work

log = logging.getLogger(__name__)


def generate(work: Work) -> StepResult:
    """Direct attempts, then rationalizations of the rejects; in the last cycle direct attempts only."""
    section = work.config.generate
    spec = spec_of(work, wording_of(work.config, section.prompts), section.temperature, section.rationalize and not work.step.final)
    samples, tokens, origins = Samples(work.config.run.seed), Tokens(), Origins()
    groundings = Groundings(work.step.cycle)
    is_first = bool(work.config.parent.run) and work.step.cycle == 0
    changes = read_changes(work.store) if is_first else {}
    if source := reused_step(work):
        write_reused(work, spec, source)
    judged, groups = Judged(), Groups()
    ledger = attempt_split(work, spec, [samples, tokens, origins, groundings, judged, groups])
    for line in samples.lines():
        log.info("%s", line)
    facts = asdict(ledger) | {
        "similarity": similarity.name(work.config.verify.sentence_model),
        "parser": parse.name(work.config.verify.parser),
        "model": read_model(work.store, work.step.name),
    }
    if of_groups := groups.facts():
        facts["groups"] = of_groups
    if spec.grounding:
        facts["grounding"] = groundings.facts()
    if asks_elsewhere(work.config, work.step):
        facts["asked"] = tokens.facts(spec.model.base, section.openai.price_in, section.openai.price_out)
        log.info("%s", line_of(facts["asked"]))
    if JUDGE in work.config.verify.stages:
        facts["judge"] = judged.facts(work.config.verify.judge.name)
        log.info("%s", judge_line(facts["judge"]))
        if warning := warning_of(facts["judge"]):
            log.warning("%s", warning)
    counts = counts_of(ledger)
    if is_first:
        lineage = lineage_of(changes, origins, ledger.clips)
        counts |= {name: lineage[name] for name in LINEAGE}
        log.info("%s", reuse_line(lineage, work.config.parent))
        facts["lineage"] = {"parent": work.config.parent.run, "step": work.config.parent.step, **lineage}
    return StepResult(files=list(work.groups().values()), counts=counts, facts=facts)
