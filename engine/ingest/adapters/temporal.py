"""Stretches of untrimmed videos with a class or a sentence each, as in ActivityNet; each becomes a clip that asks when it happens.

{"database": {ID: {"subset", "duration", "annotations": [{"segment": [start, end], "label"}]}}}     ActivityNet, THUMOS, COIN
{ID: {"duration", "timestamps": [[start, end]], "sentences": [...]}}        ActivityNet Captions, and datasets in its style
"""

from collections.abc import Iterator
from typing import Any

from engine.ingest.adapters.source import Source, each, worded
from engine.ingest.tables import Record, Row
from engine.labels import TimeRange

VIDEO = "{id}.mp4"
QUESTION = 'During which part of the video does this happen: "{what}"? Give the start and the end in seconds.'


def records(source: Source) -> Iterator[Record]:
    prefix = "database" if any(True for _ in source.json_pairs("database")) else ""
    videos = ((f"{source.path} video {key}", (key, item)) for key, item in source.json_pairs(prefix))
    return each(videos, lambda keyed_item: _rows(source, *keyed_item))


def _rows(source: Source, key: str, item: dict[str, Any]) -> list[Row]:
    duration_s = float(item["duration"])
    if "sentences" in item:
        stretches = list(zip(item["sentences"], item["timestamps"], strict=True))
    else:
        stretches = [(annotation["label"], annotation["segment"]) for annotation in item["annotations"]]
    video = source.video_of(
        VIDEO, {name: value for name, value in item.items() if isinstance(value, str | int | float)} | {"id": key}
    )
    split = source.split_of(str(item.get("subset", "")))
    rows = []
    for number, (text, (start_s, end_s)) in enumerate(stretches):
        end = min(float(end_s), duration_s)  # published ends are a frame or two after the video's
        label = TimeRange(start_s=float(start_s), end_s=end, duration_s=duration_s)
        question = QUESTION.replace("{what}", str(text).strip())
        rows.append({"clip_id": f"{key}/{number}", "video": video, "question": question, "label": worded(label), "split": split})
    return rows
