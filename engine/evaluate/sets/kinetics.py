"""Kinetics-700-QA (Zohar et al. 2024, Video-STaR): which activity a clip of Kinetics shows, asked as a question.

validate.csv of Kinetics-400/600/700, as `starloop ingest --format kinetics` reads it: label,youtube_id,time_start,time_end,split.
Video-STaR's questions were never released (orrzohar/Video-STaR, issue 3), and a judge decided; here they are our own templates,
the label is the class with its aliases, and accuracy is by rules. qa_accuracy and qa_score ask a judge. There are
no groups.
"""

from collections.abc import Iterator

from engine.evaluate.sets.published import Published
from engine.ingest.adapters import kinetics
from engine.ingest.adapters.source import each
from engine.ingest.tables import Record, Row

FILES = "validate.csv of Kinetics; videos: CLASS/YOUTUBE_ID_000001_000011.mp4, or all in one folder"


def records(published: Published) -> Iterator[Record]:
    def row(row: Row) -> Row:
        return row | {"video": published.video(row["video"]), "split": None}

    return each(kinetics.records(published.source()), row)
