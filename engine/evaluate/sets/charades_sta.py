"""Charades-STA (Gao et al. 2017, jiyanggao/TALL): when in a Charades video a sentence happens, one a line.

charades_sta_test.txt: AO8RW 0.0 6.9##a person is putting a book on a shelf.
Charades_v1_test.csv, of Charades itself: id, ..., length; the annotations do not say how long a video is

Some ends are later than the video's; they stay as they are, and count as its end. A stretch that ends before it begins is left out,
as 2D-TAN's loader does. Published are the shares of first answers whose overlap with the annotation reaches 0.3, 0.5 and 0.7
(recall_0.3 ...) and the mean overlap (miou). There is no published wording; the question is that of `starloop ingest --format
temporal`, which reads Charades-STA in the form of ActivityNet Captions.
"""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from engine.evaluate.sets.published import Published, numbered
from engine.ingest.adapters.source import each, worded
from engine.ingest.adapters.temporal import QUESTION
from engine.ingest.tables import Record, Row, text_of
from engine.labels import TimeRange

FILES = "charades_sta_test.txt, with Charades_v1_test.csv of Charades beside it; videos: Charades_v1_480"
LENGTHS = ("Charades_v1_test.csv", "Charades_v1_train.csv")
_LINE = re.compile(r"(\S+) ([\d.]+) ([\d.]+)##(.*\S)\s*")


def records(published: Published) -> Iterator[Record]:
    lengths_s = _lengths_s(published)
    return each(numbered(_lines(published)), partial(_row, published, lengths_s))


def _lines(published: Published) -> Iterator[tuple[str, Any]]:
    path = published.data.manifest
    with text_of(path, published.storage) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"{path} line {number}", line


def _lengths_s(published: Published) -> dict[str, float]:
    """By video. Raises ValueError where no file has them."""
    paths = [path for path in map(published.beside, LENGTHS) if published.has(path)]
    if not paths:
        raise ValueError(f"no {LENGTHS[0]} beside {published.data.manifest}; it is in Charades.zip of Charades and has the lengths")
    rows = [row for path in paths for _, row in published.source(path).csv(("id", "length")) if isinstance(row, dict)]
    if wrong := next((row for row in rows if not {"id", "length"} <= set(row)), None):
        raise ValueError(f"{LENGTHS[0]} has no columns id and length, only {', '.join(wrong)}; take the one in Charades.zip")
    return {row["id"]: float(row["length"]) for row in rows}


def _row(published: Published, lengths_s: dict[str, float], numbered_line: tuple[int, str]) -> Row | None:
    number, line = numbered_line
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise ValueError(f"{line.strip()[:60]!r} is not written as: VIDEO START END##SENTENCE")
    video, start_s, end_s = match[1], float(match[2]), float(match[3])
    if video not in lengths_s:
        raise ValueError(f"video {video} is not in {' or '.join(LENGTHS)}, which has its length")
    if start_s >= end_s:
        return None
    duration_s = max(lengths_s[video], end_s)
    return {
        "clip_id": f"{video}/{number}",
        "video": published.video(video),
        "question": QUESTION.replace("{what}", match[4]),
        "label": worded(TimeRange(start_s=start_s, end_s=end_s, duration_s=duration_s)),
    }
