"""Something-Something v2 as Video-STaR asks about it: two questions for each video, for its things and for what is done to them."""

from collections.abc import Iterator
from typing import Any

from engine.ingest.adapters.something import VIDEO
from engine.ingest.adapters.source import Source, each, parts, worded
from engine.ingest.adapters.videostar.parts import sentence_label
from engine.ingest.adapters.videostar.questions import Pools, worded_question, wordings
from engine.ingest.cells import text_of
from engine.ingest.tables import Record, Row
from engine.labels import All, Keywords, Label

GROUP = "Something-Something v2"


def records(source: Source) -> Iterator[Record]:
    pools = wordings(source)
    questions = parts(source.json_items("item"), lambda item: [(kind, (item, kind)) for kind in ("fill_in", "sentence_of")])
    return each(questions, lambda question: _row(source, pools, *question))


def _row(source: Source, pools: Pools, item: dict[str, Any], kind: str) -> Row:
    if "label" not in item:
        raise ValueError("no label; the test split has none")
    clip_id, things = f"{text_of(item['id'])}/{kind}", [text_of(thing) for thing in item["placeholders"]]
    if not things:
        raise ValueError("it has no placeholders, the things that are asked for")
    label: Label
    if kind == "fill_in":
        label = All(labels=tuple(Keywords(key="objects", text=thing) for thing in things))
    else:
        label = sentence_label("relationship", item["label"])
    template = item["template"]
    values = {"template": template, "template_": template.replace("[something]", "___")}
    values |= {"objects": ", ".join(things), "objects&": " and ".join(things)}
    return {
        "clip_id": clip_id,
        "video": source.video_of(VIDEO, item),
        "question": worded_question(pools, kind, clip_id, label, values),
        "label": worded(label),
        "split": source.split_of(),
        "group": GROUP,
    }
