"""The first stage: the rules of a label's kind (engine/verify/verdict.py). They need no model, and take microseconds."""

from dataclasses import dataclass

from engine.language import parse, similarity
from engine.language.words import refuse_unknown_language
from engine.rows import Verdict
from engine.verify import tools
from engine.verify.stages import Case
from engine.verify.verdict import VerifySpec, verify


@dataclass(frozen=True)
class Rules:
    spec: VerifySpec
    reviews: frozenset[str] = frozenset()

    async def judge(self, case: Case) -> Verdict:
        return verify(case.text, case.clip.question, case.clip.label, case.mode, case.finished, self.spec)


def build(spec: VerifySpec) -> Rules:
    if spec.preset == "strict":  # loaded now, so that a wrong name ends the actor and not the first answer
        similarity.of(spec.sentence_model)
    else:
        tools.of(spec.tools)
    parse.of(spec.parser)
    refuse_unknown_language(spec.language)
    return Rules(spec)
