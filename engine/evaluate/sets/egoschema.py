"""EgoSchema (Mangalam et al. 2023, egoschema/EgoSchema): questions about three minutes of Ego4D, with five options each.

questions.json: [{"q_uid", "google_drive_id", "question", "option 0", ..., "option 4"}]; the video is q_uid.mp4
subset_answers.json: {q_uid: 3}, the 500 answers that are public

Asked about are those 500; the other answers are known to the server of the challenge only. The published wording differs from model
to model; the question ends with lmms-eval's. There is one group.
"""

from collections.abc import Iterator
from typing import Any

from engine.evaluate.sets.published import Published, nth_choice, options_of, question_of
from engine.ingest.adapters.source import each
from engine.ingest.tables import Record, Row

FILES = "questions.json of EgoSchema, with subset_answers.json beside it; videos: the folder with Q_UID.mp4"
NUM_OPTIONS = 5


def records(published: Published) -> Iterator[Record]:
    answers = dict(published.source(published.beside("subset_answers.json")).json_pairs(""))

    def row(item: dict[str, Any]) -> Row | None:
        if item["q_uid"] not in answers:
            return None
        options = options_of([item[f"option {number}"] for number in range(NUM_OPTIONS)])
        return {
            "clip_id": item["q_uid"],
            "video": published.video(item["q_uid"]),
            "question": question_of(item["question"], options),
            "label": nth_choice(options, answers[item["q_uid"]]),
            "group": "subset",
        }

    return each(published.source().json_items(), row)
