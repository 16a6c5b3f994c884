"""The generate step: direct attempts at every train clip, and rationalizations of the rejected ones."""

import logging
from dataclasses import asdict

from engine.generate.attempts import attempt_split, counts_of, spec_of
from engine.generate.lineage import LINEAGE, lineage_of, read_changes, reuse_line
from engine.generate.one_model import read_model
from engine.generate.prompts import wording_of
from engine.generate.reuse import Origins, continues, write_reused
from engine.generate.samples import Samples
from engine.generate.tokens import Tokens, line_of
from engine.language import similarity
from engine.run.plan import asks_elsewhere
from engine.run.work import INDEX, StepResult, Work

log = logging.getLogger(__name__)


def generate(work: Work) -> StepResult:
    """Direct attempts, then rationalizations of the rejects; in the last cycle direct attempts only."""
    section = work.config.generate
    spec = spec_of(work, wording_of(work.config, section.prompts), section.temperature, section.rationalize and not work.step.final)
    samples, tokens, origins = Samples(work.config.run.seed), Tokens(), Origins()
    is_first = bool(work.config.parent.run) and work.step.cycle == 0
    changes = read_changes(work.store) if is_first else {}
    if continues(work):
        write_reused(work, spec)
    ledger = attempt_split(work, spec, [samples, tokens, origins])
    for line in samples.lines():
        log.info("%s", line)
    facts = asdict(ledger) | {
        "similarity": similarity.name(work.config.verify.sentence_model),
        "model": read_model(work.store, work.step.name),
    }
    if asks_elsewhere(work.config, work.step):
        facts["asked"] = tokens.facts(spec.model.base, section.openai.price_in, section.openai.price_out)
        log.info("%s", line_of(facts["asked"]))
    counts = counts_of(ledger)
    if is_first:
        lineage = lineage_of(changes, origins, ledger.clips)
        counts |= {name: lineage[name] for name in LINEAGE}
        log.info("%s", reuse_line(lineage, work.config.parent))
        facts["lineage"] = {"parent": work.config.parent.run, "step": work.config.parent.step, **lineage}
    return StepResult(files=[f"{work.step.name}/{INDEX}"], counts=counts, facts=facts)
