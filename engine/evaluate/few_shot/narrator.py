"""The Ray actor that narrates clips after shots and scores its answers."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from engine.decode.stage import Origin, frames_of
from engine.episodes.narration import rouge_l_f1, says, surface
from engine.generate.seeds import derive_seed
from engine.language import similarity
from engine.rows import NARRATED, Failure, Narrated
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.weights import local
from models.base import ModelSpec, Sampling, Turn, VideoLLM
from models.registry import load


@dataclass(frozen=True, kw_only=True)
class NarrateSpec:
    """NarrateSpec(model=ModelSpec(base="tiny"), sampling=Sampling(temperature=0, max_tokens=32), pattern="{verb} {noun}", ...)"""

    model: ModelSpec
    storage: Storage
    sampling: Sampling
    pattern: str
    """episodes.pattern: where a narration has its verb and noun."""
    sentence_model: str
    """Sentence model for STS; "" for no STS."""
    seed: int


class Narrator:
    """Loads the model once per actor, then answers piece after piece (a piece is described at curve.pieces)."""

    def __init__(self, spec: NarrateSpec) -> None:
        self._spec = spec
        self._similarity = similarity.of(spec.sentence_model) if spec.sentence_model else None
        self._llm: VideoLLM = load(local(spec.model, spec.storage))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        spec, questions = self._spec, json.loads(row["questions"])
        seen, found = frames_of(row, self._llm.frames)
        frames = np.zeros((len(found), *seen.shape[1:]), np.uint8)
        usable = [isinstance(one, Origin) for one in found]
        frames[usable] = seen
        samples = [[Turn(**turn) for turn in question["sample"]] for question in questions]
        answerable = [i for i, sample in enumerate(samples) if usable[sample[-1].clip]]
        shown_turns = {i: [turn for turn in samples[i] if usable[turn.clip]] for i in answerable}
        seeds = [derive_seed(spec.seed, q["shots"], f"{q['set']}/{q['query']}/{q['control']}", "direct") for q in questions]
        replies = self._llm.converse(frames, list(shown_turns.values()), [seeds[i] for i in answerable], spec.sampling)
        texts = dict(zip(answerable, (reply.text for reply in replies), strict=True))
        rows = []
        for i, question in enumerate(questions):
            broken = found[samples[i][-1].clip]
            shown = len(shown_turns[i]) - 1 if i in shown_turns else 0
            failure = broken.kind if isinstance(broken, Failure) else ""
            rows.append(self._score(question, texts.get(i, ""), failure, shown).to_row())
        return {
            "piece_id": row["piece_id"],
            "rows": json.dumps(rows),
            "shown": sum(map(len, shown_turns.values())),
            "encoded": len({turn.clip for sample in shown_turns.values() for turn in sample}),
        }

    def _score(self, question: dict[str, Any], text: str, failure: str, shown: int) -> Narrated:
        """An answer is right if it contains the narrator's own words, or the names of the classes if the pattern does not match."""
        gold, own_words = question["gold"], surface(question["gold"], self._spec.pattern)
        verb, noun = (own_words.verb, own_words.noun) if own_words else (question["verb"], question["noun"])
        return Narrated(
            **{name: question[name] for name in ("set", "control", "shots", "query", "verb", "noun", "gold")},
            text=text,
            rouge_l=rouge_l_f1(gold, text),
            sts=float(self._similarity([gold], [text])[0, 0]) if self._similarity else None,
            verb_right=says(text, verb),
            noun_right=says(text, noun),
            failure=failure,
            shown=shown,
            by_class=own_words is None,
        )


def write_answers(row: dict[str, Any], store: Store) -> dict[str, Any]:
    """Write a piece's rows as pieces/PIECE_ID.parquet."""
    rows = json.loads(row["rows"])
    store.write_table(f"pieces/{row['piece_id']}.parquet", pa.Table.from_pylist(rows, schema=NARRATED))
    return {"piece_id": row["piece_id"], "answers": len(rows), "shown": row["shown"], "encoded": row["encoded"]}
