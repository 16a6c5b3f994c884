"""What a step's answers took, by the counts of the server that gave them: tokens, and their price."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.rows import Attempt, Clip

MILLION = 1_000_000


@dataclass
class Tokens:
    """Counts piece by piece; see Tally in engine/generate/attempts.py. Answers of pieces that were lost, and those that another run
    has paid for, are not among them."""

    answers: int = 0
    prompt: int = 0
    answer: int = 0

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None:
        """The clips of a piece, and all attempts at them."""
        answered = [attempt for attempt in attempts if attempt.outcome != "failed" and not attempt.origin]
        self.answers += len(answered)
        self.prompt += sum(attempt.prompt_tokens for attempt in answered)
        self.answer += sum(attempt.num_tokens for attempt in answered)

    def facts(self, model: str, price_in: float, price_out: float) -> dict[str, Any]:
        """For the step's seal. Prices are those of a million tokens.

        >>> Tokens(answers=2, prompt=3_000_000, answer=100_000).facts("m at u", 0.5, 2.0)
        {'model': 'm at u', 'answers': 2, 'prompt_tokens': 3000000, 'answer_tokens': 100000, 'cost': 1.7}
        """
        cost = (self.prompt * price_in + self.answer * price_out) / MILLION
        counts = {"answers": self.answers, "prompt_tokens": self.prompt, "answer_tokens": self.answer}
        return {"model": model, **counts, "cost": round(cost, 6)}


def line_of(facts: dict[str, Any]) -> str:
    """
    >>> print(line_of(Tokens(answers=2, prompt=3_000, answer=100).facts("m at u", 0.0, 0.0)))
    m at u gave 2 answers for 3,000 prompt and 100 answer tokens
    """
    counts = f"{facts['answers']:,} answers for {facts['prompt_tokens']:,} prompt and {facts['answer_tokens']:,} answer tokens"
    cost = f", which cost {facts['cost']:,.2f} by generate.openai.price_in and price_out" if facts["cost"] else ""
    return f"{facts['model']} gave {counts}{cost}"
