"""The actor that narrates clips after shots, and compares its answers with the narrations."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa

from engine.decode.stage import Decoded, videos_of
from engine.episodes.narration import says, surface
from engine.evaluate.few_shot.classes import ClassTexts, classify
from engine.evaluate.text_metrics import bert_score, rouge_l, sts_bi, sts_cross
from engine.generate.seeds import derive_seed
from engine.rows import NARRATED, Failure, Narrated, names_of
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.weights import local
from models.base import ChatReader, Device, EngineSpec, ModelSpec, OutOfMemory, Reply, Sample, Sampling, Turn, Video, VideoLLM
from models.registry import load

T = TypeVar("T")


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
    cross_encoder: str
    """For STS by reading both texts at once; "": none."""
    bert_model: str
    """For BERTScore; "": none."""
    bert_baseline: str
    classes: ClassTexts | None
    """The classes to choose from; None: none."""
    seed: int


class Narrator:
    """Built once per actor: loads the models; then answers pieces (engine/evaluate/few_shot/curve.py)."""

    def __init__(self, spec: NarrateSpec) -> None:
        self._spec = spec
        for score in self._text_metrics.values():
            score([], [])  # a model that cannot be loaded is known before the large one is
        self._llm: VideoLLM = load(local(spec.model, spec.storage), spec.device, spec.engine)
        if spec.classes and not isinstance(self._llm, ChatReader):
            raise ValueError(
                f"few_shot.verbs: {spec.model.base} reads no texts after shots; only a PLLaVA with the builtin engine does; leave "
                "few_shot.verbs and few_shot.nouns out"
            )

    @property
    def _text_metrics(self) -> dict[str, Callable[[list[str], list[str]], list[float]]]:
        """By column: functions of golds and answers."""
        spec, device = self._spec, self._spec.device.kind
        metrics: dict[str, Callable[[list[str], list[str]], list[float]]] = {"rouge_l": rouge_l}
        if spec.sentence_model:
            metrics["sts"] = partial(sts_bi, model=spec.sentence_model, device=device)
        if spec.cross_encoder:
            metrics["sts_cross"] = partial(sts_cross, model=spec.cross_encoder, device=device)
        if spec.bert_model:
            metrics["bert_score"] = partial(bert_score, model=spec.bert_model, baseline=spec.bert_baseline, device=device)
        return metrics

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        spec, queries, results = self._spec, json.loads(row["questions"]), videos_of(row)
        places = {number: place for place, number in enumerate(n for n, r in enumerate(results) if isinstance(r, Decoded))}
        videos = [result.video for result in results if isinstance(result, Decoded)]
        samples = {  # without the shots whose videos are gone, and without the queries whose videos are gone
            number: [Turn(**turn | {"clip": places[turn["clip"]]}) for turn in query["sample"] if turn["clip"] in places]
            for number, query in enumerate(queries)
            if query["sample"] and query["sample"][-1]["clip"] in places
        }
        seeds = {number: self._seed(queries[number]) for number in samples}
        texts = {number: reply.text for number, reply in self._replies(videos, samples, seeds).items()}
        read = {number: sample for number, sample in samples.items() if number in texts and not queries[number]["control"]}
        chosen = self._choose(videos, read)
        for number, query in enumerate(queries):
            if number in samples:
                query |= {"text": texts.get(number, ""), "shown": len(samples[number]) - 1}
                query |= dict(zip(("chosen_verb", "chosen_noun"), chosen.get(number, ("", "")), strict=True))
                if number not in texts or (spec.classes and number in read and number not in chosen):
                    query |= {"text": "", "failure": "out_of_memory"}
            elif query["sample"]:  # else it is answered without a video
                failure = results[query["sample"][-1]["clip"]]
                assert isinstance(failure, Failure)
                query |= {"failure": failure.kind}
        return {
            "piece_id": row["piece_id"],
            "rows": json.dumps([narrated.to_row() for narrated in self._compared(queries)]),
            "shown": sum(map(len, samples.values())),
            "encoded": len({turn.clip for sample in samples.values() for turn in sample}),
        }

    def _seed(self, query: Mapping[str, Any]) -> int:
        return derive_seed(self._spec.seed, query["shots"], f"{query['set']}/{query['query']}/{query['control']}", "direct")

    def _replies(self, videos: Sequence[Video], samples: Mapping[int, Sample], seeds: Mapping[int, int]) -> dict[int, Reply]:
        """Of each sample that the device's memory holds; what it does not hold at once is answered in halves."""

        def answered(part: Mapping[int, Sample]) -> dict[int, Reply]:
            own = [seeds[number] for number in part]
            return dict(zip(part, self._llm.converse(videos, list(part.values()), own, self._spec.sampling), strict=True))

        return in_halves(answered, samples)

    def _choose(self, videos: Sequence[Video], samples: Mapping[int, Sample]) -> dict[int, tuple[str, str]]:
        """The likeliest verb and noun class of each sample that the device's memory holds."""
        spec, llm = self._spec, self._llm
        if spec.classes is None or not samples:
            return {}
        assert isinstance(llm, ChatReader)
        classes = spec.classes

        def chosen(part: Mapping[int, Sample]) -> dict[int, tuple[str, str]]:
            chats = llm.open_chats(videos, list(part.values()))
            return {number: classify(partial(chats.read, place), spec.pattern, classes) for place, number in enumerate(part)}

        return in_halves(chosen, samples)

    def _compared(self, queries: Sequence[Mapping[str, Any]]) -> list[Narrated]:
        """The narrator's own words decide if the narration can be taken apart; otherwise the names of the classes."""
        golds, texts = [query["gold"] for query in queries], [query.get("text", "") for query in queries]
        scores = {name: score(golds, texts) for name, score in self._text_metrics.items()}
        rows = []
        for number, query in enumerate(queries):
            words = surface(query["gold"], self._spec.pattern)
            verb, noun = (words.verb, words.noun) if words else (query["verb"], query["noun"])
            own = {name: query[name] for name in names_of(Narrated) if name in query}
            given: dict[str, Any] = {"text": "", "failure": "", "shown": 0, "sts": None} | own
            rows.append(
                Narrated(
                    **given | {name: values[number] for name, values in scores.items()},
                    verb_right=says(texts[number], verb),
                    noun_right=says(texts[number], noun),
                    by_class=words is None,
                )
            )
        return rows


def in_halves(answered: Callable[[Mapping[int, Sample]], dict[int, T]], samples: Mapping[int, Sample]) -> dict[int, T]:
    """Where memory does not hold the samples at once, each half by itself; a sample that it does not hold alone is left out."""
    try:
        return answered(samples)
    except OutOfMemory:
        numbers = list(samples)
    if len(numbers) == 1:
        return {}
    halves = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    return {n: value for half in halves for n, value in in_halves(answered, {n: samples[n] for n in half}).items()}


def write_answers(row: dict[str, Any], store: Store) -> dict[str, Any]:
    """Publish a piece's rows under its name."""
    rows = json.loads(row["rows"])
    store.write_table(f"pieces/{row['piece_id']}.parquet", pa.Table.from_pylist(rows, schema=NARRATED))
    return {"piece_id": row["piece_id"], "answers": len(rows), "shown": row["shown"], "encoded": row["encoded"]}
