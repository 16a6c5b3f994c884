"""The generate step: direct attempts at every train clip, and rationalizations of the rejected ones."""

from dataclasses import asdict

from engine.generate import prompts
from engine.generate.attempts import attempt_split, counts_of, spec_of
from engine.generate.one_model import read_model
from engine.language import similarity
from engine.run.work import INDEX, StepResult, Work


def generate(work: Work) -> StepResult:
    """Direct attempts, then rationalizations of the rejects; in the last cycle direct attempts only."""
    section = work.config.generate
    spec = spec_of(work, prompts.BY_NAME[section.prompts], section.temperature, section.rationalize and not work.step.final)
    ledger = attempt_split(work, spec)
    facts = asdict(ledger) | {
        "similarity": similarity.name(work.config.verify.sentence_model),
        "model": read_model(work.store, work.step.name),
    }
    return StepResult(files=[f"{work.step.name}/{INDEX}"], counts=counts_of(ledger), facts=facts)
