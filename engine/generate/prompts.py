"""The prompts, as strings. Only the rationalization prompt contains the label."""

import re
from dataclasses import dataclass

from engine.config import RunConfig
from engine.generate.hints import in_shares, published_hint
from engine.labels import Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Templates. Only {question} and {label} are replaced, in one pass: other braces stay, and so does what a question holds.

    Prompts(answer="{question}\\nExplain.", rationalize="{question}\\nHint: {label}.\\nExplain.", train="{question}")
    """

    answer: str
    """Direct attempts."""
    rationalize: str
    """Rationalized attempts: the prompt contains the label."""
    train: str
    """The user turn of training examples and of evaluation, without a hint."""
    published: bool = False
    """Hints have their keys, and times are shares of the clip, as Video-STaR's rules read them (engine/generate/hints.py)."""


STRICT = Prompts(
    answer="{question}\nExplain step by step what you see, then give the answer.",
    rationalize="{question}\nHint: the answer is {label}.\nExplain step by step what you see, then give the answer.",
    train="{question}\nExplain step by step what you see, then give the answer.",
)
"""Training uses the prompt of direct attempts: a small model finetuned on the bare question stops explaining when asked to
(docs/decisions.md has the figures)."""
PUBLISHED = Prompts(
    answer="Question: {question}\nCan you explain step-by-step how one can arrive at this conclusion?",
    rationalize="Question: {question}\nAnswer: {label}.\nCan you explain step-by-step how one can arrive at this conclusion?",
    train="{question}",
    published=True,
)
"""The wording of Video-STaR, appendix A.1, and of the released generation script; training uses the bare question."""

BY_NAME = {"strict": STRICT, "published": PUBLISHED}


def wording_of(config: RunConfig, name: str) -> Prompts:
    """The wording of a prompt set: a built-in one, or that of [prompts.NAME]."""
    if name in BY_NAME:
        return BY_NAME[name]
    section = config.prompts[name]
    return Prompts(answer=section.answer, rationalize=section.rationalize, train=section.train or section.answer)


def answer_prompt(prompts: Prompts, question: str, label: Label | None = None) -> str:
    """`label`: of the clip, which is not in the prompt; where it has times, published prompts ask for shares of the clip.

    >>> answer_prompt(PUBLISHED, "What is it?")
    'Question: What is it?\\nCan you explain step-by-step how one can arrive at this conclusion?'
    """
    return prompts.answer.replace("{question}", _worded(prompts, question, label))


def rationalize_prompt(prompts: Prompts, question: str, label: Label) -> str:
    """
    >>> from engine.labels import Keywords, Number
    >>> rationalize_prompt(STRICT, "What is it?", Keywords(text="doing yoga")).splitlines()[1]
    'Hint: the answer is doing yoga.'
    >>> rationalize_prompt(STRICT, "What does {label} mean?", Keywords(text="a {question}")).splitlines()[:2]
    ['What does {label} mean?', 'Hint: the answer is a {question}.']
    >>> rationalize_prompt(PUBLISHED, "Which score?", Number(key="final_score", value=65.6)).splitlines()[1]
    'Answer: final score: 65.6.'
    """
    values = {"{question}": _worded(prompts, question, label), "{label}": label_text(prompts, label)}
    return re.sub("{question}|{label}", lambda place: values[place[0]], prompts.rationalize)


def label_text(prompts: Prompts, label: Label) -> str:
    """How the prompts write a label: with published ones its times are shares, which is what their questions ask for."""
    return published_hint(label) if prompts.published else label.text


def train_prompt(prompts: Prompts, question: str, label: Label | None = None) -> str:
    """`label`: as for answer_prompt."""
    return prompts.train.replace("{question}", _worded(prompts, question, label))


def _worded(prompts: Prompts, question: str, label: Label | None) -> str:
    return in_shares(question, label) if prompts.published and label is not None else question
