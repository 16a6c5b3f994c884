"""What the judge of a step was asked, what it said, what that took, and how often it agrees with the rules."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.config import JUDGE
from engine.evaluate.intervals import interval
from engine.evaluate.metrics import accuracy, value_of
from engine.evaluate.outcomes import RIGHT, WRONG, Outcomes, Recorder
from engine.rows import Attempt, Clip

SAMPLED, OPEN = "sampled", "open"
"""Why the judge was asked: the rules keep the answer, and it is in the sample; or they leave it open."""
OUTCOMES = ("keep", "drop", "unclear", "refused")
"""Its reasons without judge_."""
DECIDED = {"keep": RIGHT, "drop": WRONG}
"""Those that agree with a rule's keep, or do not."""


@dataclass
class Judged:
    """Counts piece by piece; see Tally in engine/generate/attempts.py. What another run has paid for is not among it."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: {SAMPLED: Counter(), OPEN: Counter()})
    prompt: int = 0
    answer: int = 0
    cost: float = 0.0
    sampled: Recorder = field(default_factory=Recorder)
    """Of each answer of the sample that it decided about, whether it keeps it."""

    def add(self, clips: Sequence[Clip], attempts: Sequence[Attempt]) -> None:
        """The clips of a piece, and all attempts at them."""
        by_id = {clip.clip_id: clip for clip in clips}
        for attempt in attempts:
            for judgement in attempt.judgements if not attempt.origin else ():
                if judgement.stage == JUDGE:
                    why, outcome = SAMPLED if attempt.judgements[0].keep else OPEN, judgement.reason.removeprefix("judge_")
                    self.outcomes[why][outcome] += 1
                    if why == SAMPLED and outcome in DECIDED:
                        self.sampled.record(by_id[attempt.clip_id], DECIDED[outcome])
                    self.prompt += judgement.prompt_tokens
                    self.answer += judgement.num_tokens
                    self.cost += judgement.cost

    def facts(self, model: str) -> dict[str, Any]:
        """For the step's seal.

        >>> judged = Judged(prompt=3000, answer=100, cost=0.25)
        >>> judged.outcomes["sampled"].update(keep=9, drop=1, unclear=2)
        >>> facts = judged.facts("m at u")
        >>> facts["answers"], facts["sampled"], facts["open"]["keep"], facts["cost"]
        (12, {'keep': 9, 'drop': 1, 'unclear': 2, 'refused': 0}, 0, 0.25)
        """
        counts = {why: {name: self.outcomes[why][name] for name in OUTCOMES} for why in (SAMPLED, OPEN)}
        return {
            "model": model,
            "answers": sum(sum(of_why.values()) for of_why in counts.values()),
            **counts,
            "prompt_tokens": self.prompt,
            "answer_tokens": self.answer,
            "cost": round(self.cost, 6),
            "agreement": _agreement(self.sampled.outcomes()),
        }


def _agreement(sampled: Outcomes) -> dict[str, Any] | None:
    """With the rules, on the sample of what they keep; None where the judge decided about none.

    All kept answers to a clip of the sample are judged, and they are alike: the interval is by video, as that of an accuracy is.
    """
    if not (count := len(sampled.ids)):
        return None
    low, high = interval(accuracy, sampled)
    return {"count": count, "share": round(value_of(accuracy, sampled), 4), "low": round(low, 4), "high": round(high, 4)}


def line_of(facts: Mapping[str, Any]) -> str:
    """
    >>> judged = Judged(prompt=3000, answer=100, cost=0.25)
    >>> judged.outcomes["open"].update(keep=2, drop=1)
    >>> print(line_of(judged.facts("m at u")))
    m at u judged 3 answers: 3 that the rules leave open (2 keep, 1 drop); 3,000 prompt and 100 reply tokens cost 0.25
    """
    names = ((OPEN, "that the rules leave open"), (SAMPLED, "of those that they keep"))
    parts = [f"{sum(facts[why].values()):,} {name} ({_counted(facts[why])})" for why, name in names if sum(facts[why].values())]
    tokens = f"{facts['prompt_tokens']:,} prompt and {facts['answer_tokens']:,} reply tokens"
    cost = f" cost {facts['cost']:,.4g}" if facts["cost"] else ""
    text = f"{facts['model']} judged {facts['answers']:,} answers: {', '.join(parts) or 'none'}; {tokens}{cost}"
    if agreement := facts["agreement"]:
        interval = f"{agreement['low']:.3f} to {agreement['high']:.3f}"
        text += (
            f"; it agrees with the rules on {agreement['share']:.3f} ({interval}) of {agreement['count']} answers that they keep"
        )
    return text


def warning_of(facts: Mapping[str, Any]) -> str:
    """Where most replies had no verdict, so that the judge decides little and is paid all the same; "" elsewhere.

    >>> judged = Judged()
    >>> judged.outcomes["sampled"].update(keep=1, unclear=26)
    >>> print(warning_of(judged.facts("m at u"))[:98])
    26 of 27 replies of the judge had no verdict, so the rules' stands; read some in the attempts, and
    """
    unclear = sum(facts[why]["unclear"] for why in (SAMPLED, OPEN))
    if 2 * unclear <= facts["answers"]:
        return ""
    return (
        f"{unclear} of {facts['answers']} replies of the judge had no verdict, so the rules' stands; read some in the attempts, "
        "and begin a run (run.uri) with another verify.judge.rubric"
    )


def _counted(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in outcomes.items() if count)
