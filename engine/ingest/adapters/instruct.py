"""Instruct data for the finetune's mixture: conversations -> examples. An item's fields say its format.

{"id", "image" or "video", "conversations": [...]}     LLaVA, ShareGPT
{"images" or "videos": [name], "messages": [...]}      ms-swift, LLaMA-Factory; OpenAI's messages may name them in their parts
{"image" or "video", "QA": [...]}                      VideoChat2-IT
{"video_id", "q", "a"}                                 VideoInstruct

A conversation becomes one example, whatever the number of its turns; one without a video or picture is text alone.
"""

import json
import math
import os
import re
from collections.abc import Iterator
from typing import Any

from engine.ingest.adapters.source import Source, each
from engine.ingest.adapters.turns import Exchanges, Refused, Shown, name_of, talk_of
from engine.ingest.tables import Record, Row

VIDEO = "{video_id}.mp4"
"""File names for VideoInstruct, which has only ids."""
TAG = re.compile(r"<(?:image|video|vid)>")
"""Where a question shows what the conversation is about. LLaVA moves it to the front of its question, and so does this."""
LOOSE_TAG = re.compile(rf"^\s*{TAG.pattern}|{TAG.pattern}\s*$")
"""A tag that stands for a picture even where none is named; elsewhere in a text it may be HTML that people talk about."""
PICTURES, VIDEOS = ("image", "images"), ("video", "videos")
"""Where a conversation lists what it is about."""
WINDOW = ("start", "end")


def records(source: Source) -> Iterator[Record]:
    """Rows with clip_id, video, start_s, end_s, turns (question, answer), shown_in, the turn that shows the video, and instruction,
    the beginning of the first question that is one."""
    names = set[str]()

    def make(numbered: tuple[str, int, Any]) -> Row | ValueError:
        place, number, item = numbered
        try:
            return _sample(source, number, item, names)
        except Refused as refused:
            return Refused(refused.reason, f"{place}: {refused}")

    items = enumerate(source.json_items("item"))
    return each(((place, item if isinstance(item, ValueError) else (place, number, item)) for number, (place, item) in items), make)


def _sample(source: Source, number: int, item: Any, names: set[str]) -> Row:
    if not isinstance(item, dict):
        raise ValueError("it is not a JSON object")
    if item.get("audios"):
        raise Refused("odd_text", "it is about sounds (audios), which are not heard")
    talk = talk_of(item)
    turns, shown = talk.turns, _shown_by(item, talk.shown)
    video = _video_of(source, item, shown.name if shown else "")
    tagged = [place for place, (question, _) in enumerate(turns) for _ in TAG.findall(question)]
    if video:
        if len({*tagged}) > 1 or (len(tagged) > 1 and shown and shown.is_picture):
            raise Refused("several_pictures", f"it shows {len(tagged)} pictures or videos; conversations about one are read")
        turns = [(TAG.sub("", question).strip(), answer) for question, answer in turns]
    elif loose := [question for question, _ in turns if LOOSE_TAG.search(question)]:
        raise Refused("no_picture", f"{loose[0][:40]!r} refers to a picture or video, and the item names none")
    window = _window(item, shown)
    name = str(item.get("id") or (f"{os.path.splitext(video)[0]}/{number}" if video else f"text/{number}"))
    while name in names:  # LLaVA's ids are those of pictures, and a picture may have several conversations
        name = f"{name}/{number}"
    _check_texts(name, turns)
    names.add(name)
    return {
        "clip_id": name,
        "video": video,
        "start_s": window[0],
        "end_s": window[1],
        "turns": turns,
        "shown_in": tagged[0] if video and tagged else 0,
        "instruction": talk.instruction,
    }


def _check_texts(name: str, turns: Exchanges) -> None:
    for place, (question, answer) in enumerate(turns):
        if not question:
            raise Refused("empty_question", f"turn {place} has no question")
        if not answer:
            raise Refused("empty_answer", f"turn {place} has no answer")
    for text in (name, *(text for turn in turns for text in turn)):
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise Refused("odd_text", f"{text[:40]!r} is not a text: it holds half a character; correct it")


def _shown_by(item: dict[str, Any], parts: list[Shown]) -> Shown | None:
    """The picture or video that a conversation is about: as its parts name it, or its lists; None for text alone."""
    lists = [(name, name in PICTURES) for name in (*PICTURES, *VIDEOS)]
    listed = [Shown(name=name_of(value), is_picture=is_picture) for name, is_picture in lists for value in _values(item.get(name))]
    named = [part for part in parts if part.name]
    shown = [*named, *(other for other in listed if other.name and other.name not in {part.name for part in named})]
    if len(shown) > 1:
        raise Refused("several_pictures", f"it names {len(shown)} pictures or videos; conversations about one are read")
    if parts and not shown:
        raise Refused("no_picture", "a part of it is a picture or video without a name, and it lists none")
    return shown[0] if shown else None


def _values(value: Any) -> list[Any]:
    """The names in a list, which a table may hold as JSON in a text, or a single one."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return [value]  # a name may begin so
    return value if isinstance(value, list) else [value]


def _video_of(source: Source, item: dict[str, Any], named: str) -> str:
    """The name by --video where it is given, else by the item's id, else the one that the item has; "" where it has none."""
    if "video_id" in item or (source.video and named):
        return source.video_of(VIDEO, {name: value for name, value in item.items() if isinstance(value, str | int | float)})
    return named


def _window(item: dict[str, Any], shown: Shown | None) -> tuple[float | None, float | None]:
    of_part = (shown.start, shown.end) if shown else (None, None)
    start, end = (
        _seconds(name, part if item.get(name) is None else item[name]) for name, part in zip(WINDOW, of_part, strict=True)
    )
    if min(start or 0.0, end or 0.0) < 0:
        raise Refused("bad_window", f"{start} to {end} s is not in a video: it begins at 0")
    if end is not None and (start or 0.0) >= end:
        raise Refused("bad_window", f"start {start} is not before end {end}")
    return start, end


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise Refused("bad_window", f"{name} = {value!r} is not a number of seconds")
    return seconds
