"""STAR (Wu et al. 2021, csbobby/STAR_Benchmark): questions of four types about stretches of Charades, with four options each.

STAR_val.json: [{"question_id": "Interaction_T1_13", "question", "video_id": "6H78U", "start", "end", "answer", "choices": [...]}]

Its questions are read as `starloop ingest --format star` reads them. A group is the question's type: Interaction, Sequence,
Prediction or Feasibility. The challenge reports their accuracies and the mean of the four, which is accuracy_by_group. The
question ends with lmms-eval's wording; there is no published one.
"""

from collections.abc import Iterator
from functools import partial

from engine.evaluate.sets.published import BY_LETTER, Published
from engine.ingest.adapters import star
from engine.ingest.adapters.source import each
from engine.ingest.tables import Record, Row

FILES = "STAR_val.json of STAR (the answers of STAR_test.json are not public); videos: Charades, VIDEO_ID.mp4"
TYPES = ("Interaction", "Sequence", "Prediction", "Feasibility")


def records(published: Published) -> Iterator[Record]:
    return each(star.records(published.source()), partial(_row, published))


def _row(published: Published, row: Row) -> Row:
    kind = row["clip_id"].partition("_")[0]
    if kind not in TYPES:
        raise ValueError(f"question_id {row['clip_id']!r} begins with none of {', '.join(TYPES)}")
    row["question"] += f"\n{BY_LETTER}"
    return row | {"video": published.video(row["video"]), "group": kind, "split": None}
