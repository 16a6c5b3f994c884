"""EPIC-KITCHENS-100: EPIC_100_train.csv, EPIC_100_validation.csv; each row is a window of a long video."""

from collections.abc import Iterator
from functools import partial

from engine.ingest.adapters.source import Source, ask, each, worded
from engine.ingest.tables import Record, Row
from engine.labels import Keywords

VIDEO = "{participant_id}/videos/{video_id}.MP4"
QUESTIONS = (
    "What does the camera wearer do?",
    "Which kitchen task is being carried out here?",
    "What do the hands do, and with what?",
)


def records(source: Source) -> Iterator[Record]:
    return each(source.csv(("narration_id",)), partial(_row, source))


def _row(source: Source, row: Row) -> Row:
    if "verb" not in row:
        raise ValueError("no verb; the test sets have none, use EPIC_100_train.csv or EPIC_100_validation.csv")
    verb, noun = row["verb"].replace("-", " "), named(row["noun"])
    label = Keywords(text=f"{verb} {noun}", aliases=tuple({row["narration"]} - {f"{verb} {noun}", ""}))
    return {
        "clip_id": row["narration_id"],
        "video": source.video_of(VIDEO, row),
        "start_s": seconds(row["start_timestamp"]),
        "end_s": seconds(row["stop_timestamp"]),
        "question": ask(QUESTIONS, row["narration_id"], label),
        "label": worded(label),
        "split": source.split_of(),
        "verb": verb,
        "noun": noun,
        "description": row["narration"],
        "narrator": row.get("participant_id", ""),
        "verb_class": row["verb"],
        "noun_class": row["noun"],
        "narrated_s": _narrated_s(row),
    }


def _narrated_s(row: Row) -> float:
    """Some narrations have no time: then it is the middle of the action."""
    if stamp := row.get("narration_timestamp"):
        return seconds(stamp)
    return (seconds(row["start_timestamp"]) + seconds(row["stop_timestamp"])) / 2


def named(noun: str) -> str:
    """The words of a noun class, in spoken order.

    >>> named("board:chopping"), named("pan")
    ('chopping board', 'pan')
    """
    return " ".join(reversed(noun.split(":"))).replace("-", " ")


def seconds(stamp: str) -> float:
    """The seconds of a time stamp.

    >>> seconds("00:01:02.50")
    62.5
    """
    parts = stamp.split(":")
    if len(parts) != 3:
        raise ValueError(f"{stamp!r} is not a time like 00:01:02.50")
    hours, minutes, rest = parts
    return round(int(hours) * 3600 + int(minutes) * 60 + float(rest), 3)
