"""Pins the models of the published rules, on tiny ones: spans by extractive question answering, entailment; spaCy's stop words."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertTokenizerFast, DistilBertForQuestionAnswering, DistilBertForSequenceClassification

from engine.labels import Keywords, Sentences, TimeRange
from engine.language import entailment, spans
from engine.verify.tools import OWN_STOP_WORDS, ToolSpec
from engine.verify.tools import of as tools_of
from engine.verify.verdict import VerifySpec, verify
from readers import a_config, a_reader, save_tokenizer


def a_classifier(folder: Path, classes: tuple[str, ...] = ("contradiction", "neutral", "entailment")) -> str:
    torch.manual_seed(1)
    save_tokenizer(folder)
    config = a_config(n_layers=1, num_labels=len(classes), id2label=dict(enumerate(classes)))
    config.label2id = {name: number for number, name in enumerate(classes)}
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


def test_the_span_is_the_likeliest_one_in_whole_words(tmp_path: Path) -> None:
    extract = spans.of(a_reader(tmp_path / "reader", "cup"))
    assert extract is not None
    span = extract("what is there ?", "The cups sits on the table.")
    assert span is not None
    assert (span.text, span.start, span.end) == ("cups", 4, 8), "a word of two tokens is taken as a whole"
    assert span.score > 0.9
    far = "the table sits . " * 30 + "a cup"
    last = extract("what is there ?", far)
    assert last is not None
    assert (last.text, far[last.start : last.end]) == ("cup", "cup"), "of a long text every window is read"
    wordy = extract("what is there ? " * 60, "a cup")
    assert wordy is not None
    assert wordy.text == "cup", "a question longer than a window is cut"


def test_a_random_models_span_is_that_of_all_pairs(tmp_path: Path) -> None:
    """The same as an exhaustive search over pairs of tokens, of one window."""
    torch.manual_seed(3)
    folder = tmp_path / "random"
    save_tokenizer(folder)
    DistilBertForQuestionAnswering(a_config(n_layers=1)).save_pretrained(folder)
    extract = spans.of(str(folder))
    text, question = "he runs from the table to a cup . he jumps on it .", "what is there ?"
    tokenizer, model = BertTokenizerFast.from_pretrained(folder), DistilBertForQuestionAnswering.from_pretrained(folder).eval()
    inputs = tokenizer(question, text, return_tensors="pt")
    with torch.inference_mode():
        output = model(**{name: inputs[name] for name in ("input_ids", "attention_mask")})
    places = [place for place, sequence in enumerate(inputs.encodings[0].sequence_ids) if sequence == 1]
    starts, ends = (logits[0, places].double().softmax(0) for logits in (output.start_logits, output.end_logits))
    pairs = [(float(starts[i] * ends[j]), i, j) for i in range(len(places)) for j in range(i, min(i + 15, len(places)))]
    score, first, last = max(pairs)
    span = extract(question, text) if extract else None
    assert span is not None
    assert span.score == pytest.approx(score, abs=1e-6)
    offsets = inputs.encodings[0].offsets
    assert (span.start, span.end) == (offsets[places[first]][0], offsets[places[last]][1])


def test_what_reads_a_span_ignores_the_rest_of_the_answer(tmp_path: Path) -> None:
    reader = a_reader(tmp_path / "reader", "table")
    spec = VerifySpec(preset="code", span_model=reader)
    text, question = "A cup sits on the table.", "What is there?"
    assert verify(text, question, Keywords(text="cup"), "direct", True, spec).keep
    assert not verify(text, question, Keywords(text="cup", reads="span"), "direct", True, spec).keep
    assert verify(text, question, Keywords(text="table", reads="span"), "direct", True, spec).keep
    without = VerifySpec(preset="code")
    assert verify(text, question, Keywords(text="cup", reads="span"), "direct", True, without).keep, "no model: the whole answer"
    assert verify("", question, Keywords(text="cup", reads="span"), "direct", True, spec).reason == "label_missing"


def test_a_time_range_is_looked_for_in_a_span_that_is_sure(tmp_path: Path) -> None:
    label = TimeRange(start_s=2, end_s=5, duration_s=10)
    text = "He runs from 0.2 to 0.5. The table is there."
    sure = VerifySpec(preset="code", span_model=a_reader(tmp_path / "reader", "table"))
    assert verify(text, "?", label, "direct", True, VerifySpec(preset="code")).keep
    assert verify(text, "?", label, "direct", True, sure).reason == "no_answer"
    unsure = VerifySpec(preset="code", span_model=a_reader(tmp_path / "unsure"))
    assert verify(text, "?", label, "direct", True, unsure).keep, "a score of .6 or less: the whole answer is read"


def test_entailment_is_that_of_the_model(tmp_path: Path) -> None:
    folder = a_classifier(tmp_path / "nli")
    entailed = entailment.of(folder)
    assert entailed is not None
    labels, parts = ["he runs", "he jumps", "he runs"], ["he runs to the table", "he jumps"]
    scores = entailed(labels, parts)
    assert scores.shape == (3, 2)
    tokenizer, model = BertTokenizerFast.from_pretrained(folder), DistilBertForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        for row, label in enumerate(labels):
            for column, part in enumerate(parts):
                inputs = tokenizer(part, f"This example is {label}.", return_tensors="pt")
                logits = model(**{name: inputs[name] for name in ("input_ids", "attention_mask")}).logits[0]
                assert scores[row, column] == pytest.approx(float(logits[[0, 2]].softmax(0)[1]), abs=1e-5)


def test_a_classifier_label_goes_by_entailment(tmp_path: Path) -> None:
    folder = a_classifier(tmp_path / "nli")
    label = Sentences(items=("he runs", "he jumps"), ordered=True, compare="entailment")
    text = "he runs to the table and he jumps."
    entailed = entailment.of(folder)
    assert entailed is not None
    scores = entailed(label.items, ["he runs to the table", "he jumps"])
    best = scores.argmax(axis=1)
    expected = bool((scores.max(axis=1) >= 0.25).all() and best[1] >= best[0])
    verdict = verify(text, "", label, "direct", True, VerifySpec(preset="code", entailment_model=folder))
    assert verdict.keep is expected
    assert verdict.score == pytest.approx(float(np.mean(scores.max(axis=1))))
    by_words = verify(text, "", label, "direct", True, VerifySpec(preset="code"))
    assert by_words.score != pytest.approx(verdict.score), "without a model its sentences are compared"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"span_model": "/nowhere/reader"}, r"verify.span_model '/nowhere/reader' cannot be loaded: .*verify.span_model="),
        ({"entailment_model": "/nowhere/nli"}, r"verify.entailment_model '/nowhere/nli' cannot be loaded"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        tools_of(ToolSpec(**fields))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_a_classifier_without_entailment_is_refused(tmp_path: Path) -> None:
    folder = a_classifier(tmp_path / "mood", ("sad", "glad"))
    with pytest.raises(ValueError, match="has the classes glad, sad, and none for entailment"):
        tools_of(ToolSpec(entailment_model=folder))


def test_spacys_stop_words_are_spacys_or_one_line() -> None:
    try:
        from spacy.lang.en.stop_words import STOP_WORDS
    except ImportError:
        with pytest.raises(
            ValueError, match=r"verify.stop_words = \"spacy\" needs the package spacy: pip install 'starloop\[parse\]'"
        ):
            tools_of(ToolSpec(stop_words="spacy"))
        return
    assert tools_of(ToolSpec(stop_words="spacy")).stop_words == STOP_WORDS
    assert len(OWN_STOP_WORDS & STOP_WORDS) > 0.8 * len(STOP_WORDS)
