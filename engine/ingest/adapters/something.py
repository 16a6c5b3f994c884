"""Something-Something v2: actions with the objects that they are done to: {"id", "label", "template", "placeholders"}."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from engine.ingest.adapters.source import Source, ask, each, worded
from engine.ingest.cells import text_of
from engine.ingest.tables import Record, Row
from engine.labels import Keywords

VIDEO = "{id}.webm"
QUESTIONS = (
    "What is happening in this video, and to which thing?",
    "What does the hand do here?",
    "Describe what is done in this video.",
    "Which action can be seen, and with what?",
)


def records(source: Source) -> Iterator[Record]:
    return each(source.json_items("item"), partial(_row, source))


def _row(source: Source, item: dict[str, Any]) -> Row:
    if "label" not in item:
        raise ValueError("no label; the test split has none")
    clip_id = text_of(item["id"])
    label, things = Keywords(text=item["label"]), item.get("placeholders") or []
    template = item.get("template") or item["label"]
    return {
        "clip_id": clip_id,
        "video": source.video_of(VIDEO, item),
        "question": ask(QUESTIONS, clip_id, label),
        "label": worded(label),
        "split": source.split_of(),
        "verb": template.split()[0].casefold(),
        "noun": str(things[0]) if things else "",
    }
