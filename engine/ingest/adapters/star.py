"""STAR (Wu et al. 2021): questions about stretches of Charades videos, with four choices each."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from engine.ingest.adapters.source import Source, each, worded
from engine.ingest.tables import Record, Row
from engine.labels import Choice

VIDEO = "{video_id}.mp4"


def records(source: Source) -> Iterator[Record]:
    return each(source.json_items("item"), partial(_row, source))


def _row(source: Source, item: dict[str, Any]) -> Row:
    texts = [choice["choice"] for choice in item["choices"]]
    if item["answer"] not in texts:
        raise ValueError(f"the answer {item['answer']!r} is not one of its choices")
    options = {chr(ord("A") + i): text for i, text in enumerate(texts)}
    label = Choice(option=chr(ord("A") + texts.index(item["answer"])), options=options)
    return {
        "clip_id": item["question_id"],
        "video": source.video_of(VIDEO, item),
        "start_s": item["start"],
        "end_s": item["end"],
        "question": choices(item["question"], options),
        "label": worded(label),
        "split": source.split_of(),
    }


def choices(question: str, options: dict[str, str]) -> str:
    """The question with its choices, a line for each.

    >>> print(choices("What is it?", {"A": "a cup", "B": "a door"}))
    What is it?
    A. a cup
    B. a door
    """
    return "\n".join([question, *(f"{key}. {text}" for key, text in options.items())])
