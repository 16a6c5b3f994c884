"""[verify.judge] and [evaluate.judge]: which models judge answers, and how they are asked.

The first one decides what is trained on (engine/verify/judge.py), the second one scores benchmarks (engine/evaluate/judge).
"""

from typing import Literal

from pydantic import Field

from engine.engines import Server
from engine.section import Section, cost

RUBRIC = (
    "You decide whether an answer about a video may be used to teach another model. You are given the question, the correct label "
    "and the answer. Keep the answer if it commits itself to one answer, that answer means the same as the label, and its reasons "
    "do not contradict it. Drop the answer if it hedges between several answers, names another one, gives none, or if what it says "
    "cannot be seen in the pictures, where there are any."
)


class Judge(Server):
    """An OpenAI-compatible server that is asked about answers, with verify.stages = ["rules", "judge"].

    It is asked where the rules could not decide (reasons label_open, no_single_answer and no_rule), and about a share of what they
    keep.
    """

    rubric: str = Field(default=RUBRIC, min_length=1)
    """What the judge is to decide, in words. How it has to reply is added to it."""
    sample: float = Field(default=0.0, ge=0, le=1)
    """Share of the answers kept by the rules that are judged, too; seed, clip and mode decide which ones."""
    frames: int = Field(default=0, ge=0, le=1024)
    """Maximum number of frames that the judge is shown, evenly chosen from those that the model watched; 0: it sees no video."""
    max_tokens: int = Field(default=512, gt=0)
    """Of its reply, its reasoning included."""
    temperature: float = Field(default=0.0, ge=0)
    """Of sampling; 0: the likeliest token each time."""
    omit: tuple[Literal["temperature", "seed"], ...] = cost(())
    """Keys that the server does not take."""


class Wording(Section):
    """[evaluate.judge.wordings.NAME]: another wording of a protocol, such as the one that a benchmark's authors released.

    {question}, {answer} (the label's) and {prediction} are replaced; for vcg_consistency {question_2} and {prediction_2} too.
    """

    system: str = Field(min_length=1)
    """What the judge is to do."""
    user: str = Field(min_length=1)
    """The case, with its places, and the form of the reply."""


class BenchmarkJudge(Server):
    """An OpenAI-compatible server that scores answers to evaluation sets, for the metrics qa_* and vcg_* (docs/benchmarks.md)."""

    max_tokens: int = Field(default=256, gt=0)
    """Of its reply, its reasoning included."""
    temperature: float = Field(default=0.0, ge=0)
    """Of sampling; 0: the likeliest token each time."""
    omit: tuple[Literal["temperature", "seed"], ...] = cost(())
    """Keys that the server does not take."""
    wordings: dict[str, Wording] = Field(default={})
    """Other wordings by protocol: qa, vcg_correctness, vcg_detail, vcg_context, vcg_temporal, vcg_consistency."""
