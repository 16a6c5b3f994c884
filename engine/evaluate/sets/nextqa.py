"""NExT-QA (Xiao et al. 2021, doc-doc/NExT-QA and NExT-OE): multiple-choice and open-ended questions about VidOR's videos, in CSV.

multiple choice: video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4    answer is the option's number
open-ended:      video,frame_count,width,height,question,answer,qid,type                   answer is a text

A group is the question's type, "C/CW": causal (CW why, CH how), temporal (TN before or after, TC when), descriptive (DC count, DL
place, DB yes or no, DO other). As in eval_mc.py TP counts as TN. The published evaluation of multiple choice compares numbers that
its models choose, so it has no wording; the question ends with lmms-eval's. Open-ended answers are measured by WUPS, which needs
WordNet; here they are references, with those of add_reference_answer_test.json where that file is beside test.csv.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from engine.evaluate.sets.published import Published, nth_choice, options_of, question_of, reference
from engine.ingest.adapters.source import each
from engine.ingest.cells import text_of
from engine.ingest.tables import Record, Row

FILES = "val.csv or test.csv of NExT-QA, or of NExT-OE; videos: a folder with VIDEO.mp4, or with VidOR's folders"
NUM_OPTIONS = 5
TYPES = frozenset("CW CH TN TC TP DC DL DB DO".split())
SHORT = "Answer the question with a short phrase."


def records(published: Published) -> Iterator[Record]:
    more = _more_answers(published)
    return each(published.source().csv(("video", "question", "qid", "type")), partial(_row, published, more))


def _more_answers(published: Published) -> Mapping[str, Any]:
    """Video -> number of the question -> a second answer; only the test set of NExT-OE has such a file."""
    name = published.data.manifest.rpartition("/")[2].rpartition(".")[0]
    path = published.beside(f"add_reference_answer_{name}.json")
    return dict(published.source(path).json_pairs("")) if published.has(path) else {}


def _row(published: Published, more: Mapping[str, Any], row: Row) -> Row:
    video, number, kind = text_of(row["video"]), text_of(row["qid"]), row["type"]
    if kind not in TYPES:
        raise ValueError(f"type {kind!r} is none of {', '.join(sorted(TYPES))}")
    if "a0" in row:
        options = options_of([row[f"a{i}"] for i in range(NUM_OPTIONS)])
        question, label = question_of(row["question"], options), nth_choice(options, row["answer"])
    else:
        second = more.get(video, {}).get(number)
        question, label = f"{row['question']}\n{SHORT}", reference([row["answer"], *([second] if second else [])])
    return {
        "clip_id": f"{video}_{number}",
        "video": published.video(video),
        "question": question,
        "label": label,
        "group": f"{kind[0]}/{'TN' if kind == 'TP' else kind}",
    }
