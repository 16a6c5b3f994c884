"""Pins that conversations are read in each form that people write them in, and that each other one is a row with a reason."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.ingest.adapters import instruct
from engine.ingest.adapters.source import Source
from engine.store.filesystems import Storage

TURNS = [("What?", "A cup.")]


def rows_of(path: Path) -> list[Any]:
    return [row for _, row in instruct.records(Source(path=str(path), storage=Storage()))]


def row_of(tmp_path: Path, item: Any) -> Any:
    (tmp_path / "i.json").write_text(json.dumps([item]))
    [row] = rows_of(tmp_path / "i.json")
    return row


def messages(*contents: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]} | fields


def part(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind} | fields


@pytest.mark.parametrize(
    "item",
    [
        messages("<video>What?", "A cup.", videos=["a.mp4"]),
        messages("<image>What?", "A cup.", images=["a.mp4"]),
        messages("<video>What?", "A cup.", videos="a.mp4"),
        messages("What?", "A cup.", videos=[{"path": "a.mp4", "bytes": None}], images=[], audios=None),
        messages([part("video", video="a.mp4"), part("text", text="What?")], "A cup."),
        messages([part("text", text="What?"), part("image_url", image_url={"url": "a.mp4"})], [part("text", text="A cup.")]),
        messages([part("input_image", image_url="a.mp4"), part("input_text", text="What?")], "A cup."),
        messages([{"video": "a.mp4"}, {"text": "What?"}], "A cup."),
        messages([part("video"), part("text", text="What?", video=None)], "A cup.", videos=["a.mp4"]),
        messages([part("video", path="a.mp4"), "What?"], "A cup.", videos=["a.mp4"]),
        {"conversations": messages("<video>What?", "A cup.")["messages"], "videos": ["a.mp4"]},
        {"conversations": json.dumps(messages("<video>What?", "A cup.")["messages"]), "videos": '["a.mp4"]'},
        {"messages": [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "A cup."}], "video": "a.mp4"},
    ],
)
def test_one_conversation_in_many_forms(tmp_path: Path, item: dict[str, Any]) -> None:
    row = row_of(tmp_path, item)
    assert (row["video"], row["turns"], row["shown_in"]) == ("a.mp4", TURNS, 0)


def test_which_turn_shows_the_video_and_which_window_of_it(tmp_path: Path) -> None:
    shows = [part("text", text="What?"), part("video", video="a.mp4", video_start=2, video_end=4.5)]
    row = row_of(tmp_path, messages("Hi", "Hello", shows, "A cup."))
    assert (row["turns"], row["shown_in"]) == ([("Hi", "Hello"), *TURNS], 1)
    assert (row["start_s"], row["end_s"]) == (2.0, 4.5)
    row = row_of(tmp_path, messages("What?", 4))
    assert (row["video"], row["turns"]) == ("", [("What?", "4")]), "text alone"


def test_each_conversation_has_an_id_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text(json.dumps([messages("What?", "A cup.", id=name) for name in ("v/2", "v", "v", "v/2")]))
    assert [row["clip_id"] for row in rows_of(tmp_path / "i.json")] == ["v/2", "v", "v/2/2", "v/2/3"]


def test_a_system_prompt_stands_before_the_first_question(tmp_path: Path) -> None:
    spoken = [{"role": "system", "content": "Be short."}, *messages("What?", "A cup.", "Why?", "So.")["messages"]]
    row = row_of(tmp_path, {"system": "You see.", "messages": spoken})
    assert row["turns"] == [("You see.\nBe short.\nWhat?", "A cup."), ("Why?", "So.")]


def test_messages_in_a_table(tmp_path: Path) -> None:
    parts = [part("video", video="a.mp4", text=None), part("text", text="What?", video=None)]
    reply = [part("text", text="A cup.", video=None)]
    table = pa.table({"messages": [messages(parts, reply)["messages"]], "id": ["7"]})
    pq.write_table(table, tmp_path / "i.parquet")
    [row] = rows_of(tmp_path / "i.parquet")
    assert (row["clip_id"], row["video"], row["turns"]) == ("7", "a.mp4", TURNS)


@pytest.mark.parametrize(
    ("item", "reason", "detail"),
    [
        ({"conversations": "[{}]"}, "odd_turns", "do not take turns in it (None)"),
        ({"conversations": "USER: Hi"}, "odd_turns", "its conversations are the text 'USER: Hi', not a list of turns"),
        ({"conversations": []}, "odd_turns", "its conversations have no turns"),
        ({"messages": None}, "odd_turns", "its messages have no turns"),
        ({"messages": ["Hi", "Hello"]}, "odd_turns", "its messages are not a list of turns"),
        ({"QA": "[]"}, "odd_turns", "its QA have no turns"),
        (messages("Hi"), "odd_turns", "do not take turns in it (user)"),
        ({"messages": [{"role": "system", "content": "Be short."}]}, "odd_turns", "do not take turns in it ()"),
        ({"messages": [*messages("Hi")["messages"], {"role": "tool", "content": "4"}]}, "odd_turns", "(user, tool)"),
        ({"messages": [*messages("Hi")["messages"], {"role": "assistant", "content": "4", "weight": 0}]}, "odd_turns", "weight 0"),
        (messages("Hi", [part("image", image="a.jpg")]), "odd_turns", "an answer is text"),
        (messages([part("input_audio", data="x")], "A cup."), "odd_text", "'input_audio' is neither text nor picture nor video"),
        (messages("<audio>What?", "A cup.", audios=["a.wav"]), "odd_text", "sounds"),
        (messages([3], "A cup."), "odd_text", "'3' is no part of a message"),
        (messages("<video>What?", "A cup.", videos=[]), "no_picture", "refers to a picture or video, and the item names none"),
        (messages(["Here", part("image"), "What?"], "A cup."), "no_picture", "without a name"),
        (messages([part("image", image="data:image/png;base64,AA")], "A cup."), "no_picture", "within the row; write it to a file"),
        (messages("<image>What?", "A cup.", images=[{"path": None, "bytes": 3}]), "no_picture", "'3' is not a name"),
        (messages("<video>What?", "A cup.", videos=[["1.jpg", "2.jpg"]]), "several_pictures", "a list of 2 frames"),
        (messages("<image><image>Which?", "A cup.", images=["a.jpg", "b.jpg"]), "several_pictures", "it names 2 pictures"),
        (messages("<image>?", "A cup.", images=["a.jpg"], videos=["a.mp4"]), "several_pictures", "it names 2 pictures"),
        (messages([part("video", video="a.mp4"), "?"], "A cup.", videos=["b.mp4"]), "several_pictures", "it names 2 pictures"),
        (messages("Hi", None), "empty_answer", "turn 0 has no answer"),
        (
            {"query": "Hi", "response": "Hello"},
            "",
            "none of conversations, messages, QA, and q with a, only query, response; write",
        ),
        ([{"role": "user", "content": "Hi"}], "", "it is not a JSON object"),
    ],
)
def test_each_other_conversation_has_a_reason(tmp_path: Path, item: Any, reason: str, detail: str) -> None:
    row = row_of(tmp_path, item)
    assert getattr(row, "reason", "") == reason
    assert detail in str(row)
    assert str(row).startswith(f"{tmp_path}/i.json item 0: ")
