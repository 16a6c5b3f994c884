"""Stretches of untrimmed videos with a class or a sentence each, as in ActivityNet; each becomes a clip that asks when it happens.

{"database": {ID: {"subset", "duration", "annotations": [{"segment": [start, end], "label"}]}}}     ActivityNet, THUMOS, COIN
{ID: {"duration", "timestamps": [[start, end]], "sentences": [...]}}        ActivityNet Captions, and datasets in its style
"""

from collections.abc import Iterator
from typing import Any

from engine.ingest.adapters.source import Source, each, parts, worded
from engine.ingest.tables import Record, Row
from engine.labels import TimeRange

VIDEO = "{id}.mp4"
QUESTION = 'During which part of the video does this happen: "{what}"? Give the start and the end in seconds.'


def records(source: Source) -> Iterator[Record]:
    prefix = "database" if any(True for _ in source.json_pairs("database")) else ""
    videos = ((f"{source.path} video {key}", (key, item)) for key, item in source.json_pairs(prefix))
    return each(parts(videos, lambda keyed_item: _stretches(*keyed_item)), lambda stretch: _row(source, *stretch))


def _stretches(key: str, item: dict[str, Any]) -> list[tuple[str, tuple[str, dict[str, Any], int, dict[str, Any]]]]:
    """By name: the video's key, the video, the number of the annotation within it, and the annotation."""
    if "sentences" in item:
        sentences, timestamps = item["sentences"], item["timestamps"]
        if len(sentences) != len(timestamps):
            raise ValueError(f"{len(sentences)} sentences and {len(timestamps)} timestamps; each sentence needs one")
        annotations = [{"label": text, "segment": segment} for text, segment in zip(sentences, timestamps, strict=True)]
    else:
        annotations = item["annotations"]
    return [(f"annotation {number}", (key, item, number, annotation)) for number, annotation in enumerate(annotations)]


def _row(source: Source, key: str, item: dict[str, Any], number: int, annotation: dict[str, Any]) -> Row:
    duration_s = float(item["duration"])
    fields = {name: value for name, value in item.items() if isinstance(value, str | int | float)} | {"id": key}
    start_s, end_s = annotation["segment"]
    end = min(float(end_s), duration_s)  # published ends are a frame or two after the video's
    return {
        "clip_id": f"{key}/{number}",
        "video": source.video_of(VIDEO, fields),
        "question": QUESTION.replace("{what}", str(annotation["label"]).strip()),
        "label": worded(TimeRange(start_s=float(start_s), end_s=end, duration_s=duration_s)),
        "split": source.split_of(str(item.get("subset", ""))),
    }
