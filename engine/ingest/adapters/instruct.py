"""Instruct data for the finetune's mixture: conversations about videos and pictures -> examples. An item's fields say its format.

{"id", "image" or "video", "conversations": [{"from": "human", "value"}, {"from": "gpt", "value"}, ...]}     LLaVA
{"image" or "video", "QA": [{"i": instruction, "q", "a"}, ...]}                                          VideoChat2-IT
{"video_id", "q", "a"}                                                                                   VideoInstruct

Each turn of a conversation becomes an example.
"""

import os
from collections.abc import Iterator
from typing import Any

from engine.ingest.adapters.source import Source, each, parts
from engine.ingest.tables import Record, Row

VIDEO = "{video_id}.mp4"
"""File names for VideoInstruct, which has only ids."""
PLACEHOLDERS = ("<image>", "<video>", "<vid>")


def records(source: Source) -> Iterator[Record]:
    """Rows with clip_id, video, start_s, end_s, prompt and answer."""
    items = ((place, (number, item)) for number, (place, item) in enumerate(source.json_items("item")))
    return each(parts(items, lambda numbered_item: _named_turns(source, *numbered_item)), _row)


def _named_turns(source: Source, number: int, item: dict[str, Any]) -> list[tuple[str, Row]]:
    """The turns of a conversation, by name, as rows whose texts are not checked yet."""
    video = _video_of(source, item)
    turns = _turns(item)
    if not turns:
        raise ValueError("a conversation without turns")
    name = str(item.get("id") or f"{os.path.splitext(video)[0]}/{number}")
    window = {"start_s": item.get("start"), "end_s": item.get("end")}
    return [
        (f"turn {n}", {"clip_id": f"{name}/{n}", "video": video, "prompt": prompt, "answer": answer} | window)
        for n, (prompt, answer) in enumerate(turns)
    ]


def _video_of(source: Source, item: dict[str, Any]) -> str:
    """The name by --video where it is given, else by the item's id, else the one that the item has."""
    if source.video or "video_id" in item:
        return source.video_of(VIDEO, {name: value for name, value in item.items() if isinstance(value, str | int | float)})
    video = item.get("video") or item.get("image")
    if not video:
        raise ValueError("neither video nor image; only conversations about one of them are read")
    if not isinstance(video, str):
        raise ValueError(f"its picture or video {video!r} is not one name; conversations about several are not read")
    return video


def _row(turn: Row) -> Row:
    prompt, answer = (text.strip() if isinstance(text, str) else "" for text in (turn["prompt"], turn["answer"]))
    prompt = _plain(prompt).strip()
    if not prompt or not answer:
        raise ValueError("a turn without a question or without an answer")
    return turn | {"prompt": prompt, "answer": answer}


def _turns(item: dict[str, Any]) -> list[tuple[Any, Any]]:
    if "conversations" in item:
        turns = item["conversations"]
        if [turn["from"] for turn in turns] != ["human", "gpt"] * (len(turns) // 2):
            raise ValueError("human and gpt do not take turns in its conversations")
        return [(question.get("value"), answer.get("value")) for question, answer in zip(turns[::2], turns[1::2], strict=True)]
    if "QA" in item:
        return [("\n".join(part for part in (turn.get("i", ""), turn.get("q")) if part), turn.get("a")) for turn in item["QA"]]
    return [(item["q"], item["a"])]


def _plain(text: str) -> str:
    for placeholder in PLACEHOLDERS:
        text = text.replace(placeholder, "")
    return text
