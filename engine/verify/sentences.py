"""Sentence labels: for each sentence of the label a clause of the answer has the same meaning and is not denied.

Ordered sentences must also happen one after another.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.labels import Sentences
from engine.language.answer import Answer
from engine.language.order import MARKERS, Mention, chronological
from engine.language.retraction import dismissed_after
from engine.language.scope import DENIED, OPEN
from engine.language.similarity import Similarity, content_of, rouge_l_recall
from engine.language.vocabulary import NEGATIONS, OPPOSITE, PARTICLES
from engine.language.words import label_words, lemmas
from engine.rows import Verdict

ROUGE_THRESHOLD, COSINE_THRESHOLD = 0.75, 0.6
"""Minimum similarity. The published one is a cosine of 0.6. Recall needs more: of three words two easily match by chance."""
DENIAL_THRESHOLD = 0.5
"""Minimum similarity of a later clause that denies a sentence."""
SPLITS = MARKERS | frozenset("then and while next finally afterwards but".split())
"""Words at which a sentence is split into clauses."""
Clause = tuple[int, int]
"""A word range."""


def verify_sentences(answer: Answer, label: Sentences, similarity: Similarity) -> Verdict:
    clauses = clauses_of(answer)
    if not clauses:
        return Verdict(keep=False, reason="no_answer", score=0.0, extracted="")
    threshold = ROUGE_THRESHOLD if similarity is rouge_l_recall else COSINE_THRESHOLD
    scores = similarity(label.items, [answer.excerpt(first, end - 1) for first, end in clauses])
    score = float(scores.max(axis=1).mean())
    asserting: dict[str, list[Clause]] = {}
    for item, item_scores in zip(label.items, scores, strict=True):
        matching = [clause for clause in _scoring(clauses, item_scores, threshold) if not _has_opposite(answer, item, clause)]
        if not matching:
            return Verdict(keep=False, reason="label_missing", score=score, extracted=f"missing: {item}")
        asserting[item] = [clause for clause in matching if not _is_denied(answer, item, clause)]
        denying = [clause for clause in _scoring(clauses, item_scores, DENIAL_THRESHOLD) if _is_denied(answer, item, clause)]
        last_denial = max((first for first, _ in denying), default=-1)
        if all(end <= last_denial for _, end in asserting[item]):
            spans = tuple(answer.span_of(first, end - 1) for first, end in denying)
            return Verdict(keep=False, reason="label_denied", score=score, extracted=item, spans=spans)
    shortest = {item: min(matching, key=lambda clause: (clause[1] - clause[0], clause)) for item, matching in asserting.items()}
    spans = tuple(answer.span_of(first, end - 1) for first, end in shortest.values())
    if label.ordered and not _is_in_order(answer, label, asserting, shortest):
        return Verdict(keep=False, reason="wrong_order", score=score, extracted="", spans=spans)
    extracted = " | ".join(answer.text[start:end] for start, end in spans)
    return Verdict(keep=True, reason="contains_label", score=score, extracted=extracted, spans=spans)


def _scoring(clauses: Sequence[Clause], scores: NDArray[np.float64], threshold: float) -> list[Clause]:
    return [clause for clause, score in zip(clauses, scores, strict=True) if score >= threshold]


def clauses_of(answer: Answer) -> list[Clause]:
    """The parts of each sentence between punctuation and SPLITS, and each two neighbouring parts as one clause."""
    clauses: set[Clause] = set()
    for first, end in answer.sentences:
        breaks = answer.breaks(first, end)
        edges = [first, *(i for i in range(first + 1, end) if breaks[i - first] or answer.words[i] in SPLITS), end]
        parts = [
            (next((i for i in range(start, stop) if answer.words[i] not in SPLITS), stop), stop)
            for start, stop in itertools.pairwise(edges)
        ]
        parts = [(start, stop) for start, stop in parts if start < stop]
        clauses |= {*parts, *((start, stop) for (start, _), (_, stop) in itertools.pairwise(parts))}
    return sorted(clauses, key=lambda clause: (clause[1], clause[0]))


def _is_in_order(answer: Answer, label: Sentences, asserting: dict[str, list[Clause]], shortest: dict[str, Clause]) -> bool:
    """Whether the label's sentences happen in their order.

    `asserting`: all clauses that assert each sentence; `shortest`: the shortest of them.
    """
    mentions = sorted((Mention(item, first, end) for item, (first, end) in shortest.items()), key=lambda mention: mention.first)
    if all(mention.end <= following.first for mention, following in itertools.pairwise(mentions)):
        happened = chronological(answer, mentions)
        if happened != [mention.name for mention in mentions]:
            return happened == list(label.items)
    next_start = 0
    for item in label.items:
        following_clauses = [clause for clause in asserting[item] if clause[0] >= next_start]
        if not following_clauses:
            return False
        next_start = min(following_clauses, key=lambda clause: (clause[1], -clause[0]))[1]
    return True


def _has_opposite(answer: Answer, item: str, clause: Clause) -> bool:
    """Whether the clause has the opposite of one of the sentence's particles: "turns off" for "turns on"."""
    clause_words = answer.words[clause[0] : clause[1]]
    for particle in label_words(item):
        synonyms = (particle, *PARTICLES.get(particle, ()))
        if OPPOSITE.get(particle) in clause_words and not any(word in clause_words for word in synonyms):
            return True
    return False


def _is_denied(answer: Answer, item: str, clause: Clause) -> bool:
    """Whether the clause denies a word that it shares with the label's sentence, or leaves it open."""
    first, end = answer.sentence_of(clause[0])
    sentence = answer.words[first:end]
    own = frozenset(word for word in label_words(item) if not _is_negator(word))
    flags = answer.stances_in(first, end, own)
    forms = frozenset(form for word in content_of(item) for form in lemmas(word))
    shared = [i - first for i in range(*clause) if not forms.isdisjoint(lemmas(answer.words[i]))]
    is_open = any(flags[i] == OPEN for i in shared)
    is_denied = any(flags[i] == DENIED for i in shared) or (bool(shared) and dismissed_after(sentence, shared[-1] + 1))
    is_negative_label = any(_is_negator(word) for word in label_words(item))
    return is_open or is_denied != is_negative_label


def _is_negator(word: str) -> bool:
    return word in NEGATIONS or word.endswith("n't")
