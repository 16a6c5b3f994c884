"""The few-shot curve of one model on the contexts of an episodes folder: decode, narrate and write pieces, then read them all.

The name of a piece is a digest of the model and its questions, so a killed evaluation continues, and a finished one is only read.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from typing import Any

from engine import flow
from engine.config import RunConfig
from engine.connection import connect
from engine.decode.stage import decode_windows
from engine.evaluate.few_shot.classes import class_texts
from engine.evaluate.few_shot.curve import Context, Point, curve, pieces, read_contexts, too_many_unusable
from engine.evaluate.few_shot.gains import gains, measure_of, trends
from engine.evaluate.few_shot.narrator import NarrateSpec, Narrator, write_answers
from engine.evaluate.text_metrics import refuse_missing
from engine.ingest.clips import from_table
from engine.nodes.look import take_inventory
from engine.nodes.placement import demands, placed
from engine.report.curve import BASELINES, Drawn, svg
from engine.report.few_shot import CONTROLS
from engine.rows import Clip, Narrated
from engine.run.resources import needs
from engine.run.waiting import Waiting
from engine.run.work import Progress, decoding_of
from engine.store.documents import to_json
from engine.store.files import Store, digest
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError
from engine.store.weights import local, version
from models import registry
from models.base import ModelSpec, Sampling
from models.folders import SMALL_FILES

CONTEXTS, SETTINGS = "contexts", "settings.json"
"""In an episodes folder: the contexts to evaluate with, and the settings that it was made with, which are written last."""
EVALUATION = "evaluation.json"
"""In the folder of the answers: which model was evaluated, and with which settings."""


def settings_of(store: Store) -> list[str]:
    """The settings that an episodes folder was made with, as KEY=VALUE: the evaluation has to prompt in the same way."""
    data = store.read(SETTINGS)
    if data is None:
        raise ValueError(f"no {SETTINGS} in {store.url()}; `starloop episodes` makes such a folder, and writes that last")
    section = json.loads(data)["episodes"]
    return [f"episodes.{key}={json.dumps(value, ensure_ascii=False)}" for key, value in section.items() if value is not None]


def read_clips(store: Store) -> dict[str, Clip]:
    """The clips of an episodes folder, by clip_id. Raises ValueError if the folder has no readable clips."""
    try:
        return {clip.clip_id: clip for clip in from_table(store.read_table("clips.parquet"))}
    except (StorageError, KeyError, ValueError) as error:
        raise ValueError(f"{store.url('clips.parquet')} is not what `starloop episodes` wrote ({error}); make it again") from None


def few_shot(
    episodes: Store, out: Store, config: RunConfig, adapter: str, title: str, report: Callable[[Progress], None]
) -> dict[str, Any]:
    """{"model", "adapter", "episodes": the section, "points": [Point as a dict], "baselines": shares by set, kind and shots}

    `out` gets the same as curve.json, and plots.

    Raises ValueError if the folder holds no contexts, or if too many of the queries have no usable video.
    """
    clips, contexts, section = read_clips(episodes), _read_all_contexts(episodes), config.episodes
    spec = _spec_of(config, adapter, clips)
    all_pieces = list(pieces(contexts, clips, section, _key_of(spec)))
    settings = {"model": config.model.base, "adapter": adapter, "episodes": section.model_dump(mode="json")}
    # before the cluster starts: fails early if `out` cannot be written
    out.write(EVALUATION, to_json(settings, indent=1))
    counts = _answer(all_pieces, spec, out, config, report)
    rows = [Narrated(**row) for piece in all_pieces for row in out.read_table(f"pieces/{piece['piece_id']}.parquet").to_pylist()]
    if reason := too_many_unusable(rows, config.limits.failure_rate):
        raise ValueError(
            f"{out.url()} has no curve: {reason}; see the videos of {episodes.url('clips.parquet')}, or raise the limit"
        )
    videos = {clip_id: clip.video for clip_id, clip in clips.items()}
    points = curve(rows, videos, config.few_shot.bleu, spec.classes)
    result: dict[str, Any] = settings | {"points": [asdict(point) for point in points], "baselines": _baselines(episodes)} | counts
    out.write("curve.json", to_json(result, indent=1))
    if config.few_shot.gains:
        _write_gains(out, rows, [clip for clip in clips.values() if clip.split == "train"])
    for name in sorted({point.set for point in points}):
        out.write(f"{name}.svg", svg(f"{title}: {name}", series_of(points, name, result["baselines"].get(name, {}))).encode())
    return result


def _answer(
    all_pieces: list[dict[str, Any]], spec: NarrateSpec, out: Store, config: RunConfig, report: Callable[[Progress], None]
) -> dict[str, int]:
    """Write the pieces that are not there yet; returns how many clips these show, and how many were encoded for it."""
    written = {name.removesuffix(".parquet") for name in out.names("pieces")}
    todo = [piece for piece in all_pieces if piece["piece_id"] not in written]
    total = sum(piece["answers"] for piece in all_pieces)
    done = before = total - sum(piece["answers"] for piece in todo)
    shown = encoded = 0
    if todo:
        with connect(config.cluster.address, *needs(config), run=out.url()), ExitStack() as stack:
            cluster, _ = placed(config.cluster, take_inventory())
            needed = demands(cluster, "evaluate", config.train.num_workers)
            waiting = stack.enter_context(Waiting("few-shot", needed, config.limits.resource_patience_s))
            stages = _stages(config.model_copy(update={"cluster": cluster}), spec, out)
            rows = stack.enter_context(closing(flow.run(todo, stages, flow.Manner(check=waiting.check))))  # before Ray is shut down
            for row in rows:
                waiting.progress()
                done, shown, encoded = done + row["answers"], shown + row["shown"], encoded + row["encoded"]
                report(Progress(step="few-shot", unit="answers", done=done, total=total, before=before))
    return {"clips_shown": shown, "clips_encoded": encoded} if shown else {}


def _write_gains(out: Store, rows: list[Narrated], trained: list[Clip]) -> None:
    measure = measure_of(rows)
    table = gains(rows, trained, measure)
    correlated = {name: {kind: asdict(trend) for kind, trend in kinds.items()} for name, kinds in trends(table).items()}
    facts = {"measure": measure, "trends": correlated, "classes": [asdict(gain) for gain in table]}
    out.write("gains.json", to_json(facts, indent=1) + b"\n")


def _key_of(spec: NarrateSpec) -> str:
    """Names the model and what its answers are compared by."""
    measured_by = (spec.sentence_model, spec.cross_encoder, spec.bert_model, spec.bert_baseline, repr(spec.classes))
    return digest([repr(spec.model), weights_of(spec.model, spec.storage), repr(spec.sampling), spec.pattern, *measured_by])


def _spec_of(config: RunConfig, adapter: str, clips: Mapping[str, Clip]) -> NarrateSpec:
    """Raises ValueError for a metric whose library is missing, or classes that cannot be read."""
    few = config.few_shot
    refuse_missing([*few.metrics, *(["sts_bi"] if config.verify.sentence_model else [])])
    if few.verbs and config.generate.engine != registry.BUILTIN.name:
        raise ValueError(
            f"few_shot.verbs: generate.engine = {config.generate.engine!r} reads no texts after shots; leave few_shot.verbs and "
            "few_shot.nouns out, or use the builtin engine"
        )
    return NarrateSpec(
        model=_without_answer_start(config.spec(config.model.base, adapter or None, config.evaluate.lora_alpha)),
        device=config.model.device(config.cluster.generator_gpus),
        engine=config.generate.engine_spec(config.cluster.generator_gpus),
        storage=config.access(),
        sampling=Sampling(temperature=0.0, max_tokens=config.generate.max_tokens, stop=config.generate.stop),
        pattern=config.episodes.pattern,
        sentence_model=config.verify.sentence_model,
        cross_encoder=few.cross_encoder,
        bert_model=few.bert_model,
        bert_baseline=few.bert_baseline,
        classes=class_texts({"verb": few.verbs, "noun": few.nouns}, clips.values(), config.access()) if few.verbs else None,
        seed=config.run.seed,
    )


def _without_answer_start(model: ModelSpec) -> ModelSpec:
    """Narrations do not begin as the answers to the loop's questions do."""
    return replace(model, chat=replace(model.chat, answer_start=""))


def weights_of(model: ModelSpec, storage: Storage) -> list[str]:
    """What names the weights of base and adapter: a digest of all bytes of those that are on this machine or on the hub.

    Weights behind a URI are not fetched for it: their names, sizes and versions name them.
    """
    if "://" in model.base:
        return [version(uri, storage) for uri in (model.base, model.adapter) if uri]
    if model.adapter and "://" in model.adapter:
        return [registry.version(replace(model, adapter=None)), version(model.adapter, storage)]
    return [registry.version(model)]


def _read_all_contexts(episodes: Store) -> list[Context]:
    contexts = []
    for name in episodes.names(CONTEXTS):
        if (match := re.fullmatch(r"(.+)-(\d+)-shot\.jsonl", name)) is None:
            continue
        data = episodes.read(f"{CONTEXTS}/{name}")
        assert data is not None
        contexts += read_contexts(match[1], int(match[2]), data.decode(errors="replace"))
    if not contexts:
        raise ValueError(f"no contexts in {episodes.url(CONTEXTS)}; `starloop episodes` makes them of held-out clips")
    return contexts


def _stages(config: RunConfig, spec: NarrateSpec, out: Store) -> list[flow.Stage]:
    cluster, frames = config.cluster, registry.frame_spec(local(spec.model, spec.storage, SMALL_FILES))
    decode = {"spec": frames, "decoding": decoding_of(config)}
    return [
        flow.Stage(name="decode", work=decode_windows, args=decode, cpus=cluster.decode_cpus, node_labels=cluster.decode_selector),
        flow.Stage(
            name="narrate",
            work=Narrator,
            args={"spec": spec},
            actors=cluster.num_generators,
            cpus=cluster.generator_cpus,
            gpus=cluster.generator_gpus,
            node_labels=cluster.generator_selector,
            runtime_env=cluster.generator_env,
        ),
        flow.Stage(name="write", work=write_answers, args={"store": out}, cpus=0, node_labels=cluster.generator_selector),
    ]


def _baselines(episodes: Store) -> dict[str, dict[str, dict[str, float]]]:
    """The text-only baselines of each set: {"rare": {"ceiling": {"4": 0.79}, "counting": {"4": 0.24}}}; {} where none are known."""
    try:
        properties = json.loads(episodes.read("properties.json") or b"")
        return {
            name: {kind: {shots: of[kind] for shots, of in value["text_only"].items()} for kind in BASELINES}
            for name, value in properties.items()
            if isinstance(value, dict) and value.get("text_only")
        }
    except (ValueError, KeyError, TypeError, AttributeError):  # of another version: a curve is worth more than its baselines
        return {}


def series_of(points: list[Point], name: str, baselines: Mapping[str, Mapping[str, float]]) -> dict[str, list[Drawn]]:
    """The lines of a set's plot, by name: shares with verb and noun right."""
    lines = {
        line: [
            (point.shots, point.both, point.both_low, point.both_high)
            for point in points
            if (point.set, point.control) == (name, control)
        ]
        for line, control in CONTROLS.items()
    }
    return lines | {
        BASELINES[kind]: [(int(shots), value, value, value) for shots, value in of.items()] for kind, of in baselines.items()
    }
