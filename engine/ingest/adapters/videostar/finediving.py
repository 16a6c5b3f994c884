"""FineDiving as Video-STaR asks about it: five questions for each dive of FineDiving_fine-grained_annotation.pkl.

Steps keep their published names ("3.5 Soms.Tuck"). They are in the order of the frames; the release orders them by class numbers.
"""

from collections.abc import Iterator
from typing import Any

from engine.ingest.adapters.finediving import VIDEO, dives_of, split_of, step_names
from engine.ingest.adapters.source import Source, each, parts, worded
from engine.ingest.adapters.videostar.parts import sentence_label, spelled
from engine.ingest.adapters.videostar.questions import Pools, worded_question, wordings
from engine.ingest.tables import Record, Row
from engine.labels import All, ClassSequence, Keywords, Label, Number

GROUP = "FineDiving"
KINDS = ("after", "before", "sequence", "quality", "score")


def records(source: Source) -> Iterator[Record]:
    pools, (dives, heldout) = wordings(source), dives_of(source)
    questions = parts(dives, lambda keyed_dive: [(kind, (*keyed_dive, kind)) for kind in KINDS])

    def row(question: tuple[tuple[str, int], dict[str, Any], str]) -> Row:
        (competition, index), dive, kind = question
        split = split_of(heldout, str(competition), int(index))
        return _row(source, pools, f"{competition}_{int(index)}", dive, kind) | {"split": source.split_of(split)}

    return each(questions, row)


def _row(source: Source, pools: Pools, dive_id: str, dive: dict[str, Any], kind: str) -> Row:
    clip_id = f"{dive_id}/{kind}"
    competition, _, index = dive_id.rpartition("_")
    label, values = _label(dive, kind)
    return {
        "clip_id": clip_id,
        "video": source.video_of(VIDEO, {"competition": competition, "index": index}),
        "question": worded_question(pools, "quality" if kind == "score" else kind, clip_id, label, values),
        "label": worded(label),
        "group": GROUP,
    }


def _label(dive: dict[str, Any], kind: str) -> tuple[Label, dict[str, Any]]:
    names = step_names(dive)
    if kind in ("after", "before") and len(names) < 2:
        raise ValueError("its dive has one step, with nothing before or after it")
    score = Number(key="final_score", value=float(dive["dive_score"]))
    sequence = ClassSequence(key="action_sequence", items=names)
    match kind:
        case "after":
            return sentence_label("action_after_action", names[1], "span"), {"action": names[0]}
        case "before":
            return sentence_label("action_before_action", names[0], "span"), {"action": names[1]}
        case "sequence":
            return sequence, {}
        case "score":
            return score, {}
    difficulty = Keywords(key="action_difficulty", text=spelled(dive["difficulty"]))
    return All(labels=(sequence, difficulty, score)), {}
