"""Stretches of untrimmed videos with a class or a sentence each, as in ActivityNet; each becomes a clip that asks when it happens.

{"database": {ID: {"subset", "duration", "annotations": [{"segment": [start, end], "label"}]}}}     ActivityNet, THUMOS, HACS
{"database": {ID: {"subset", "duration", "annotation": [{"segment": [start, end], "label"}]}}}      COIN
{"database": {ID: {"subset", "duration", "annotations": [{"segment": [start, end], "sentence"}]}}}  YouCook2
{ID: {"duration", "timestamps": [[start, end]], "sentences": [...]}}        ActivityNet Captions, and datasets in its style

The videos may also be an array, or one a line, each with its "video_id", "video", "vid" or "id".
"""

from collections.abc import Iterator
from typing import Any

from engine.ingest.adapters.source import Source, each, parts, worded
from engine.ingest.cells import is_empty, optional_text, text_of
from engine.ingest.tables import Record, Row
from engine.labels import TimeRange

VIDEO = "{id}.mp4"
KEYS = ("timestamps", "annotations", "annotation")
NAMES = ("video_id", "video", "vid", "id")
QUESTION = 'During which part of the video does this happen: "{what}"? Give the start and the end in seconds.'


def records(source: Source) -> Iterator[Record]:
    return each(parts(_videos(source), lambda video: _stretches(*video)), lambda stretch: _row(source, *stretch))


def _videos(source: Source) -> Iterator[tuple[str, Any]]:
    """The place of each video, and its name with its annotations."""
    if source.is_object(KEYS):
        prefix = "database" if any(True for _ in source.json_pairs("database")) else ""
        yield from ((f"{source.path} video {name}", (name, item)) for name, item in source.json_pairs(prefix))
        return
    for place, item in source.json_items(keys=KEYS):
        if isinstance(item, ValueError) or not isinstance(item, dict):
            yield place, item
            continue
        name = next((text_of(item[key]) for key in NAMES if not is_empty(item.get(key))), "")
        yield place, (name, item) if name else ValueError(f"{place} has none of {', '.join(NAMES)}, which name its video")


def _stretches(name: str, item: dict[str, Any]) -> list[tuple[str, Any]]:
    """By name: the video's name, the video, the number of the annotation within it, and the annotation."""
    if "sentences" not in item:
        annotations = item["annotations"] if "annotations" in item else item["annotation"]
        return [(f"annotation {number}", (name, item, number, annotation)) for number, annotation in enumerate(annotations)]
    sentences, timestamps = item["sentences"], item["timestamps"]
    if len(sentences) != len(timestamps):
        counts = f"{len(sentences)} sentences and {len(timestamps)} timestamps; each sentence needs one"
        return [(f"sentence {number}", ValueError(counts)) for number in range(len(sentences))]
    pairs = enumerate(zip(sentences, timestamps, strict=True))
    return [(f"annotation {n}", (name, item, n, {"label": text, "segment": segment})) for n, (text, segment) in pairs]


def _row(source: Source, name: str, item: dict[str, Any], number: int, annotation: dict[str, Any]) -> Row:
    duration_s = float(item["duration"])
    fields = {key: value for key, value in item.items() if isinstance(value, str | int | float)} | {"id": name}
    what = text_of(annotation["label"] if "label" in annotation else annotation["sentence"])
    if not what:
        raise ValueError("its label is empty")
    start_s, end_s = annotation["segment"]
    end = min(float(end_s), duration_s)  # published ends are a frame or two after the video's
    return {
        "clip_id": f"{name}/{number}",
        "video": source.video_of(VIDEO, fields),
        "question": QUESTION.replace("{what}", what),
        "label": worded(TimeRange(start_s=float(start_s), end_s=end, duration_s=duration_s)),
        "split": source.split_of(optional_text(item.get("subset"))),
    }
