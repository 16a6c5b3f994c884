"""verify() as the library has it: texts in, with defaults, and a verdict out (docs/library.md)."""

from collections.abc import Mapping
from typing import Any, Literal

from engine import labels
from engine.labels import Label
from engine.language.words import ENGLISH, refuse_unknown_language
from engine.rows import Mode, Verdict
from engine.verify.verdict import VerifySpec
from engine.verify.verdict import verify as verdict_of


def verify(
    text: str,
    question: str,
    label: "str | Mapping[str, Any] | Label",
    *,
    mode: Mode = "direct",
    finished: bool = True,
    preset: Literal["strict", "paper", "code"] = "strict",
    language: str = ENGLISH,
) -> Verdict:
    """Whether an answer confirms a label: what `starloop verify` and the generate step decide, without a model or a GPU.

    Args:
        text: The answer, as a model wrote it.
        question: What it was asked.
        label: A text; or an object of another kind, as a manifest has it (docs/labels.md): {"kind": "number", "value": 76.5}.
        mode: "rationalized" if the model was shown the label: then an answer that gives the hint away is rejected too.
        finished: False if the answer was cut off at its token limit.
        preset: "strict", or Video-STaR's published rules, "paper" or "code".
        language: Code of the answer's language, for the forms of its words.

    Returns:
        A Verdict: `outcome` ("kept" or "rejected"), `reason`, `detail` (the words that decided), `score` (0 to 1: share of the
        label that the answer contains), `keep`, and `spans` (start and end of each place that decided).

    Raises:
        ValueError: The label, the preset or the language is not one. An answer never raises: what cannot be read is rejected.

    >>> verify("He dives.", "What does he do?", "diving").outcome
    'kept'
    >>> verdict = verify("He is not diving, he swims.", "What does he do?", "diving")
    >>> verdict.outcome, verdict.reason
    ('rejected', 'label_denied')
    >>> verify("About 75 points.", "What is the score?", {"kind": "number", "value": 76.5}).keep
    True
    """
    if preset not in ("strict", "paper", "code"):
        raise ValueError(f"preset {preset!r} is not one; choose strict, paper or code")
    refuse_unknown_language(language)
    written = dict(label) if isinstance(label, Mapping) else label
    known = written if isinstance(written, labels.CLASSES) else labels.parse(written)
    return verdict_of(text, question, known, mode, finished, VerifySpec(preset=preset, language=language))
