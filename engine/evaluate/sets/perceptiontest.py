"""Perception Test (Patraucean et al. 2023, google-deepmind/perception_test): its task of multiple choice, three options each.

mc_question_valid.json, or all_valid.json:
    {"video_9253": {"metadata": {...}, "mc_question": [{"id": 0, "question", "options": [...], "answer_id": 1,
                    "area": "physics", "reasoning": "descriptive", "tag": ["motion"]}]}}

A group is the skill area and the type of reasoning, "physics/descriptive"; the published figure is top-1 accuracy over all
questions. The question ends with lmms-eval's wording; there is no published one.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from engine.evaluate.sets.published import Published, nth_choice, options_of, question_of
from engine.ingest.adapters.source import each, parts
from engine.ingest.tables import Record, Row

FILES = "mc_question_valid.json of the Perception Test (its test set has no public answers); videos: the folder with VIDEO_ID.mp4"


def records(published: Published) -> Iterator[Record]:
    path = published.data.manifest
    videos = ((f"{path} {name}", (name, item)) for name, item in published.source().json_pairs(""))
    return each(parts(videos, lambda video: _of_video(*video)), partial(_row, published))


def _of_video(name: str, item: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(f"question {number}", (name, question)) for number, question in enumerate(item["mc_question"])]


def _row(published: Published, asked_about: tuple[str, dict[str, Any]]) -> Row:
    video, question = asked_about
    options = options_of(question["options"])
    return {
        "clip_id": f"{video}/{question['id']}",
        "video": published.video(video),
        "question": question_of(question["question"], options),
        "label": nth_choice(options, question["answer_id"]),
        "group": f"{question['area']}/{question['reasoning']}",
    }
