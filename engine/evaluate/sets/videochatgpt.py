"""Video-ChatGPT's benchmark (Maaz et al. 2023, mbzuai-oryx/Video-ChatGPT): free answers about 500 videos, in five dimensions.

generic_qa.json, temporal_qa.json: [{"video_name": "v_p1QGn0IzfW0", "Q", "A"}]
consistency_qa.json: [{"video_name", "Q1", "Q2", "A"}]

A judge scores generic answers in correctness, detail and context, temporal ones in their order in time, and of two answers to Q1
and Q2 how consistent they are; these two are the clips consistency/N/1 and consistency/N/2. A group is the file. Questions are
asked as they are; the prompt sets vcg and mvbench-34b of docs/prompts.md have PLLaVA's system text.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from engine.evaluate.sets.published import Published, numbered, reference
from engine.ingest.adapters.source import each, parts
from engine.ingest.tables import Record, Row

FILES = "the folder Benchmarking_QA of Video-ChatGPT, or one of its three files; videos: the folder of its 500 videos"
GROUPS = ("generic", "temporal", "consistency")


def records(published: Published) -> Iterator[Record]:
    root = published.data.manifest.rstrip("/")
    below = published.files_below()
    name = root.rpartition("/")[2].removesuffix("_qa.json")
    if below is None and name not in GROUPS:
        raise ValueError(f"{root} is named like none of {', '.join(f'{group}_qa.json' for group in GROUPS)}")
    for group in GROUPS if below is not None else (name,):
        path = root if below is None else f"{root}/{group}_qa.json"
        questions = parts(numbered(published.source(path).json_items()), partial(_questions, group))
        yield from each(questions, partial(_row, published, group))


def _questions(group: str, numbered_item: tuple[int, dict[str, Any]]) -> list[tuple[str, Any]]:
    """By name: the clip's id, and the item with the question as Q."""
    number, item = numbered_item
    if group != "consistency":
        return [("", (f"{group}/{number}", item))]
    return [(f"Q{half}", (f"{group}/{number}/{half}", item | {"Q": item[f"Q{half}"]})) for half in (1, 2)]


def _row(published: Published, group: str, named_item: tuple[str, dict[str, Any]]) -> Row:
    clip_id, item = named_item
    return {
        "clip_id": clip_id,
        "video": published.video(item["video_name"]),
        "question": item["Q"],
        "label": reference([item["A"]]),
        "group": group,
    }
