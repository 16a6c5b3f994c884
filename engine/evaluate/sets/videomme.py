"""Video-MME (Fu et al. 2024, BradyFU/Video-MME): 2,700 questions about 900 videos of 11 seconds to an hour, with four options each.

Parquet: video_id, duration, domain, sub_category, url, videoID, question_id, task_type, question, options ["A. ..."], answer "C"
JSON:    [{"video_id", "duration", "domain", "sub_category", "url", "questions": [{"question_id", "task_type", "question", ...}]}]

A group is duration, domain and subfield, "short/Knowledge/Astronomy". The wording is the published one. With the format
videomme-subtitles the text of subtitle/VIDEO.srt stands before it: all of it, whereas published runs may take the subtitles of the
frames that the model is shown; an hour of them may be too long for a model, which is a failed row.
"""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from engine.evaluate.sets.published import Published, choice
from engine.ingest.adapters.source import each, parts
from engine.ingest.tables import Record, Row, kind_of, table_records, text_of

FILES = "test-00000-of-00001.parquet of Video-MME, or its JSON; videos: its folder data, with subtitle beside it for subtitles"
TASK = (
    "Select the best answer to the following multiple-choice question based on the video{and_subtitles}. "
    "Respond with only the letter (A, B, C, or D) of the correct option."
)
SUBTITLES = "This video's subtitles are listed below:"
ENDING = "The best answer is:"
DURATIONS = ("short", "medium", "long")
_OPTION = re.compile(r"\s*([A-D])\.\s*(.*\S)\s*", re.DOTALL)
_CUE = re.compile(r"\d+\s*|.*-->.*")
"""Lines of a subtitle file that are no text: a cue's number and its times."""
_TAG = re.compile(r"<[^>]*>")
_ID = re.compile(r"[?&]v=([\w-]+)")


def records(published: Published, subtitles: bool = False) -> Iterator[Record]:
    return each(_questions(published), partial(_row, published, subtitles))


def records_with_subtitles(published: Published) -> Iterator[Record]:
    return records(published, subtitles=True)


def _questions(published: Published) -> Iterator[tuple[str, Any]]:
    path = published.data.manifest
    if kind_of(path) == "parquet" or published.files_below() is not None:
        return table_records(path, published.storage)
    return parts(published.source().json_items(), _of_video)


def _of_video(item: dict[str, Any]) -> list[tuple[str, Any]]:
    """The questions of a video, each with what the file says of the video; an item may also be a question of its own."""
    if "questions" not in item:
        return [("", item)]
    about = {name: value for name, value in item.items() if name != "questions"}
    return [(f"question {number}", about | question) for number, question in enumerate(item["questions"])]


def _row(published: Published, subtitles: bool, row: Row) -> Row:
    matches = [_OPTION.fullmatch(option) for option in row["options"]]
    options = {match[1]: match[2] for match in matches if match}
    if len(options) != len(matches):
        raise ValueError(f"its options {row['options']} are not lettered A to D")
    if row["duration"] not in DURATIONS:
        raise ValueError(f"duration {row['duration']!r} is none of {', '.join(DURATIONS)}")
    video = row.get("videoID") or (match[1] if (match := _ID.search(row["url"])) else row["video_id"])
    spoken = _spoken(published, video) if subtitles else ""
    lines = [TASK.format(and_subtitles=" and the subtitles" if spoken else ""), row["question"], *row["options"], ENDING]
    return {
        "clip_id": row["question_id"],
        "video": published.video(video),
        "question": spoken + "\n".join(lines),
        "label": choice(options, row["answer"]),
        "group": f"{row['duration']}/{row['domain']}/{row['sub_category']}",
    }


def _spoken(published: Published, video: str) -> str:
    """What is said in a video, in the published wording; "" for one without subtitles, of which there are some."""
    path = published.near_videos(f"subtitle/{video}.srt")
    if not path:
        return ""
    with text_of(path, published.storage) as file:
        texts = [text for line in file if not _CUE.fullmatch(line.strip()) and (text := _TAG.sub("", line).strip())]
    return "\n".join([SUBTITLES, *texts, ""])
