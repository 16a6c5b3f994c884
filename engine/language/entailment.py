"""How far parts of a text entail a sentence, by a zero-shot classifier trained on natural language inference; on a CPU."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Entailment = Callable[[Sequence[str], Sequence[str]], NDArray[np.float64]]
"""(A label sentences, B parts of an answer) -> float64[A,B], each 0..1 by itself."""


def of(model: str) -> Entailment | None:
    """`model`: folder or hub id; "": none. Raises ValueError if it cannot be loaded, or has no class of entailment."""
    return _entailment_of(model) if model else None


@lru_cache(maxsize=2)
def _entailment_of(model: str) -> Entailment:
    from transformers import pipeline  # takes seconds to import, and only runs that name a model need it

    try:
        classify: Any = pipeline("zero-shot-classification", model=model, device="cpu", trust_remote_code=False)
    except Exception as error:
        raise ValueError(
            f"verify.entailment_model {model!r} cannot be loaded: {str(error).splitlines()[0]}; name a folder that holds it"
        ) from None
    classes = classify.model.config.label2id
    if not any(name.lower().startswith("entail") for name in classes):
        raise ValueError(f"verify.entailment_model {model!r} has the classes {', '.join(sorted(classes))}, and none for entailment")

    def entailed(label_sentences: Sequence[str], parts: Sequence[str]) -> NDArray[np.float64]:
        results = classify([*parts], [*dict.fromkeys(label_sentences)], multi_label=True)
        by_part = [dict(zip(result["labels"], result["scores"], strict=True)) for result in results]
        return np.array([[scores[sentence] for scores in by_part] for sentence in label_sentences], dtype=np.float64)

    return entailed
