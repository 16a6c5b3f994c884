"""The actor that narrates clips after shots, and compares its answers with the narrations."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from engine.decode.stage import Decoded, videos_of
from engine.episodes.narration import says, surface
from engine.evaluate.text_metrics import rouge_l
from engine.generate.seeds import derive_seed
from engine.language import similarity
from engine.rows import NARRATED, Failure, Narrated
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.weights import local
from models.base import Device, EngineSpec, ModelSpec, Sampling, Turn, VideoLLM
from models.registry import load


@dataclass(frozen=True, kw_only=True)
class NarrateSpec:
    """NarrateSpec(model=ModelSpec(base="tiny"), sampling=Sampling(temperature=0, max_tokens=32), pattern="{verb} {noun}", ...)"""

    model: ModelSpec
    device: Device
    engine: EngineSpec
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
        self._similarity = similarity.of(spec.sentence_model) if spec.sentence_model else None
        self._llm: VideoLLM = load(local(spec.model, spec.storage), spec.device, spec.engine)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        spec, queries, results = self._spec, json.loads(row["questions"]), videos_of(row)
        places = {number: place for place, number in enumerate(n for n, r in enumerate(results) if isinstance(r, Decoded))}
        videos = [result.video for result in results if isinstance(result, Decoded)]
        samples = {  # without the shots whose videos are gone, and without the queries whose videos are gone
            number: [Turn(**turn | {"clip": places[turn["clip"]]}) for turn in query["sample"] if turn["clip"] in places]
            for number, query in enumerate(queries)
            if query["sample"][-1]["clip"] in places
        }
        seeds = [self._seed(queries[number]) for number in samples]
        replies = self._llm.converse(videos, list(samples.values()), seeds, spec.sampling)
        texts = dict(zip(samples, (reply.text for reply in replies), strict=True))
        rows = []
        for number, query in enumerate(queries):
            result = results[query["sample"][-1]["clip"]]
            failure = result.kind if isinstance(result, Failure) else ""
            shown = len(samples[number]) - 1 if number in samples else 0
            rows.append(self._compare(query, texts.get(number, ""), failure, shown).to_row())
        return {
            "piece_id": row["piece_id"],
            "rows": json.dumps(rows),
            "shown": sum(map(len, samples.values())),
            "encoded": len({turn.clip for sample in samples.values() for turn in sample}),
        }

    def _seed(self, query: Mapping[str, Any]) -> int:
        return derive_seed(self._spec.seed, query["shots"], f"{query['set']}/{query['query']}/{query['control']}", "direct")

    def _compare(self, query: Mapping[str, Any], text: str, failure: str, shown: int) -> Narrated:
        """The narrator's own words decide if the narration can be taken apart; otherwise the names of the classes."""
        gold, words = query["gold"], surface(query["gold"], self._spec.pattern)
        verb, noun = (words.verb, words.noun) if words else (query["verb"], query["noun"])
        return Narrated(
            **{name: query[name] for name in ("set", "control", "shots", "query", "verb", "noun", "gold")},
            text=text,
            rouge_l=rouge_l([gold], [text])[0],
            sts=float(self._similarity([gold], [text])[0, 0]) if self._similarity else None,
            verb_right=says(text, verb),
            noun_right=says(text, noun),
            failure=failure,
            shown=shown,
            by_class=words is None,
        )


def write_answers(row: dict[str, Any], store: Store) -> dict[str, Any]:
    """Publish a piece's rows under its name."""
    rows = json.loads(row["rows"])
    store.write_table(f"pieces/{row['piece_id']}.parquet", pa.Table.from_pylist(rows, schema=NARRATED))
    return {"piece_id": row["piece_id"], "answers": len(rows), "shown": row["shown"], "encoded": row["encoded"]}
