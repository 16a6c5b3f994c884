"""The turns of a conversation, of each form that instruct data has, and the pictures or videos that its messages name.

{"conversations": [{"from": "system" or "human" or "gpt", "value": text}, ...]}      LLaVA, ShareGPT
{"messages": [{"role": "system" or "user" or "assistant", "content": text or [part, ...]}, ...]}     OpenAI, ms-swift, LLaMA-Factory
{"QA": [{"i": instruction, "q", "a"}, ...]}                                          VideoChat2-IT
{"q", "a"}                                                                           VideoInstruct

A part is {"type": "text", "text"}, {"type": "image", "image": name}, {"type": "video", "video": name, "video_start", "video_end"},
or {"type": "image_url", "image_url": {"url"}}. A part without a name stands for what the conversation's lists name, as a tag does.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from engine.ingest.cells import whole

ASKS, ANSWERS, INSTRUCTS = frozenset({"human", "user"}), frozenset({"gpt", "assistant"}), frozenset({"system", "developer"})
TEXTS = frozenset({"text", "input_text", "output_text"})
SHOWS = {
    "image": "<image>",
    "image_url": "<image>",
    "input_image": "<image>",
    "video": "<video>",
    "video_url": "<video>",
    "input_video": "<video>",
}
"""Types of a part -> the tag that stands for it."""
SHOWN = 6
"""Speakers that a reason names."""
Exchanges = list[tuple[str, str]]


class Refused(ValueError):
    """A conversation that no example can be made of, and the reason under which it is counted."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        """several_pictures, no_picture, odd_video, odd_turns, odd_text, empty_question, empty_answer, bad_window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a conversation is about: Shown(name="a.mp4", is_picture=False, start=2.0)"""

    name: str
    """"" for a part that leaves it to the conversation's lists."""
    is_picture: bool
    start: Any = None
    end: Any = None
    """Seconds, as they are written."""


@dataclass(frozen=True, slots=True)
class Talk:
    """Talk(turns=[("<video>\\nWhat?", "A cup.")], shown=[Shown(name="a.mp4", is_picture=False)])"""

    turns: Exchanges
    """Questions and answers, without blanks around them; a tag stands where a part shows something."""
    shown: list[Shown]
    """What the parts show, in their order; a part may name nothing."""
    instruction: str = ""
    """What the first question begins with where it is an instruction: a system prompt, or VideoChat2-IT's "i"."""


def is_conversation(names: Collection[str]) -> bool:
    """Whether an item with these fields has turns that talk_of reads.

    >>> is_conversation(["id", "messages", "videos"]), is_conversation(["video", "label"])
    (True, False)
    """
    return not {"conversations", "messages", "QA"}.isdisjoint(names) or {"q", "a"} <= {*names}


def talk_of(item: Mapping[str, Any]) -> Talk:
    """Raises Refused where the turns are no questions with answers, ValueError for an item without turns."""
    shown: list[Shown] = []
    for name in ("conversations", "messages"):
        if name in item:
            turns, instruction = _spoken(_listed(name, item[name]), _text(item.get("system")), shown)
            return Talk(turns, shown, instruction)
    if "QA" in item:
        pairs = _listed("QA", item["QA"])
        return Talk(_videochat_turns(pairs), shown, _text(pairs[0].get("i")))
    if "q" in item and "a" in item:
        return Talk([(_text(item["q"]), _text(item["a"]))], shown)
    raise ValueError(
        f"it has none of conversations, messages, QA, and q with a, only {', '.join(map(str, item))}; write each conversation as "
        '"messages": [{"role", "content"}, ...]'
    )


def _listed(name: str, turns: Any) -> list[dict[str, Any]]:
    """The turns, which a table may hold as JSON in a text."""
    if isinstance(turns, str):
        try:
            turns = json.loads(turns)
        except (ValueError, RecursionError):
            raise Refused("odd_turns", f"its {name} are the text {turns[:40]!r}, not a list of turns") from None
    if turns is None or turns == []:
        raise Refused("odd_turns", f"its {name} have no turns")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise Refused("odd_turns", f"its {name} are not a list of turns: {str(turns)[:40]}")
    return turns


def _spoken(messages: list[dict[str, Any]], instruction: str, shown: list[Shown]) -> tuple[Exchanges, str]:
    """The turns, and the system prompt, which stands before the first question, as VideoChat2-IT's instructions do."""
    speakers = [_first(message, "from", "role") for message in messages]
    texts = [_content(_first(message, "value", "content"), shown if speaker not in ANSWERS else None)
             for message, speaker in zip(messages, speakers, strict=True)]  # fmt: skip
    if speakers[0] in INSTRUCTS:
        instruction = "\n".join(filter(None, [instruction, texts[0]]))
        messages, speakers, texts = messages[1:], speakers[1:], texts[1:]
    expected = all(speaker in (ANSWERS if place % 2 else ASKS) for place, speaker in enumerate(speakers))
    if not texts or len(texts) % 2 or not expected:
        order = ", ".join(map(str, speakers[:SHOWN]))
        raise Refused(
            "odd_turns", f"questions and answers (human and gpt, or user and assistant) do not take turns in it ({order})"
        )
    if any(message.get("weight") == 0 or message.get("loss") is False for message in messages[1::2]):
        raise Refused("odd_turns", "one of its answers is not to be trained on (weight 0, or loss false)")
    if instruction and texts[0]:
        texts[0] = f"{instruction}\n{texts[0]}"
    return list(zip(texts[::2], texts[1::2], strict=True)), instruction


def _first(value: Mapping[str, Any], *names: str) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)


def _content(content: Any, shown: list[Shown] | None) -> str:
    """The text of a message; what it shows is added to `shown`, None for an answer, which shows nothing."""
    if not isinstance(content, list):
        return _text(content)
    return "\n".join(filter(None, (_part(part, shown) for part in content)))


def _part(part: Any, shown: list[Shown] | None) -> str:
    if isinstance(part, str):
        return part.strip()
    if not isinstance(part, dict):
        raise Refused("odd_text", f"{str(part)[:40]!r} is no part of a message")
    kind = part.get("type") or next((name for name in ("text", "image", "video") if part.get(name) is not None), None)
    if kind in TEXTS:
        return _text(part.get("text"))
    if kind not in SHOWS:
        raise Refused("odd_text", f"a part of type {kind!r} is neither text nor picture nor video")
    if shown is None:
        raise Refused("odd_turns", f"one of its answers has a part of type {kind!r}; an answer is text")
    tag = SHOWS[kind]
    name = name_of(_first(part, kind, *(other for other in SHOWS if SHOWS[other] == tag), "url", "path"))
    shown.append(Shown(name=name, is_picture=tag == "<image>", start=part.get("video_start"), end=part.get("video_end")))
    return tag


def name_of(value: Any) -> str:
    """The name of a picture or video, "" for none. Raises Refused for one whose bytes, or single frames, are in the row."""
    if isinstance(value, dict):
        value = _first(value, "url", "path", "bytes")
    if isinstance(value, list):
        raise Refused("several_pictures", f"its video is a list of {len(value)} frames; name a video file")
    if isinstance(value, bytes) or (isinstance(value, str) and value.startswith("data:")):
        raise Refused("no_picture", "its picture or video is within the row; write it to a file and name that")
    if value is not None and not isinstance(value, str):
        raise Refused("no_picture", f"its picture or video {str(value)[:40]!r} is not a name")
    return (value or "").strip()


def _videochat_turns(pairs: list[dict[str, Any]]) -> Exchanges:
    """An instruction that is repeated stands once, as in VideoChat2's own training (dataset/it_dataset.py, process_qa)."""
    turns, last = [], ""
    for pair in pairs:
        instruction, question = _text(pair.get("i")), _text(pair.get("q"))
        parts = [question] if question and instruction == last else [instruction, question]
        turns.append(("\n".join(part for part in parts if part), _text(pair.get("a"))))
        last = instruction
    return turns


def _text(value: Any) -> str:
    """A text without blanks around it; "" for none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return str(whole(value))
    return value.strip() if isinstance(value, str) else ""
