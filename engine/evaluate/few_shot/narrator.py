"""The actor that narrates clips after shots, and what its answers are worth."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from engine.decode.stage import Origin, frames_of
from engine.episodes.narration import rouge_l, says, surface
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
    """Where a narration has its verb and noun."""
    sentence_model: str
    """For STS; "": none."""
    seed: int


class Narrator:
    """Built once per actor: loads the model; then answers pieces (engine/evaluate/few_shot/curve.py)."""

    def __init__(self, spec: NarrateSpec) -> None:
        self._spec = spec
        self._alike = similarity.of(spec.sentence_model) if spec.sentence_model else None
        self._llm: VideoLLM = load(local(spec.model, spec.storage))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        spec, asked = self._spec, json.loads(row["asked"])
        seen, found = frames_of(row, self._llm.frames)
        frames = np.zeros((len(found), *seen.shape[1:]), np.uint8)
        usable = [isinstance(one, Origin) for one in found]
        frames[usable] = seen
        samples = [[Turn(**turn) for turn in one["sample"]] for one in asked]
        able = [i for i, sample in enumerate(samples) if usable[sample[-1].clip]]
        whole = {i: [turn for turn in samples[i] if usable[turn.clip]] for i in able}
        seeds = [derive_seed(spec.seed, one["shots"], f"{one['set']}/{one['query']}/{one['control']}", "direct") for one in asked]
        replies = self._llm.converse(frames, list(whole.values()), [seeds[i] for i in able], spec.sampling)
        texts = dict(zip(able, (reply.text for reply in replies), strict=True))
        rows = []
        for i, one in enumerate(asked):
            broken = found[samples[i][-1].clip]
            shown = len(whole[i]) - 1 if i in whole else 0
            rows.append(self._judged(one, texts.get(i, ""), broken.kind if isinstance(broken, Failure) else "", shown).to_row())
        return {
            "piece_id": row["piece_id"],
            "rows": json.dumps(rows),
            "shown": sum(map(len, whole.values())),
            "encoded": len({turn.clip for sample in whole.values() for turn in sample}),
        }

    def _judged(self, one: dict[str, Any], text: str, failure: str, shown: int) -> Narrated:
        """The narrator's own words count, where the narration can be taken apart; else the names of the classes."""
        gold, told = one["gold"], surface(one["gold"], self._spec.pattern)
        verb, noun = (told.verb, told.noun) if told else (one["verb"], one["noun"])
        return Narrated(
            **{name: one[name] for name in ("set", "control", "shots", "query", "verb", "noun", "gold")},
            text=text,
            rouge_l=rouge_l(gold, text),
            sts=float(self._alike([gold], [text])[0, 0]) if self._alike else None,
            verb_right=says(text, verb),
            noun_right=says(text, noun),
            failure=failure,
            shown=shown,
            by_class=told is None,
        )


def write_answers(row: dict[str, Any], store: Store) -> dict[str, Any]:
    """Publish a piece's rows under its name."""
    rows = json.loads(row["rows"])
    store.write_table(f"pieces/{row['piece_id']}.parquet", pa.Table.from_pylist(rows, schema=NARRATED))
    return {"piece_id": row["piece_id"], "answers": len(rows), "shown": row["shown"], "encoded": row["encoded"]}
