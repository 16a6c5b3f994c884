"""FineDiving (Xu et al. 2022, xujinglin/FineDiving): the score of a dive, as action quality assessment (AQA).

FineDiving_fine-grained_annotation.pkl, with test_split.pkl beside it, as `starloop ingest --format finediving` reads them; the
other questions of that format are no part of the benchmark. Published are Spearman's correlation and R-l2 (metrics spearman,
relative_l2); the videos are those that Video-STaR made of the frames, COMPETITION_INDEX.mp4. Video-STaR's FineDiving-QA asks a
judge about other, unreleased questions.
"""

from collections.abc import Iterator
from typing import Any

from engine.evaluate.sets.published import Published
from engine.ingest.adapters import finediving
from engine.ingest.adapters.source import each
from engine.ingest.tables import Record, Row

FILES = "FineDiving_fine-grained_annotation.pkl, with test_split.pkl beside it; videos: the folder with COMPETITION_INDEX.mp4"


def records(published: Published) -> Iterator[Record]:
    path = published.beside("test_split.pkl")
    if not published.has(path):
        raise ValueError(f"no such file: {path}; it says which dives are the test set")

    def row(row: Row) -> Row | None:
        label: dict[str, Any] = row["label"]
        if label["kind"] != "number" or row["split"] != "heldout":
            return None
        return row | {"video": published.video(row["video"]), "split": None}

    return each(finediving.records(published.source()), row)
