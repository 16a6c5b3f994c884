"""Pins the metrics of texts against their libraries, with a real small sentence model where one is installed for tests."""

from typing import Any

import numpy as np
import pytest

from builders import a_clip, an_attempt
from engine.evaluate.metrics import metric_of, value_of
from engine.evaluate.metrics.statistics import spearman
from engine.evaluate.outcomes import Outcomes, Recorder
from engine.evaluate.scores import Means, scores_of
from engine.labels import Reference

pytestmark = [pytest.mark.similarity, pytest.mark.timeout(300)]
ANSWERS = ["A man rides a brown horse along the beach.", "The cat is sleeping on a sofa", "", "Two children play football."]
REFERENCES = [
    ("A man rides a horse on the beach.", "Somebody is riding along the sea."),
    ("A cat sleeps on the couch.",),
    ("The water boils.",),
    ("Two children play football in a park.",),
]


def measured(name: str, **means: Any) -> Outcomes:
    recorder, scores = Recorder(), scores_of([metric_of(name)], Means(**means))
    assert scores is not None
    clips = [a_clip(str(n), label=Reference(text=own[0], aliases=own[1:])) for n, own in enumerate(REFERENCES)]
    attempts = [an_attempt(str(n), text=text) for n, text in enumerate(ANSWERS)]
    recorder.add(clips, attempts)
    scores.add(clips[:2], attempts[:2])
    scores.add(clips[2:], attempts[2:])
    return recorder.outcomes(scores.by_source())


def test_bleu_of_a_corpus_is_sacrebleus() -> None:
    from sacrebleu.metrics.bleu import BLEU

    most = max(map(len, REFERENCES))
    streams = [[own[place] if place < len(own) else None for own in REFERENCES] for place in range(most)]
    expected = BLEU().corpus_score(ANSWERS, streams).score
    assert expected > 20
    assert value_of(metric_of("bleu"), measured("bleu")) == pytest.approx(expected)


def test_ranks_are_scipys() -> None:
    from scipy.stats import spearmanr

    draw = np.random.default_rng(0)
    values = np.round(draw.random((200, 2)), 1)
    assert spearman(values, np.ones(200)) == pytest.approx(spearmanr(values[:, 0], values[:, 1]).statistic)
    counts = draw.integers(0, 3, 200)
    repeated = np.repeat(values, counts, axis=0)
    assert spearman(values[counts > 0], counts[counts > 0].astype(float)) == pytest.approx(spearmanr(*repeated.T).statistic)


def test_meaning_is_near_where_the_words_are_and_an_empty_answer_has_none(minilm: str) -> None:
    values = measured("sts", sentence_model=minilm).columns["sts"][:, 0]
    assert values[0] > 0.7
    assert values[1] > 0.6
    assert values[2] == 0.0
    scores = measured("bert_score", bert_model=minilm).columns["bert_score"][:, 0]
    assert scores[2] == 0.0
    assert 0.5 < scores[[0, 1, 3]].min() <= scores.max() < 1.0, "answers and references of several lengths stay together"


def test_a_model_that_is_not_there_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"STS: '/no/where' cannot be loaded as a SentenceTransformer: "):
        scores_of([metric_of("sts")], Means(sentence_model="/no/where"))
