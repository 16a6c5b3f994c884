"""Pins EILEV's measures: classes chosen by likelihood, their macro F1, and what shots give a class beside its training clips."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_clip
from engine.config import FewShot
from engine.evaluate.few_shot.classes import ClassTexts, class_texts, classify, macro_f1, texts_of
from engine.evaluate.few_shot.curve import curve
from engine.evaluate.few_shot.gains import gains, measure_of, trends
from engine.rows import Narrated
from engine.store.filesystems import Storage
from models.base import Likelihood

WEARER = "The camera wearer {verb} {noun}."


def a_row(shots: int, verb: str = "cut", chosen: str = "", control: str = "", **fields: object) -> Narrated:
    return Narrated(
        **{
            "set": "rare", "control": control, "shots": shots, "query": "q", "verb": verb, "noun": "x", "gold": "g", "text": "t",
            "rouge_l": 0.5, "sts": None, "verb_right": False, "noun_right": False, "failure": "", "shown": shots, "by_class": False,
            "verb_class": verb, "noun_class": "x", "chosen_verb": chosen, "chosen_noun": "",
        } | fields
    )  # type: ignore[arg-type]  # fmt: skip


def test_the_noun_is_chosen_after_the_chosen_verb_by_the_mean_over_its_own_tokens() -> None:
    """A word is a token; "cuts" is likely, "the onion" too, and what stands before a class's own words does not count."""
    likely = {"cuts": -0.1, "opens": -3.0, "up": -0.1, "picks": -2.0, "onion": -0.2, "pan": -4.0}
    batches = []

    def read(texts: list[str]) -> list[Likelihood]:
        batches.append(texts)
        likelihoods = []
        for text in texts:
            spans, at = [], 0
            for word in text.split(" "):
                spans.append((at, at + len(word)))
                at += len(word) + 1
            logprobs = tuple(likely.get(text[a:b], -0.5) for a, b in spans)
            likelihoods.append(Likelihood(text=text, spans=tuple(spans), logprobs=logprobs))
        return likelihoods

    texts = ClassTexts({"opens": "open", "picks up": "take", "cuts": "cut"}, {"the pan": "pan_(pot)", "the onion": "onion"})
    assert classify(read, WEARER, texts) == ("cut", "onion")  # type: ignore[arg-type]
    assert batches == [
        ["The camera wearer opens", "The camera wearer picks up", "The camera wearer cuts"],
        ["The camera wearer cuts the pan", "The camera wearer cuts the onion"],
    ]
    assert classify(read, "The {noun} {verb}.", texts) == ("cut", "onion")  # type: ignore[arg-type]
    assert batches[2] == ["The the pan", "The the onion"]


def test_classes_come_from_eilevs_texts_ego4ds_taxonomy_or_the_clips(tmp_path: Path) -> None:
    (tmp_path / "verbs.csv").write_text(
        'prompt,structured_verb\nputs,"put_(place,_leave)"\nplaces,"put_(place,_leave)"\nopens,open\n'
    )
    (tmp_path / "fho_lta_taxonomy.json").write_text(json.dumps({"verbs": ["cut"], "nouns": ["nut_(food)", "nut_(tool)", "bag"]}))
    files = {"verb": str(tmp_path / "verbs.csv"), "noun": str(tmp_path / "fho_lta_taxonomy.json")}
    texts = class_texts(files, [], Storage())
    assert texts.verbs == {"puts": "put_(place,_leave)", "places": "put_(place,_leave)", "opens": "open"}
    assert texts.nouns == {"the food nut": "nut_(food)", "the tool nut": "nut_(tool)", "the bag": "bag"}
    clips = [
        a_clip("a", verb="cut", noun="onion"),
        a_clip("b", verb="", verb_class="[other]", noun="lid", noun_class="lid_(cap,_lid)"),
    ]
    own = class_texts({"verb": "clips", "noun": "clips"}, clips, Storage())
    assert own.verbs == {"cuts": "cut"}
    assert own.nouns == {"the lid": "lid_(cap,_lid)", "the cap": "lid_(cap,_lid)", "the onion": "onion"}
    with pytest.raises(ValueError, match=r"few_shot.nouns: all texts of 'the_cap' are another class's too \(x\); give a CSV"):
        texts_of("noun", ["the cap", "the_cap"], "x")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "prompt,noun\nx,y\n", r"few_shot.verbs: .*a.csv has no classes \(KeyError\('structured_verb'\)\); give a CSV"),
        ("b.json", "[]", r"b.json has no classes"),
        ("c.json", "{", r"c.json has no classes"),
        ("d.csv", "prompt,structured_verb\n", r"d.csv has no rows; fill it in"),
        ("e.csv", "prompt,structured_verb\n,open\n", r"e.csv has an empty prompt; fill it in"),
    ],
)
def test_a_file_without_classes_is_one_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        class_texts({"verb": str(tmp_path / name), "noun": "clips"}, [], Storage())
    assert "\n" not in str(error.value)


def test_verbs_and_nouns_are_chosen_together() -> None:
    with pytest.raises(ValueError, match=r"set few_shot.verbs and few_shot.nouns, or none"):
        FewShot(verbs="clips")
    with pytest.raises(ValueError, match=r"few_shot.bert_baseline needs the model"):
        FewShot(bert_baseline="x.tsv")


def test_f1_counts_queries_of_known_classes_and_a_lost_video_as_wrong() -> None:
    texts = ClassTexts({"cuts": "cut", "opens": "open"}, {"the x": "x"})
    rows = [a_row(4, "cut", "cut"), a_row(4, "cut", "open"), a_row(4, "open", "open"), a_row(4, "[other]", "cut"), a_row(4, "open")]
    [point] = curve(rows, {"q": "a.mp4"}, classes=texts)
    # cut: 1 of 2 golds and 1 choice; open: 1 of 2 golds and 2 choices
    assert point.verb_f1 == round((2 / 3 + 2 / 4) / 2, 4)
    assert (point.noun_f1, curve(rows, {"q": "a.mp4"})[0].verb_f1) == (None, None)
    assert macro_f1([]) == 0.0


def test_gains_are_of_the_fewest_and_the_most_shots_beside_training_clips() -> None:
    rows = [
        a_row(0, "cut", sts=0.2),
        a_row(0, "cut", sts=0.4),
        a_row(4, "cut", sts=0.9),
        a_row(16, "cut", sts=0.6),
        a_row(16, "cut", sts=0.8),
    ]
    rows += [a_row(0, "open", sts=0.5), a_row(16, "open", sts=0.4), a_row(16, "open", sts=1.0, control="shuffled")]
    trained = [a_clip("a", verb="cut", noun="x"), a_clip("b", verb="cut", noun="x"), a_clip("c", verb="open", noun="x")]
    assert measure_of(rows) == measure_of([replace(row, sts_cross=0.1) for row in rows]) == "sts"
    table = {gain.name: gain for gain in gains(rows, trained, "sts")}
    assert (table["cut"].trained, table["cut"].queries, table["cut"].before, table["cut"].after, table["cut"].gain) == (
        2,
        2,
        0.3,
        0.7,
        0.4,
    )
    assert (table["open"].trained, table["open"].gain) == (1, -0.1)
    assert (table["x"].kind, table["x"].trained) == ("noun", 3)
    assert gains([a_row(4)], trained, "rouge_l") == []


def test_a_correlation_needs_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ValueError, match=r"correlation needs the package scipy: pip install 'starloop\[metrics\]'"):
        trends([])
