"""Instruct data for the finetune's mixture: conversations about videos and pictures -> examples. An item's fields say its format.

{"id", "image" or "video", "conversations": [{"from": "human", "value"}, {"from": "gpt", "value"}, ...]}     LLaVA
{"image" or "video", "QA": [{"i": instruction, "q", "a"}, ...]}                                          VideoChat2-IT
{"video_id", "q", "a"}                                                                                   VideoInstruct

Each turn of a conversation becomes an example.
"""

import os
from collections.abc import Iterator
from typing import Any

from engine.ingest.adapters.source import Source, each
from engine.ingest.tables import Record, Row

VIDEO = "{video_id}.mp4"
"""File names for VideoInstruct, which has only ids."""
PLACEHOLDERS = ("<image>", "<video>", "<vid>")


def records(source: Source) -> Iterator[Record]:
    """Rows with clip_id, video, start_s, end_s, prompt and answer."""
    items = ((place, (number, item)) for number, (place, item) in enumerate(source.json_items("item")))
    return each(items, lambda numbered_item: _rows(source, *numbered_item))


def _rows(source: Source, number: int, item: dict[str, Any]) -> list[Row]:
    video = source.video_of(VIDEO, item) if "video_id" in item else item.get("video") or item.get("image")
    if not video:
        raise ValueError("neither video nor image; only conversations about one of them are read")
    if not isinstance(video, str):
        raise ValueError(f"its picture or video {video!r} is not one name; conversations about several are not read")
    turns = [(prompt.strip(), answer.strip()) for prompt, answer in _turns(item)]
    if not turns or not all(prompt and answer for prompt, answer in turns):
        raise ValueError("a turn without a question or without an answer")
    name = str(item.get("id") or f"{os.path.splitext(video)[0]}/{number}")
    window = {"start_s": item.get("start"), "end_s": item.get("end")}
    return [
        {"clip_id": f"{name}/{n}", "video": video, "prompt": prompt, "answer": answer} | window
        for n, (prompt, answer) in enumerate(turns)
    ]


def _turns(item: dict[str, Any]) -> list[tuple[str, str]]:
    if "conversations" in item:
        turns = item["conversations"]
        if [turn["from"] for turn in turns] != ["human", "gpt"] * (len(turns) // 2):
            raise ValueError("human and gpt do not take turns in its conversations")
        pairs = zip(turns[::2], turns[1::2], strict=True)
        return [(_plain(question["value"]), answer["value"]) for question, answer in pairs]
    if "QA" in item:
        return [("\n".join(part for part in (turn.get("i", ""), _plain(turn["q"])) if part), turn["a"]) for turn in item["QA"]]
    return [(_plain(item["q"]), item["a"])]


def _plain(text: str) -> str:
    for placeholder in PLACEHOLDERS:
        text = text.replace(placeholder, "")
    return text
