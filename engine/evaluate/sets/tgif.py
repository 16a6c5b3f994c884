"""TGIF-QA (Jang et al. 2017, YunseokJANG/tgif-qa): questions about animated GIFs, in tables with tabs that are called .csv.

Test_frameqa_question.csv:    gif_name question answer type vid_id key description    type 0 object, 1 number, 2 color, 3 location
Test_action_question.csv:     gif_name question a1 a2 a3 a4 a5 answer vid_id key      answer: 0 for a1; Test_transition_... likewise
Test_count_question.csv:      gif_name question answer vid_id key                     answer: 2 to 10, where 10 is 10 or more

What Video-ChatGPT, Video-STaR and PLLaVA call TGIF-QA is its FrameQA, as test_q.json and test_a.json or as this table. Counts are
published as mean squared error, here as accuracy of the rounded number; the other tasks as accuracy. Options have no published
wording; the question ends with lmms-eval's.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from engine.evaluate.sets import openqa
from engine.evaluate.sets.published import Published, nth_choice, options_of, question_of, reference
from engine.ingest.adapters.source import each, whole_number, worded
from engine.ingest.tables import Record, Row
from engine.labels import Number

FILES = (
    "Test_frameqa_question.csv or another table of TGIF-QA, or test_q.json with test_a.json; videos: the folder with GIF_NAME.gif"
)
KINDS = ("Object", "Number", "Color", "Location")
COLUMNS = ("gif_name", "question", "answer")
FRAMEQA = openqa.Dataset("", ".gif", lambda item: "FrameQA")


def records(published: Published) -> Iterator[Record]:
    if published.data.manifest.endswith(".json"):
        return openqa.records(FRAMEQA, published)
    task = "Transition" if "transition" in published.data.manifest.rpartition("/")[2].casefold() else "Action"
    return each(published.source().csv(COLUMNS), partial(_row, published, task))


def _row(published: Published, task: str, row: Row) -> Row:
    label: dict[str, Any]
    question, group = row["question"], task
    if "a1" in row:
        options = options_of([row[f"a{number}"] for number in range(1, 6)])
        question, label = question_of(question, options), nth_choice(options, row["answer"])
    elif "type" in row:
        label, group = reference([row["answer"]]), f"FrameQA/{KINDS[whole_number(row['type'])]}"
    else:
        label, group = worded(Number(value=whole_number(row["answer"]), tolerance=0.0)), "Count"
    return {
        "clip_id": row["vid_id"],
        "video": published.video(row["gif_name"], ".gif"),
        "question": question,
        "label": label,
        "group": group,
    }
