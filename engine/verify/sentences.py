"""Sentences: each of the label's is said, by a clause that means the same and does not deny it; ordered ones one after another."""

import itertools

from engine.labels import Sentences
from engine.language.negation import DENIED, OPEN, dismissed_after, stances
from engine.language.order import MARKERS, in_time
from engine.language.similarity import Similarity, content_of, rouge_l
from engine.language.text import Said
from engine.language.vocabulary import NEGATIONS, OPPOSITE, PARTICLES
from engine.language.words import label_words, lemmas
from engine.rows import Verdict

ROUGE_THRESHOLD, COSINE_THRESHOLD = 0.75, 0.6
"""The published one is 0.6 of a cosine. Recall of words needs more: of three words two are as easily the wrong ones."""
TAKEN_BACK = 0.5
"""Of a later clause that denies it."""
SPLITS = MARKERS | frozenset("then and while next finally afterwards but".split())
Part = tuple[int, int]
"""A clause's first word, and the one after its last."""


def has_sentences(said: Said, label: Sentences, similarity: Similarity) -> Verdict:
    parts = clauses(said)
    if not parts:
        return Verdict(keep=False, reason="no_answer", score=0.0, extracted="")
    threshold = ROUGE_THRESHOLD if similarity is rouge_l else COSINE_THRESHOLD
    scores = similarity(label.items, [said.stretch(a, b - 1) for a, b in parts])
    score = float(scores.max(axis=1).mean())
    said_in: dict[str, list[Part]] = {}
    for item, row in zip(label.items, scores, strict=True):
        near = [part for part, value in zip(parts, row, strict=True) if value >= threshold and not _is_opposite(said, item, part)]
        if not near:
            return Verdict(keep=False, reason="label_missing", score=score, extracted=f"missing: {item}")
        meant = [part for part in near if not _is_denied(said, item, part)]
        half = [part for part, value in zip(parts, row, strict=True) if value >= TAKEN_BACK]
        last = max((part for part in half if _is_denied(said, item, part)), default=None, key=lambda part: part[0])
        if not meant or (last and all(part[1] <= last[0] for part in meant)):
            return Verdict(keep=False, reason="label_denied", score=score, extracted=item)
        said_in[item] = meant
    chosen = {item: min(near, key=lambda part: (part[1] - part[0], part)) for item, near in said_in.items()}
    if label.ordered and not _is_in_order(said, label, said_in, chosen):
        return Verdict(keep=False, reason="wrong_order", score=score, extracted="")
    found = tuple((said.spans[a][0], said.spans[b - 1][1]) for a, b in chosen.values())
    return Verdict(
        keep=True, reason="contains_label", score=score, extracted=" | ".join(said.text[a:b] for a, b in found), found=found
    )


def clauses(said: Said) -> list[Part]:
    """Sentences, and where they have several parts each part, each two neighbours, and each part without its first words."""
    found: set[Part] = set()
    for first, end in said.sentences:
        breaks = said.breaks(first, end)
        edges = [first, *(i for i in range(first + 1, end) if breaks[i - first] or said.words[i] in SPLITS), end]
        parts = [(a, b) for a, b in itertools.pairwise(edges) if a < b]
        parts = [(next((i for i in range(a, b) if said.words[i] not in SPLITS), b), b) for a, b in parts]
        parts = [(a, b) for a, b in parts if a < b]
        found |= {*parts, *((a, d) for (a, _), (_, d) in itertools.pairwise(parts))}
    return sorted(found, key=lambda part: (part[1], part[0]))


def _is_in_order(said: Said, label: Sentences, said_in: dict[str, list[Part]], chosen: dict[str, Part]) -> bool:
    named = sorted(((item, a, b) for item, (a, b) in chosen.items()), key=lambda one: one[1])
    apart = all(one[2] <= other[1] for one, other in itertools.pairwise(named))
    told = [item for item, _, _ in named]
    happened = in_time(said, named) if apart else told
    if apart and happened != told:
        return happened == list(label.items)
    at = 0
    for item in label.items:
        fitting = [part for part in said_in[item] if part[0] >= at]
        if not fitting:
            return False
        at = min(fitting, key=lambda part: (part[1], -part[0]))[1]
    return True


def _is_opposite(said: Said, item: str, part: Part) -> bool:
    """Whether a particle is turned round: turns off for turns on."""
    wish, words = label_words(item), said.words[part[0] : part[1]]
    for particle in wish:
        same = (particle, *PARTICLES.get(particle, ()))
        if OPPOSITE.get(particle) in words and not any(word in words for word in same):
            return True
    return False


def _is_denied(said: Said, item: str, part: Part) -> bool:
    """Whether a word that the item shares with the clause is denied or left open there."""
    first, end = said.sentence_of(part[0])
    sentence = said.words[first:end]
    own = frozenset(word for word in label_words(item) if word not in NEGATIONS and not word.endswith("n't"))
    flags = stances(sentence, said.breaks(first, end), own)
    forms = frozenset(form for word in content_of(item) for form in lemmas(word))
    shared = [i - first for i in range(*part) if not forms.isdisjoint(lemmas(said.words[i]))]
    is_open = any(flags[i] == OPEN for i in shared)
    is_denied = any(flags[i] == DENIED for i in shared) or (bool(shared) and dismissed_after(sentence, shared[-1] + 1))
    return is_open or is_denied != _is_negative(item)


def _is_negative(item: str) -> bool:
    """Whether a gold sentence denies something itself, so that who says the same denies it too."""
    return any(word in NEGATIONS or word.endswith("n't") for word in label_words(item))
