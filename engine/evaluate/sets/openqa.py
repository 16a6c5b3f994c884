"""Open-ended questions with short answers: ActivityNet-QA, MSVD-QA and MSRVTT-QA.

test_q.json:  [{"video_name": "1QIUV7WYKXg", "question", "question_id": "v_1QIUV7WYKXg_3"}]
test_a.json:  [{"answer": "no", "type": 3, "question_id": "v_1QIUV7WYKXg_3"}]
test_qa.json: [{"id": 201450, "video_id": 1451, "question", "answer"}]

The first two are those of MILVLG/activitynet-qa, and the form that Video-ChatGPT and Video-LLaVA gave to the other datasets; the
last one is that of xudejing/video-question-answering.

An answer is a reference: the metrics qa_accuracy and qa_score ask a judge, as Video-ChatGPT did; accuracy counts answers with the
same words, as the datasets' own scorers do. Questions are asked as they are. ActivityNet-QA's groups are its scorer's types; for
the others the groups are the question words by which their paper reports.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from engine.evaluate.sets.published import Published, reference
from engine.ingest.adapters.source import each
from engine.ingest.tables import Record, Row, text_of

FILES = "test_q.json, with test_a.json beside it, or for MSVD-QA and MSRVTT-QA test_qa.json; videos: the folder of the videos"
TYPES = (
    *("Motion", "Spatial Relation", "Temporal Relation"),
    *("Free/Yes or no", "Free/Color", "Free/Object", "Free/Location", "Free/Number", "Free/Other"),
)
"""ActivityNet-QA's, by number."""
WORDS = ("what", "who", "how", "when", "where")
MAPPING = "youtube_mapping.txt"
"""MSVD's: "-4wsuPCjDBc_5_15 vid1"; annotations say vid1, and most copies of the videos have the first name."""


@dataclass(frozen=True)
class Dataset:
    """Dataset("video", ".mp4", question_word): how its videos are called, and its groups."""

    prefix: str
    """Before what an annotation calls the video."""
    suffix: str
    group: Callable[[dict[str, Any]], str]
    before_numbers_only: bool = False
    """Whether an annotation that has no number has the video's whole name."""


def question_word(item: dict[str, Any]) -> str:
    """
    >>> question_word({"question": "who is singing?"}), question_word({"question": "is he singing?"})
    ('who', 'other')
    """
    first = re.split(r"\W", item["question"].strip().casefold(), maxsplit=1)[0]
    return first if first in WORDS else "other"


def numbered_type(item: dict[str, Any]) -> str:
    """Raises ValueError for a number that is none of ActivityNet-QA's types."""
    if item["type"] not in range(len(TYPES)):
        raise ValueError(f"type {item['type']!r} is none of 0 to {len(TYPES) - 1}")
    return TYPES[item["type"]]


ACTIVITYNET = Dataset("v_", ".mp4", numbered_type)
MSVD = Dataset("vid", ".avi", question_word, before_numbers_only=True)
MSRVTT = Dataset("video", ".mp4", question_word, before_numbers_only=True)


def records(dataset: Dataset, published: Published) -> Iterator[Record]:
    answers, clip_names = _answers(published), names_by_number(published)
    return each(published.source().json_items(), partial(_row, published, dataset, answers, clip_names))


def _answers(published: Published) -> dict[str, Any]:
    """By question_id; {} where the file with the questions has their answers too. Raises ValueError for one that is not there."""
    name = published.data.manifest.rpartition("/")[2]
    if not name.endswith("_q.json"):
        return {}
    path = published.beside(f"{name.removesuffix('_q.json')}_a.json")
    items = (item for _, item in published.source(path).json_items() if isinstance(item, dict))
    return {str(item.get("question_id")): item for item in items}


def names_by_number(published: Published) -> dict[str, str]:
    """MSVD's number of each video -> its name; {} where no such file is beside the annotations."""
    path = published.beside(MAPPING)
    if not published.has(path):
        return {}
    with text_of(path, published.storage) as lines:
        pairs = (line.split() for line in lines if line.strip())
        return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def _row(published: Published, dataset: Dataset, answers: dict[str, Any], clip_names: dict[str, str], item: dict[str, Any]) -> Row:
    if "answer" not in item:
        if (question_id := str(item["question_id"])) not in answers:
            raise ValueError(f"the file of answers has none of question {question_id}; take both from the same version")
        item |= answers[question_id]
    return {
        "clip_id": str(item["question_id"] if "question_id" in item else item["id"]),
        "video": _video(published, dataset, clip_names, str(item["video_name"] if "video_name" in item else item["video_id"])),
        "question": item["question"],
        "label": reference([item["answer"]]),
        "group": dataset.group(item),
    }


def _video(published: Published, dataset: Dataset, clip_names: dict[str, str], name: str) -> str:
    """The first of the names that a video may have for which there is one; else its usual name.

    An ActivityNet id may begin with "v_" itself; MSVD's test_q.json has "-4wsuPCjDBc_5_15", and its test_qa.json a number.
    """
    prefixed = f"{dataset.prefix}{name}"
    is_whole = name.startswith(dataset.prefix) or (dataset.before_numbers_only and not name.isdigit())
    usual = name if is_whole else prefixed
    names = [clip_names.get(usual, usual), prefixed, name]
    return published.video(next(filter(published.has_video, names), names[0]), dataset.suffix)
