"""How similar two sentences are, 0..1: ROUGE-L recall, which needs no weights, or the cosine of a sentence model."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

from engine.language.vocabulary import FUNCTION_WORDS, NEGATIONS, PARTICLES, PEOPLE, PLACES
from engine.language.words import same_word, words

Similarity = Callable[[Sequence[str], Sequence[str]], NDArray[np.float64]]
"""(A label sentences, B answer sentences) -> float64[A,B]."""


def of(model: str) -> Similarity:
    """`model`: folder or hub id of a sentence-transformers model; "": ROUGE-L recall. Raises ValueError if it cannot be loaded."""
    return _cosine_of(model) if model else rouge_l_recall


def name(model: str) -> str:
    """The name that seals and `starloop verify --explain` record."""
    return f"cosine of {model}" if model else "ROUGE-L"


def rouge_l_recall(label_sentences: Sequence[str], answer_sentences: Sequence[str]) -> NDArray[np.float64]:
    """ROUGE-L recall (Lin 2004) on content lemmas: the share of a label sentence that an answer sentence repeats in its order.

    Recall and not the F-measure (engine/evaluate/text_metrics.py), because an answer may say more than its label.

    >>> rouge_l_recall(["The person opens the door."], ["He opened a red door", "He closed it"]).tolist()
    [[1.0, 0.0]]
    """
    recalls = [[_recall(label_text, answer_text) for answer_text in answer_sentences] for label_text in label_sentences]
    return np.array(recalls, dtype=np.float64).reshape(len(label_sentences), len(answer_sentences))


def _recall(label_text: str, answer_text: str) -> float:
    label_content = content_of(label_text)
    answer_content = [
        next((label_word for label_word in label_content if same_word(word, label_word)), word) for word in content_of(answer_text)
    ]
    return LCSseq.similarity(label_content, answer_content) / len(label_content) if label_content else 0.0


@lru_cache(maxsize=1 << 14)
def content_of(text: str) -> tuple[str, ...]:
    """The words of a sentence that describe the action, all words if none does. Negators are dropped: negation is judged apart."""
    all_words = words(text)
    affirmed = tuple(word for word in all_words if word not in NEGATIONS and not word.endswith("n't")) or all_words
    content = [word for word in affirmed if word not in FUNCTION_WORDS and not {word} & (PEOPLE | PLACES | PARTICLES.keys())]
    return tuple(content or affirmed)


@lru_cache(maxsize=2)
def _cosine_of(model: str) -> Similarity:
    try:
        from sentence_transformers import SentenceTransformer  # optional, and takes seconds to import
    except ImportError:
        raise ValueError(
            "verify.sentence_model needs the package sentence-transformers: pip install 'starloop[similarity]'"
        ) from None
    try:
        encoder: Any = SentenceTransformer(model, device="cpu", model_kwargs={"use_safetensors": True}, trust_remote_code=False)
    except Exception as error:
        raise ValueError(f"verify.sentence_model {model!r} cannot be loaded: {str(error).splitlines()[0]}") from None

    def cosine(label_sentences: Sequence[str], answer_sentences: Sequence[str]) -> NDArray[np.float64]:
        if not answer_sentences:
            return np.zeros((len(label_sentences), 0))
        vectors = encoder.encode([*label_sentences, *answer_sentences], normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors[: len(label_sentences)] @ vectors[len(label_sentences) :].T, dtype=np.float64)

    return cosine
