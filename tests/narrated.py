"""EILEV's experiment on the narrated world, in one process: train on episodes, narrate held-out clips after shots."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pyarrow as pa
import torch

from builders import DECODING, a_train_job
from engine.config import RunConfig
from engine.decode.stage import Decoded, frame_columns
from engine.episodes.build import Maker, narrated, narration, shot_of
from engine.evaluate.few_shot.curve import Context, pieces
from engine.evaluate.few_shot.narrator import NarrateSpec, Narrator
from engine.presets import load_config
from engine.rows import EPISODES, Clip
from engine.store.filesystems import Storage
from jobs.episodes import Parts, divide
from laboratory import CPU, NUM_NARRATED, a_store, finetuned, narrated_scenes, video_of
from models.base import EngineSpec, ModelSpec, Sampling
from worlds import narrators

CONFIG = Path(__file__).parents[1] / "jobs" / "configs" / "icl.toml"
NUM_NARRATORS, NARRATIONS_EACH, SHOTS = 32, 300, 16
EPISODES_ARM = "episodes"
VARIANTS = {
    EPISODES_ARM: [],
    "random contexts": ['episodes.contexts="random"'],
    "12 commonest actions": ["episodes.top_actions=12"],
    "canonical narrations": ['episodes.canonical="The {noun} {verb}."'],
}
"""Without burstiness, the tail, dynamic meaning: in training only, as `make icl-ablations` does."""
SHORTER = ["train.epochs=0.5", "episodes.shots=[0,16]", "train.num_workers=1"]
Right = dict[str, bool]


def clips_of(world: int) -> list[Clip]:
    """What each narrator says of the videos that are drawn for it."""
    clips = []
    for number in range(NUM_NARRATORS):
        speaker = narrators.narrator(world, number)
        drawn = Random(f"{world}/told/{number}").sample(range(NUM_NARRATED), NARRATIONS_EACH)
        scenes = narrated_scenes(world)
        clips += [narrators.clip(scenes[index], Path(f"narrated/{world}/{index}"), speaker) for index in sorted(drawn)]
    return clips


def tried(seed: int, variant: str, settings: Sequence[str] = SHORTER) -> Right:
    """By query of a rare action: whether verb and noun are right after SHOTS shots."""
    torch.set_num_threads(1)
    config = load_config(CONFIG, ["model.allow_tiny=true", f"run.seed={seed}", *settings, *VARIANTS[variant]])
    parts = divide(clips_of(seed), config.episodes, seed)
    return answered(config, parts, trained(config, parts))


def trained(config: RunConfig, parts: Parts) -> ModelSpec:
    section, seed = config.episodes, config.run.seed
    store = a_store([narration(clip, narrated(clip, section), section.question) for clip in parts.pool])
    maker = Maker([shot_of(clip) for clip in parts.pool], section, seed)
    rows = [episode.to_row() for epoch in range(2) for episode in maker.epoch(epoch)]
    store.write_table("episodes.parquet", pa.Table.from_pylist(rows, schema=EPISODES))
    job = a_train_job(
        store,
        config.train,
        seed=seed,
        mixture=config.mixture,
        decoding=DECODING,
        model=config.spec(config.model.base),
        episodes=store.describe(["episodes.parquet"])[0],
        out="train",
    )
    return finetuned(job)


def answered(config: RunConfig, parts: Parts, model: ModelSpec) -> Right:
    section = config.episodes.model_copy(update={"contexts": "bursty", "top_actions": None, "canonical": ""})
    maker = Maker([shot_of(clip) for clip in parts.pool], section, config.run.seed)
    clips = {clip.clip_id: clip for clip in (*parts.pool, *parts.sets["rare"])}
    contexts = [
        Context(
            set="rare",
            shots=SHOTS,
            query=clip.clip_id,
            context=tuple(shot.removesuffix("/narration") for shot in maker.frozen(shot_of(clip), SHOTS, "rare").context),
        )
        for clip in parts.sets["rare"]
    ]
    narrator, right = Narrator(_spec(config, model)), Right()
    for piece in pieces(contexts, clips, section, "science"):
        shown = [Decoded(video_of(window["video"]), "v1", False) for window in json.loads(piece["windows"])]
        asked = [question for question in json.loads(piece["questions"]) if not question["control"]]
        for row in json.loads(narrator(piece | {"questions": json.dumps(asked)} | frame_columns(shown))["rows"]):
            right[row["query"]] = row["verb_right"] and row["noun_right"]
    return right


def _spec(config: RunConfig, model: ModelSpec) -> NarrateSpec:
    return NarrateSpec(
        model=model,
        device=CPU,
        engine=EngineSpec(),
        storage=Storage(),
        sampling=Sampling(temperature=0.0, max_tokens=config.generate.max_tokens),
        pattern=config.episodes.pattern,
        sentence_model="",
        cross_encoder="",
        bert_model="",
        bert_baseline="",
        classes=None,
        seed=config.run.seed,
    )
