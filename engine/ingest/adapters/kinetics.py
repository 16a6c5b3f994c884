"""Kinetics-400/600/700: label,youtube_id,time_start,time_end,split. The videos are trimmed to their ten seconds."""

import re
from collections.abc import Iterator
from functools import partial

from engine.ingest.adapters.source import Source, ask, each, whole_number, worded
from engine.ingest.cells import is_empty, optional_text
from engine.ingest.tables import Record, Row
from engine.labels import Keywords

VIDEO = "{label}/{youtube_id}_{time_start:06d}_{time_end:06d}.mp4"
"""The layout of most copies; use --video "{youtube_id}_{time_start:06d}_{time_end:06d}.mp4" where all are in one folder."""
QUESTIONS = (
    "What is being done in this video?",
    "Which activity does this video show?",
    "What are the people in this video up to?",
    "How would you name what happens here?",
    "What is going on in this clip?",
)


def records(source: Source) -> Iterator[Record]:
    return each(source.csv(("youtube_id",)), partial(_row, source))


def _row(source: Source, row: Row) -> Row:
    if is_empty(row.get("label")):
        raise ValueError("no label; the test split of Kinetics has none, use train.csv or validate.csv")
    fields = row | {name: whole_number(row[name]) for name in ("time_start", "time_end")}
    clip_id = f"{row['youtube_id']}_{fields['time_start']:06d}"
    label = label_of(row["label"])
    return {
        "clip_id": clip_id,
        "video": source.video_of(VIDEO, fields),
        "question": ask(QUESTIONS, clip_id, label),
        "label": worded(label),
        "split": source.split_of(optional_text(row.get("split"))),
    }


def label_of(name: str) -> Keywords:
    """A class with its aliases: without the remark in brackets, and with either side of an "or" alone.

    >>> label_of("catching or throwing frisbee")
    Keywords(kind='keywords', text='catching or throwing frisbee', aliases=('catching frisbee', 'throwing frisbee'))
    >>> label_of("opening bottle (not wine)").aliases
    ('opening bottle',)
    """
    plain = re.sub(r"\s*\(.*?\)", "", name).strip()
    aliases = [plain] if plain and plain != name else []
    if either := re.fullmatch(r"(\w+) or (\w+)((?: .*)?)", plain):
        aliases += [f"{either[1]}{either[3]}", f"{either[2]}{either[3]}"]
    return Keywords(text=name, aliases=tuple(aliases))
