"""Instruct data for the finetune's mixture: conversations -> examples. An item's fields say its format.

{"id", "image" or "video", "conversations": [{"from": "human", "value"}, {"from": "gpt", "value"}, ...]}     LLaVA
{"image" or "video", "QA": [{"i": instruction, "q", "a"}, ...]}                                          VideoChat2-IT
{"video_id", "q", "a"}                                                                                   VideoInstruct

A conversation becomes one example, whatever the number of its turns; one without a video or picture is text alone.
"""

import math
import os
import re
from collections.abc import Iterator
from typing import Any

from engine.ingest.adapters.source import Source, each
from engine.ingest.tables import Record, Row

VIDEO = "{video_id}.mp4"
"""File names for VideoInstruct, which has only ids."""
TAG = re.compile(r"<(?:image|video|vid)>")
"""Where a question shows what the conversation is about. LLaVA moves it to the front of its question, and so does this."""
LOOSE_TAG = re.compile(rf"^\s*{TAG.pattern}|{TAG.pattern}\s*$")
"""A tag that stands for a picture even where none is named; elsewhere in a text it may be HTML that people talk about."""
ASKS, ANSWERS = frozenset({"human", "user"}), frozenset({"gpt", "assistant"})
Exchanges = list[tuple[str, str]]


class Refused(ValueError):
    """A conversation that no example can be made of, and the reason under which it is counted."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        """several_pictures, no_picture, odd_video, odd_turns, odd_text, empty_question, empty_answer, bad_window."""


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


def _sample(source: Source, number: int, item: dict[str, Any], names: set[str]) -> Row:
    video, turns = _video_of(source, item), _turns(item)
    tagged = [place for place, (question, _) in enumerate(turns) for _ in TAG.findall(question)]
    if video:
        if len({*tagged}) > 1 or (len(tagged) > 1 and item.get("image")):
            raise Refused("several_pictures", f"it shows {len(tagged)} pictures or videos; conversations about one are read")
        turns = [(TAG.sub("", question).strip(), answer) for question, answer in turns]
    elif loose := [question for question, _ in turns if LOOSE_TAG.search(question)]:
        raise Refused("no_picture", f"{loose[0][:40]!r} refers to a picture or video, and the item names none")
    for place, (question, answer) in enumerate(turns):
        if not question:
            raise Refused("empty_question", f"turn {place} has no question")
        if not answer:
            raise Refused("empty_answer", f"turn {place} has no answer")
    window = _window(item)
    name = str(item.get("id") or (f"{os.path.splitext(video)[0]}/{number}" if video else f"text/{number}"))
    if name in names:  # LLaVA's ids are those of pictures, and a picture may have several conversations
        name = f"{name}/{number}"
    for text in (name, *(text for turn in turns for text in turn)):
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise Refused("odd_text", f"{text[:40]!r} is not a text: it holds half a character; correct it")
    names.add(name)
    return {
        "clip_id": name,
        "video": video,
        "start_s": window[0],
        "end_s": window[1],
        "turns": turns,
        "shown_in": tagged[0] if video and tagged else 0,
        "instruction": _instruction_of(item, turns),
    }


def _video_of(source: Source, item: dict[str, Any]) -> str:
    """The name by --video where it is given, else by the item's id, else the one that the item has; "" where it has none."""
    named = item.get("video") or item.get("image") or ""
    if item.get("video") and item.get("image"):
        raise Refused("several_pictures", "it names a video and a picture; conversations about one are read")
    if isinstance(named, list):
        if len(named) > 1:
            raise Refused("several_pictures", f"it names {len(named)} pictures or videos; conversations about one are read")
        named = named[0] if named else ""
    if not isinstance(named, str):
        raise Refused("no_picture", f"its picture or video {named!r} is not a name")
    if "video_id" in item or (source.video and named):
        return source.video_of(VIDEO, {name: value for name, value in item.items() if isinstance(value, str | int | float)})
    return named.strip()


def _turns(item: dict[str, Any]) -> Exchanges:
    """Questions and answers, without blanks around them."""
    if "conversations" in item:
        return _llava_turns(item["conversations"])
    if "QA" in item:
        return _videochat_turns(item["QA"])
    return [(_text(item["q"]), _text(item["a"]))]


def _llava_turns(turns: list[dict[str, Any]]) -> Exchanges:
    speakers = [turn["from"] for turn in turns]
    expected = all(speaker in (ANSWERS if place % 2 else ASKS) for place, speaker in enumerate(speakers))
    if not turns or len(turns) % 2 or not expected:
        raise Refused("odd_turns", f"human and gpt do not take turns in its conversation ({', '.join(map(str, speakers[:6]))})")
    texts = [_text(turn.get("value")) for turn in turns]
    return list(zip(texts[::2], texts[1::2], strict=True))


def _videochat_turns(pairs: list[dict[str, Any]]) -> Exchanges:
    """An instruction that is repeated stands once, as in VideoChat2's own training (dataset/it_dataset.py, process_qa)."""
    if not pairs:
        raise Refused("odd_turns", "its QA has no turns")
    turns, last = [], ""
    for pair in pairs:
        instruction, question = _text(pair.get("i")), _text(pair.get("q"))
        parts = [question] if question and instruction == last else [instruction, question]
        turns.append(("\n".join(part for part in parts if part), _text(pair.get("a"))))
        last = instruction
    return turns


def _instruction_of(item: dict[str, Any], turns: Exchanges) -> str:
    """VideoChat2's instruction, with which the first question begins; "" where there is none."""
    pairs = item.get("QA") or [{}]
    instruction = _text(pairs[0].get("i"))
    return instruction if instruction and f"{turns[0][0]}\n".startswith(f"{instruction}\n") else ""


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _window(item: dict[str, Any]) -> tuple[float | None, float | None]:
    start, end = _seconds(item, "start"), _seconds(item, "end")
    if min(start or 0.0, end or 0.0) < 0:
        raise Refused("bad_window", f"{start} to {end} s is not in a video: it begins at 0")
    if end is not None and (start or 0.0) >= end:
        raise Refused("bad_window", f"start {start} is not before end {end}")
    return start, end


def _seconds(item: dict[str, Any], name: str) -> float | None:
    value = item.get(name)
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise Refused("bad_window", f"{name} = {value!r} is not a number of seconds")
    return seconds
