"""How alike two sentences are, 0..1: by a sentence-embedding model where one is given, else by ROUGE-L, which needs no weights."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

from engine.language.vocabulary import FUNCTION_WORDS, NEGATIONS, PARTICLES, PEOPLE, PLACES
from engine.language.words import same_word, words

Similarity = Callable[[Sequence[str], Sequence[str]], NDArray[np.float64]]
"""(A gold sentences, B said ones) -> float64[A,B]."""


def of(model: str) -> Similarity:
    """`model`: folder or hub id of a sentence-transformers model; "" for ROUGE-L. Raises ValueError where it cannot be loaded."""
    return _embedded(model) if model else rouge_l


def name(model: str) -> str:
    """What goes on record."""
    return f"cosine of {model}" if model else "ROUGE-L"


def rouge_l(gold: Sequence[str], said: Sequence[str]) -> NDArray[np.float64]:
    """ROUGE-L recall (Lin 2004) on lemmas without function words: the share of a gold sentence that is said, in its order.

    Recall, because an answer says more than its label does.

    >>> rouge_l(["The person opens the door."], ["He opened a red door", "He closed it"]).tolist()
    [[1.0, 0.0]]
    """
    return np.array([[_recall(a, b) for b in said] for a in gold], dtype=np.float64).reshape(len(gold), len(said))


def _recall(gold: str, said: str) -> float:
    wanted = content_of(gold)
    given = [next((wish for wish in wanted if same_word(word, wish)), word) for word in content_of(said)]
    return LCSseq.similarity(wanted, given) / len(wanted) if wanted else 0.0


@lru_cache(maxsize=1 << 14)
def content_of(text: str) -> tuple[str, ...]:
    """The words of a sentence that say what happens."""
    found = words(text)
    found = tuple(word for word in found if word not in NEGATIONS and not word.endswith("n't")) or found  # asked elsewhere
    content = [word for word in found if word not in FUNCTION_WORDS and not {word} & (PEOPLE | PLACES | PARTICLES.keys())] or found
    return tuple(content)


@lru_cache(maxsize=2)
def _embedded(model: str) -> Similarity:
    try:
        from sentence_transformers import SentenceTransformer  # an extra, and seconds to import
    except ImportError:
        raise ValueError(
            "verify.sentence_model needs the package sentence-transformers: pip install 'starloop[similarity]'"
        ) from None
    try:
        encoder: Any = SentenceTransformer(model, device="cpu", model_kwargs={"use_safetensors": True}, trust_remote_code=False)
    except Exception as error:
        raise ValueError(f"verify.sentence_model {model!r} cannot be loaded: {str(error).splitlines()[0]}") from None

    def cosine(gold: Sequence[str], said: Sequence[str]) -> NDArray[np.float64]:
        if not said:
            return np.zeros((len(gold), 0))
        vectors = encoder.encode([*gold, *said], normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors[: len(gold)] @ vectors[len(gold) :].T, dtype=np.float64)

    return cosine
