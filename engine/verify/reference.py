"""A reference: the words of a person. Only the same words are kept; about all others no rule decides, and a judge may."""

from collections.abc import Sequence

from engine.labels import Reference
from engine.language.words import label_words
from engine.rows import Verdict

EXCERPT_CHARS = 80


def verify_reference(text: str, answer_words: Sequence[str], label: Reference) -> Verdict:
    """`answer_words`: those of the text, as engine/language/words.py finds them.

    >>> from engine.language.words import words
    >>> rides = Reference(text="A man rides.", aliases=("He is riding.",))
    >>> [verify_reference(text, words(text), rides).reason for text in ("He is riding", "A man is on a horse.")]
    ['contains_label', 'no_rule']
    """
    if any(list(answer_words) == list(label_words(reference)) for reference in label.texts):
        return Verdict(keep=True, reason="contains_label", score=1.0, extracted=text.strip(), spans=((0, len(text)),))
    return Verdict(keep=False, reason="no_rule", score=0.0, extracted=text.strip()[:EXCERPT_CHARS])
