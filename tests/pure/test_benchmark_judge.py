"""Pins the judge of benchmarks: what it is asked, what its replies mean, which dimensions it scores, and that replies are kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import a_clip, an_attempt
from chat_server import MODEL, ChatServer, question_in
from engine.evaluate.judge.asker import REPLIES, Asker, warning_of
from engine.evaluate.judge.protocols import WORDINGS, Mark, Question, mark_of, refuse_unknown_wordings
from engine.evaluate.metrics import metric_of, value_of
from engine.evaluate.outcomes import Recorder
from engine.evaluate.scores import Means, scores_of
from engine.judging import BenchmarkJudge, Wording
from engine.labels import Reference
from engine.presets import load_config
from engine.run.checks import refuse_unknown_names
from engine.store.files import Store
from engine.verify.judging import JudgeSpec
from models.base import ModelAway


def asker_of(server: ChatServer, folder: Path, **fields: Any) -> Asker:
    section = BenchmarkJudge(url=server.url, model=MODEL, patience_s=0.2, concurrency=2, **fields)
    return Asker(JudgeSpec.of(section, 0, "evaluate.judge"), section.wordings, Store(str(folder)), lambda done: None)


@pytest.mark.parametrize(
    ("reply", "mark"),
    [
        ("{'pred': 'yes', 'score': 4.8}", Mark(4, True)),
        ('{"pred": "No", "score": 0}', Mark(0, False)),
        ("Sure: {'pred': 'no', 'score': '2'} as asked.", Mark(2, False)),
        ("<think>{'pred': 'no', 'score': 1}</think>{'pred': 'yes', 'score': 5}", Mark(5, True)),
        ("{'pred': 'yes', 'score': 4} {'pred': 'no', 'score': 1}", None),
        ("{'pred': 'maybe', 'score': 4}", None),
        ("{'pred': 'yes'}", None),
        ("{'pred': 'yes', 'score': 7}", None),
        ("{'pred': 'yes', 'score': nan}", None),
        ("yes, 5", None),
        ("{" * 5000, None),
        ("", None),
    ],
)
def test_what_a_reply_means(reply: str, mark: Mark | None) -> None:
    assert mark_of("qa", reply) == mark


def test_places_are_filled_once_and_every_protocol_has_its_own() -> None:
    question = Question("qa", "c", "What is {answer}?", "a {prediction}", "It is {question}.", "second?", "other")
    assert "What is {answer}?\nCorrect answer: a {prediction}\nPredicted answer: It is {question}." in question.text(
        WORDINGS["qa"].user
    )
    text = question.text(WORDINGS["vcg_consistency"].user)
    assert "second?" in text
    assert "other" in text
    assert len({wording.system for wording in WORDINGS.values()}) == 6
    with pytest.raises(ValueError, match=r"\[evaluate.judge.wordings.vcg\]: known are qa, vcg_correctness"):
        refuse_unknown_wordings({"vcg": WORDINGS["qa"]})
    with pytest.raises(ValueError, match=r"wordings.qa\]: its user text has no \{prediction\}; mark its place"):
        refuse_unknown_wordings({"qa": Wording(system="s", user="{answer}")})


def test_yes_and_no_are_an_accuracy_and_prose_counts_in_no_figure(tmp_path: Path) -> None:
    with ChatServer() as server:
        replies = {"p0": "{'pred': 'yes', 'score': 5}", "p1": "{'pred': 'no', 'score': 2}", "p2": "Both are fine."}
        server.says = lambda body: next(text for name, text in replies.items() if f"Predicted answer: {name}" in question_in(body))
        asker = asker_of(server, tmp_path)
        clips = [a_clip(str(n), label=Reference(text="he rides")) for n in range(4)]
        attempts = [an_attempt(str(n), text=f"p{n}") for n in range(3)] + [an_attempt("3", outcome="failed", text="")]
        metrics = [metric_of(name) for name in ("qa_accuracy", "qa_score")]
        recorder, scores = Recorder(), scores_of(metrics, Means(asker=asker))
        assert scores is not None
        recorder.add(clips, attempts)
        scores.add(clips, attempts)
        outcomes = recorder.outcomes(scores.by_source())
        asker.close()
    assert [value_of(metric, outcomes) for metric in metrics] == pytest.approx([1 / 3, 7 / 3])
    assert [int(metric.counted(outcomes).sum()) for metric in metrics] == [3, 3]
    facts = asker.facts()
    assert (facts["marks"], facts["new"], facts["unclear"], facts["models"]) == (3, 3, 1, [f"{MODEL} (toy-1)"])
    assert "1 of 3 replies of toy/eyes at" in warning_of(facts)
    assert "such as 'Both are fine.'" in warning_of(facts)


def test_dimensions_follow_the_file_and_a_pair_has_one_score_of_consistency(tmp_path: Path) -> None:
    with ChatServer() as server:
        of_task = {"facts alone": 5, "details alone": 4, "context alone": 3, "order in time": 2, "consistent": 1}
        server.says = lambda body: f"{{'score': {next(v for k, v in of_task.items() if k in body['messages'][0]['content'])}}}"
        asker = asker_of(server, tmp_path)
        ids = {"generic/0": "generic", "temporal/0": "temporal", "consistency/0/1": "consistency", "consistency/0/2": "consistency"}
        ids |= {"consistency/1/1": "consistency", "consistency/1/2": "consistency"}
        clips = [a_clip(name, label=Reference(text="he rides"), group=group) for name, group in ids.items()]
        attempts = [
            an_attempt(c.clip_id, text="x", outcome="failed" if c.clip_id == "consistency/1/1" else "rejected") for c in clips
        ]
        scores = scores_of([metric_of("vcg_score")], Means(asker=asker, dimensions=frozenset(range(5))))
        assert scores is not None
        scores.add(clips[:3], attempts[:3])
        scores.add(clips[3:], attempts[3:])
        values = scores.by_source()["vcg"]
        asker.close()
    nan = np.nan
    expected = [[5, 4, 3, nan, nan], [nan, nan, nan, 2, nan], [nan] * 5, [nan] * 4 + [1], [nan] * 5, [nan] * 4 + [0]]
    assert np.array_equal(values, np.array(expected), equal_nan=True)
    assert len(server.asked) == 5
    scores.add([a_clip("c", group="consistency")], [an_attempt("c")])
    with pytest.raises(ValueError, match=r"clip 'c' is to be scored in consistency, and is no half of a pair"):
        scores.by_source()


def test_a_judge_that_goes_away_loses_nothing_and_equal_questions_are_asked_once(tmp_path: Path) -> None:
    questions = [Question("qa", str(n), "What?", "label", f"p{n % 6}") for n in range(12)]
    with ChatServer() as server:
        server.says = lambda body: "{'pred': 'yes', 'score': 3}"
        server.trouble_of = lambda body: "" if len(server.answered) < 3 else "away"
        asker = asker_of(server, tmp_path)
        with pytest.raises(ModelAway, match=r"patience_s"):
            asker.marks(questions)
        asker.close()
        kept = Store(str(tmp_path)).names(REPLIES)
        assert len(kept) == 1
        server.trouble_of, before = lambda body: "", len(set(server.answered))
        again = asker_of(server, tmp_path)
        assert again.marks(questions) == [Mark(3, True)] * 12
        assert again.account.new == 6 - before, "of six different questions"
        assert 3 <= before < 6
        again.close()
        asked = len(server.asked)
        last = asker_of(server, tmp_path)
        assert last.marks(questions) == [Mark(3, True)] * 12
        assert len(server.asked) == asked
        other = asker_of(server, tmp_path, wordings={"qa": Wording(system="Judge.", user="{answer} {prediction}")})
        other.marks(questions[:1])
        assert len(server.asked) == asked + 1, "another wording is another question"
        other.close()


def test_a_refused_question_is_counted(tmp_path: Path) -> None:
    with ChatServer() as server:
        server.says = lambda body: "{'pred': 'yes', 'score': 3}"
        server.trouble_of = lambda body: "improper" if "Predicted answer: bad" in question_in(body) else ""
        asker = asker_of(server, tmp_path)
        assert asker.marks([Question("qa", n, "q", "a", n) for n in ("good", "bad")]) == [Mark(3, True), None]
        asker.close()
    assert "refused 1 of 2 questions, which count in no figure" in warning_of(asker.facts())


def test_a_judged_metric_without_a_judge_is_one_line() -> None:
    sets = "evaluate.sets=[{name='msvd', files='a.json', metrics=['qa_score']}]"
    with pytest.raises(
        ValueError, match=r"evaluation set 'msvd': the metric qa_score needs a judge; give --set evaluate.judge.url"
    ):
        refuse_unknown_names(load_config(None, [sets]))
    with pytest.raises(ValueError, match=r"the set heldout is measured by relative_l2, of which less is better"):
        refuse_unknown_names(load_config(None, ["evaluate.sets=[{name='heldout', metrics=['relative_l2']}]"]))
