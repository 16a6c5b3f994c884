"""How close a text is to a person's: BLEU, ROUGE-L, BERTScore, and STS by two kinds of sentence models. All are 0..1, except for a
BERTScore that is rescaled, which may be negative.

`golds` are a person's texts, `texts` a model's, one for each gold. What needs a library imports it when it is called; the extra
`metrics` has them all, and where it is missing a ValueError says so in one line.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

BATCH_TEXTS = 64
"""Texts that go through a model at once."""
MOST_TOKENS = 512
"""Of a text for BERTScore; what comes after them is cut off."""
DEEPEST = {"roberta-large": 17, "roberta-base": 10, "bert-base-uncased": 9, "microsoft/deberta-xlarge-mnli": 40}
"""The layer of a model that BERTScore's authors chose by people's judgements (bert_score, utils.py); of others the last one."""


def rouge_l(golds: Sequence[str], texts: Sequence[str]) -> list[float]:
    """ROUGE-L's F-measure of each text (Lin 2004): twice the longest common subsequence of words, over the sum of both lengths.

    Words are runs of letters and digits in lower case, without stemming, as in Google's rouge_score and in torchmetrics, which
    takes ASCII only.

    >>> rouge_l(["The dax zups.", "the dax zups", "a"], ["the dax zups", "the wug zups now", ""])
    [1.0, 0.5714285714285714, 0.0]
    """
    return [_rouge_l(gold, text) for gold, text in zip(golds, texts, strict=True)]


def _rouge_l(gold: str, text: str) -> float:
    gold_words, text_words = (re.findall(r"[^\W_]+", sentence.lower()) for sentence in (gold, text))
    if not gold_words or not text_words:
        return 0.0
    return 2 * float(LCSseq.similarity(gold_words, text_words)) / (len(gold_words) + len(text_words))


def bleu(golds: Sequence[str], texts: Sequence[str]) -> float:
    """BLEU of all texts together (Papineni 2002): n-grams of up to 4 words, one reference each, no smoothing.

    Words are what spaces divide, with their case, as in torchmetrics' BLEUScore, which EILEV uses. 0.0 for no texts.
    """
    corpus_bleu = _imported("sacrebleu", "BLEU").corpus_bleu
    if not texts:
        return 0.0
    score = corpus_bleu(list(texts), [list(golds)], smooth_method="none", tokenize="none", force=True)
    return float(score.score) / 100


def sts_bi(golds: Sequence[str], texts: Sequence[str], model: str, device: str = "cpu") -> list[float]:
    """STS of each text by a bi-encoder: the cosine of two sentence vectors (EILEV: sentence-transformers/all-mpnet-base-v2).

    `model`: folder or hub id. Raises ValueError if it cannot be loaded.
    """
    encoder = _loaded("SentenceTransformer", model, device)
    if not texts:
        return []
    vectors = encoder.encode([*golds, *texts], batch_size=BATCH_TEXTS, normalize_embeddings=True, show_progress_bar=False)
    return [float(gold @ text) for gold, text in zip(vectors[: len(golds)], vectors[len(golds) :], strict=True)]


def sts_cross(golds: Sequence[str], texts: Sequence[str], model: str, device: str = "cpu") -> list[float]:
    """STS of each text by a cross-encoder, which reads both at once (EILEV: cross-encoder/stsb-roberta-large). As sts_bi."""
    encoder = _loaded("CrossEncoder", model, device)
    if not texts:
        return []
    pairs = list(zip(texts, golds, strict=True))
    scores = encoder.predict(pairs, batch_size=BATCH_TEXTS, show_progress_bar=False)
    if np.ndim(scores) != 1:
        raise ValueError(f"{model} gives {np.shape(scores)[-1]} scores for a pair of sentences; choose a cross-encoder for STS")
    return [float(score) for score in scores]


def bert_score(golds: Sequence[str], texts: Sequence[str], model: str, baseline: str = "", device: str = "cpu") -> list[float]:
    """BERTScore's F1 of each text (Zhang 2020): tokens matched by the cosine of their vectors (EILEV: roberta-large).

    `model`: folder or hub id of an encoder. `baseline`: the file of bert_score's rescale_baseline for that model, by which the
    score is rescaled; "": as it is. Raises ValueError if either cannot be read.

    It is written out here because torchmetrics 1.9 pairs texts with other texts' golds where their lengths sort differently
    (Lightning-AI/torchmetrics issue 2728), and bert_score had its last release in 2023.
    """
    encoder, tokenizer = _loaded_encoder(model, device)
    layers = encoder.config.num_hidden_layers
    layer = min(layers, DEEPEST.get(model, DEEPEST.get(model.rstrip("/").rpartition("/")[2], layers)))
    floor = _floor(baseline, layer) if baseline else 0.0
    vectors = [vector for batch in _batches([*texts, *golds]) for vector in _vectors(encoder, tokenizer, batch, layer)]
    pairs = zip(vectors[: len(texts)], vectors[len(texts) :], strict=True)
    return [(_matched(text, gold) - floor) / (1 - floor) for text, gold in pairs]


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[start : start + BATCH_TEXTS] for start in range(0, len(texts), BATCH_TEXTS))


def _vectors(encoder: Any, tokenizer: Any, texts: Sequence[str], layer: int) -> list[NDArray[np.float32]]:
    """Unit vectors [L,D] of each text's tokens, of which the first and the last are the tokenizer's own."""
    import torch  # with the extra's other libraries, in seconds

    most = min(MOST_TOKENS, tokenizer.model_max_length)
    inputs = tokenizer(list(texts), padding=True, truncation=True, max_length=most, return_tensors="pt").to(encoder.device)
    with torch.inference_mode():
        states = encoder(inputs["input_ids"], inputs["attention_mask"], output_hidden_states=True).hidden_states[layer].float()
    units = torch.nn.functional.normalize(states, dim=-1).cpu().numpy()
    return [own[mask] for own, mask in zip(units, inputs["attention_mask"].bool().cpu().numpy(), strict=True)]


def _matched(text: NDArray[np.float32], gold: NDArray[np.float32]) -> float:
    """F1 of the best match of each token; the tokenizer's own two tokens count for none, and may be matched with."""
    cosines = text @ gold.T
    if min(cosines.shape) <= 2:
        return 0.0
    precision, recall = float(cosines.max(1)[1:-1].mean()), float(cosines.max(0)[1:-1].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _floor(baseline: str, layer: int) -> float:
    """The F1 of unrelated texts, in the last column of the layer's line."""
    try:
        rows = [line.split(",") for line in Path(baseline).read_text().splitlines()[1:]]
        return next(float(row[3]) for row in rows if int(row[0]) == layer)
    except (OSError, ValueError, IndexError, StopIteration) as error:
        raise ValueError(
            f"{baseline} has no baseline of layer {layer} for BERTScore ({error!r}); give the model's file of bert_score/"
            "rescale_baseline, or none"
        ) from None


def refuse_missing(metrics: Sequence[str]) -> None:
    """Raises ValueError where the library of a metric is missing: bleu, sts_bi, sts_cross, bert_score or correlation."""
    libraries = {
        "bleu": "sacrebleu",
        "sts_bi": "sentence_transformers",
        "sts_cross": "sentence_transformers",
        "bert_score": "transformers",
        "correlation": "scipy",
    }
    for metric in metrics:
        if find_spec(libraries[metric]) is None:
            raise _missing(libraries[metric], metric)


def _missing(module: str, metric: str) -> ValueError:
    return ValueError(f"{metric} needs the package {module.replace('_', '-')}: pip install 'starloop[metrics]'")


def _imported(module: str, metric: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise _missing(module, metric) from None


@lru_cache(maxsize=4)
def _loaded(kind: str, model: str, device: str) -> Any:
    """`kind`: the class of sentence-transformers."""
    library = _imported("sentence_transformers", f"STS by {model}")
    try:
        return getattr(library, kind)(model, device=device, model_kwargs={"use_safetensors": True}, trust_remote_code=False)
    except Exception as error:
        raise ValueError(f"STS: {model!r} cannot be loaded as a {kind}: {str(error).splitlines()[0]}") from None


@lru_cache(maxsize=2)
def _loaded_encoder(model: str, device: str) -> tuple[Any, Any]:
    transformers = _imported("transformers", "BERTScore")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        loaded = transformers.AutoModel.from_pretrained(model, use_safetensors=True)
    except Exception as error:
        raise ValueError(f"BERTScore: {model!r} cannot be loaded: {str(error).splitlines()[0]}") from None
    return loaded.to(device).eval(), tokenizer
