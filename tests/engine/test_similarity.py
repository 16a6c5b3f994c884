"""Pins the comparison of sentences by meaning, with a model of one vector for each word, and with a published one, MiniLM."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from engine.labels import Sentences
from engine.language import similarity
from engine.verify.verdict import VerifySpec, verify

pytestmark = pytest.mark.similarity
MEANINGS = {"opens": 0, "unlocks": 0, "leaves": 1, "departs": 1, "sings": 2, "he": 3, "door": 4, ".": 5}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a model: words with the same meaning have the same vector; he, door and the full stop have short ones."""
    from sentence_transformers import SentenceTransformer  # not where these tests are only collected
    from sentence_transformers.models import StaticEmbedding

    words = list(MEANINGS)
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)} | {"[UNK]": len(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    vectors = torch.zeros(len(words) + 1, 6)
    for i, word in enumerate(words):
        vectors[i, MEANINGS[word]] = 1.0 if MEANINGS[word] < 3 else 0.2
    folder = tmp_path_factory.mktemp("model") / "words"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=vectors.numpy())], device="cpu").save(str(folder))
    return str(folder)


def test_a_model_keeps_a_paraphrase_that_word_overlap_rejects(model: str) -> None:
    label = Sentences(items=("he opens door", "he leaves"), ordered=True)
    answer_text = "he unlocks door . he departs ."
    assert not verify(answer_text, "", label, "direct", True, VerifySpec()).keep
    assert verify(answer_text, "", label, "direct", True, VerifySpec(sentence_model=model)).keep
    assert not verify("he unlocks door . he sings .", "", label, "direct", True, VerifySpec(sentence_model=model)).keep


def test_the_comparison_has_a_name_for_the_record(model: str) -> None:
    assert similarity.name(model) == f"cosine of {model}"
    assert similarity.name("") == "ROUGE-L"


def test_a_missing_model_raises_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"verify.sentence_model '.*nothing' cannot be loaded") as error:
        similarity.of(str(tmp_path / "nothing"))
    assert "\n" not in str(error.value)


def test_a_real_model_knows_what_words_do_not_show(minilm: str) -> None:
    cosine = similarity.of(minilm)
    labels = ["The person cuts an onion into pieces.", "Somebody opens the front door."]
    answers = ["A man is chopping up onions.", "The entrance is being unlocked by a woman.", "A dog sleeps on the sofa."]
    values = cosine(labels, answers)
    assert values.shape == (2, 3)
    assert values[0, 0] > 0.7 > 0.5 > values[0, 1:].max()
    assert values[1, 1] > 0.5 > values[1, [0, 2]].max()
    # words alone see none of it
    assert similarity.of("")(labels, answers).max() < values[1, 1]


def test_a_real_model_keeps_a_paraphrase(minilm: str) -> None:
    label = Sentences(items=("The person cuts an onion.", "The person washes the pan."), ordered=True)
    paraphrase = "A man is cutting onions. Afterwards he cleans the frying pan."
    spec = VerifySpec(sentence_model=minilm)
    assert verify(paraphrase, "", label, "direct", True, spec).keep
    for wrong in (
        "A man is cutting onions. Afterwards he plays the guitar.",
        "He cleans the frying pan. Then he is cutting onions.",
    ):
        assert not verify(wrong, "", label, "direct", True, spec).keep
