"""The evaluate step: a model's answers to the held-out clips, and their accuracy."""

from dataclasses import asdict

from engine.evaluate.accuracy import accuracy
from engine.generate import prompts
from engine.generate.attempts import attempt_split, counts_of
from engine.generate.generator import GenerateSpec
from engine.run.work import INDEX, Made, Work
from engine.verify.verdict import VerifySpec
from models.base import Sampling


def evaluate(work: Work) -> Made:
    """The same actors on the held-out clips: greedy, asked as training asks, without a hint and without a second chance."""
    section = work.config.generate
    wording = prompts.BY_NAME[section.prompts].train
    spec = GenerateSpec(
        model=work.model(),
        storage=work.config.access(),
        prompts=prompts.Prompts(answer=wording, rationalize="", train=wording),
        sampling=Sampling(temperature=0.0, max_tokens=section.max_tokens),
        verify=VerifySpec(**work.config.verify.model_dump()),
        rationalize=False,
        run_seed=work.config.run.seed,
        cycle=work.step.cycle,
    )
    ledger = attempt_split(work, spec, "heldout")
    facts = {"accuracy": accuracy(ledger)} | asdict(ledger)
    return Made(files=[f"{work.step.name}/{INDEX}"], counts=counts_of(ledger), facts=facts)
