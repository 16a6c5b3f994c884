"""The generate step: direct attempts at every train clip, and rationalizations of the rejected ones."""

from dataclasses import asdict

from engine.generate import prompts
from engine.generate.attempts import attempt_split, counts_of
from engine.generate.generator import GenerateSpec
from engine.language import similarity
from engine.run.work import INDEX, Made, Work
from engine.verify.verdict import VerifySpec
from models.base import Sampling


def generate(work: Work) -> Made:
    """Direct attempts, then rationalizations of the rejects; in the last cycle direct attempts only."""
    section = work.config.generate
    spec = GenerateSpec(
        model=work.model(),
        storage=work.config.access(),
        prompts=prompts.BY_NAME[section.prompts],
        sampling=Sampling(temperature=section.temperature, max_tokens=section.max_tokens),
        verify=VerifySpec(**work.config.verify.model_dump()),
        rationalize=section.rationalize and not work.step.final,
        run_seed=work.config.run.seed,
        cycle=work.step.cycle,
    )
    ledger = attempt_split(work, spec, "train")
    facts = asdict(ledger) | {"similarity": similarity.name(work.config.verify.sentence_model)}
    return Made(files=[f"{work.step.name}/{INDEX}"], counts=counts_of(ledger), facts=facts)
