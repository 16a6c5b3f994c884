"""Pins how further multiple-choice benchmarks are read, and that answers to them are judged as the published scorers judge them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import LETTER, clips_of, error_of, scored, write
from engine.labels import Choice
from engine.verify.verdict import VerifySpec, verify

MME: dict[str, Any] = {
    "video_id": "001",
    "duration": "short",
    "domain": "Knowledge",
    "sub_category": "Astronomy",
    "url": "https://y.com/watch?v=fFj-9",
}
ASKED = {"question_id": "001-1", "task_type": "Counting Problem", "question": "How many?", "answer": "C"}
TASK = "Select the best answer to the following multiple-choice question based on the video"
RESPOND = "Respond with only the letter (A, B, C, or D) of the correct option.\nHow many?\nA. One.\nB. Two.\nC. Three.\nD. Four.\n"
FOUR = ["A. One.", "B. Two.", "C. Three.", "D. Four."]


def test_videomme_as_parquet_and_as_json(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([MME | ASKED | {"videoID": "fFj-9", "options": FOUR}]), tmp_path / "test.parquet")
    write(tmp_path, {"videomme.json": [MME | {"questions": [ASKED | {"options": FOUR}]}]})
    videos = write(tmp_path, {"data/fFj-9.MP4": None}) / "data"
    [from_parquet] = clips_of("videomme", tmp_path / "test.parquet", videos)
    [from_json] = clips_of("videomme", tmp_path / "videomme.json", videos)
    assert from_parquet == from_json
    assert from_json.question == f"{TASK}. {RESPOND}The best answer is:"
    assert from_json.label == Choice(option="C", options={"A": "One.", "B": "Two.", "C": "Three.", "D": "Four."})
    assert (from_json.clip_id, from_json.group) == ("001-1", "short/Knowledge/Astronomy")
    assert from_json.video == str(videos / "fFj-9.MP4")


def test_videomme_with_subtitles(tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [MME | {"questions": [ASKED | {"options": FOUR}]}]
    items.append(MME | {"url": "https://y.com/watch?v=none", "questions": [ASKED | {"question_id": "002-1", "options": FOUR}]})
    srt = '1\n00:00:00,480 --> 00:00:03,120\n<font size=".72c">Hi, 4.</font>\n\n2\n00:00:03,120 --> 00:00:05,000\n20 more\n'
    write(tmp_path, {"videomme.json": items, "subtitle/fFj-9.srt": srt, "data/fFj-9.mp4": None})
    spoken, silent = clips_of("videomme-subtitles", tmp_path / "videomme.json", tmp_path / "data")
    listed = "This video's subtitles are listed below:\nHi, 4.\n20 more\n"
    assert spoken.question == f"{listed}{TASK} and the subtitles. {RESPOND}The best answer is:"
    assert silent.question == f"{TASK}. {RESPOND}The best answer is:"


def test_videomme_of_another_version(tmp_path: Path) -> None:
    older = {"video_id": "001", "duration_category": "short", "url": "", "questions": [ASKED | {"choices": FOUR}]}
    write(tmp_path, {"older.json": [older], "bare.json": [MME | {"questions": [ASKED | {"options": ["One.", "Two."]}]}]})
    assert "older.json item 0 question 0 has no 'options'; is it of another format?" in error_of(
        "videomme", tmp_path / "older.json"
    )
    assert "its options ['One.', 'Two.'] are not lettered A to D" in error_of("videomme", tmp_path / "bare.json")


def test_egoschema_asks_about_the_public_answers(tmp_path: Path) -> None:
    options = {f"option {number}": f"C does {number}." for number in range(5)}
    items = [{"q_uid": name, "google_drive_id": "15y", "question": "What is C doing?"} | options for name in ("0074", "0001")]
    write(tmp_path, {"questions.json": items, "subset_answers.json": {"0074": 3}})
    [clip] = clips_of("egoschema", tmp_path / "questions.json", "/videos")
    lines = "A. C does 0.\nB. C does 1.\nC. C does 2.\nD. C does 3.\nE. C does 4."
    assert (clip.video, clip.question) == ("/videos/0074.mp4", f"What is C doing?\n{lines}\n{LETTER}")
    assert (clip.label.text, clip.group) == ("D. C does 3.", "subset")
    del items[0]["question"]
    write(tmp_path, {"questions.json": items})
    assert "questions.json item 0 has no 'question'; is it of another format?" in error_of("egoschema", tmp_path / "questions.json")
    (tmp_path / "subset_answers.json").unlink()
    assert f"no such file: {tmp_path}/subset_answers.json" in error_of("egoschema", tmp_path / "questions.json")


STAR = {
    "question_id": "Interaction_T1_13",
    "question": "Which object was tidied up?",
    "video_id": "6H78U",
    "start": 11.1,
    "end": 19.6,
}
CHOICES = [
    {"choice_id": number, "choice": text} for number, text in enumerate(["The closet.", "The blanket.", "The food.", "The table."])
]


def test_star_asks_about_stretches_in_four_types(tmp_path: Path) -> None:
    item = STAR | {"answer": "The blanket.", "choices": CHOICES, "situations": {}}
    write(tmp_path, {"STAR_val.json": [item, item | {"question_id": "Feasibility_T6_2"}]})
    first, second = clips_of("star", tmp_path / "STAR_val.json", write(tmp_path / "Charades", {"6H78U.mp4": None}))
    assert (first.video, first.start_s, first.end_s) == (str(tmp_path / "Charades/6H78U.mp4"), 11.1, 19.6)
    lines = "A. The closet.\nB. The blanket.\nC. The food.\nD. The table."
    assert first.question == f"Which object was tidied up?\n{lines}\n{LETTER}"
    assert (first.label.text, first.group, second.group) == ("B. The blanket.", "Interaction", "Feasibility")
    write(tmp_path, {"STAR_test.json": [STAR | {"choices": CHOICES}]})
    assert "STAR_test.json item 0 has no 'answer'" in error_of("star", tmp_path / "STAR_test.json")
    write(tmp_path, {"STAR_val.json": [item | {"question_id": "7"}]})
    assert "question_id '7' begins with none of Interaction, Sequence" in error_of("star", tmp_path / "STAR_val.json")


def test_perceptiontest(tmp_path: Path) -> None:
    question = {"id": 2, "question": "What happens?", "options": ["It falls", "It stays", "It rolls"], "area": "physics"}
    about = {"reasoning": "predictive", "tag": ["motion"]}
    write(
        tmp_path, {"mc_question_valid.json": {"video_92": {"metadata": {}, "mc_question": [question | about | {"answer_id": 1}]}}}
    )
    [clip] = clips_of("perceptiontest", tmp_path / "mc_question_valid.json", "memory://bucket/videos")
    assert (clip.clip_id, clip.video, clip.group) == ("video_92/2", "memory://bucket/videos/video_92.mp4", "physics/predictive")
    assert clip.question == f"What happens?\nA. It falls\nB. It stays\nC. It rolls\n{LETTER}"
    assert clip.label.text == "B. It stays"
    write(tmp_path, {"mc_question_test.json": {"video_92": {"mc_question": [question | about]}}})
    assert "video_92 question 0 has no 'answer_id'" in error_of("perceptiontest", tmp_path / "mc_question_test.json")
    write(tmp_path, {"all_test.json": {"video_92": {"metadata": {}}}})
    assert "all_test.json video_92 has no 'mc_question'" in error_of("perceptiontest", tmp_path / "all_test.json")


UP_DOWN = Choice(option="B", options={"A": "a man goes up", "B": "a man goes down", "C": "nobody moves"})
YES = Choice(option="yes", options={"yes": "yes", "no": "no"})
CAPTION = Choice(option="A", options={"A": "A man is dunking.", "B": "A man is passing."})


@pytest.mark.parametrize(
    ("scorer", "label", "answer", "published", "ours"),
    [
        # PLLaVA tasks/eval/mvbench check_ans: the first word, without full stops, is in "(b)", or holds it
        ("mvbench", UP_DOWN, "(B) a man goes down", True, True),
        ("mvbench", UP_DOWN, "(B", True, True),
        ("mvbench", UP_DOWN, "(A) a man goes up", False, False),
        ("mvbench", UP_DOWN, "Best option:(B) a man goes down", False, True),  # there the prefix is cut off before
        ("mvbench", UP_DOWN, "a man goes down", False, True),  # there "a" is option A
        ("mvbench", UP_DOWN, "(B) a man goes up", True, False),  # letter and text disagree: no_single_answer
        # lmms-eval's MVBench mcq_acc and Video-MME's extract_characters_regex: the first single letter
        ("lmms-eval", UP_DOWN, "B. a man goes down", True, True),
        ("lmms-eval", UP_DOWN, "B", True, True),
        ("lmms-eval", UP_DOWN, "C", False, False),
        ("videomme", UP_DOWN, "The best answer is: B", True, True),
        ("videomme", UP_DOWN, "The correct answer is (B).", True, True),
        ("videomme", UP_DOWN, "Certainly. It is B.", False, True),  # there the C of "Certainly" is option C
        # TempCompass eval_multi-choice.py, eval_yes_no.py, eval_caption_matching.py without ChatGPT (--disable_llm)
        ("tempcompass", UP_DOWN, "B", True, True),
        ("tempcompass", UP_DOWN, "B) a man goes down", True, True),
        ("tempcompass", UP_DOWN, "A. a man goes up", False, False),
        ("tempcompass", UP_DOWN, "The man goes down.", False, True),  # there ChatGPT decides
        ("tempcompass", YES, "Yes, he is dunking.", True, True),
        ("tempcompass", YES, "No. He is passing.", False, False),
        ("tempcompass", YES, "not sure", False, False),  # there it begins with "no"
        ("tempcompass", CAPTION, "Caption A", True, True),
        ("tempcompass", CAPTION, "Caption A: A man is dunking.", True, True),
        ("tempcompass", CAPTION, "A man is dunking.", True, True),
        ("tempcompass", CAPTION, "Caption B.", False, False),
        # lmms-eval's Perception Test: nothing but the letter
        ("perceptiontest", UP_DOWN, "B", True, True),
        ("perceptiontest", UP_DOWN, "B.", False, True),
    ],
)
def test_answers_are_judged_as_by_the_published_scorer(
    scorer: str, label: Choice, answer: str, published: bool, ours: bool
) -> None:
    """`published` is what the scorer gives by its code; the lines where `ours` differs say why."""
    verdict = verify(answer, "Which?", label, "direct", True, VerifySpec())
    assert verdict.keep == ours, (scorer, verdict)
    assert published == scored(scorer, label, answer)
