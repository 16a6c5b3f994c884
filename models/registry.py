"""Finds the module that serves a checkpoint: another kind of model needs a folder under models/ and a line here.

A module is imported when a checkpoint of its kind is used. Its functions that only look at small files import no torch.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

from models.base import Device, EngineSpec, Family, FinetuneSpec, FrameSpec, ModelSize, ModelSpec, TokenCounter, Trainee, VideoLLM

PLLAVA = "models.pllava.family"
FAMILIES = {"pllava": PLLAVA, "llava": PLLAVA, "llava_next": PLLAVA}
"""model_type of config.json -> the module that serves such checkpoints; it has the functions of models/base.py's Family."""
POOLED = {"llava_next_video": PLLAVA, "llava_onevision": PLLAVA}
"""The same of checkpoints that are given a pool by model.pooling, or whose config.json says how they are pooled, as an export's."""
NATIVE = "models.native.family"
"""Serves the other kinds that transformers has with videos."""


def family(spec: ModelSpec) -> Family:
    """The module that serves a checkpoint. Raises ValueError where there is none."""
    from models.folders import config_of, is_original_llava, unread_kind

    config = config_of(spec.base)
    kind = str(config.get("model_type"))
    module = module_of(kind, spec, "pooling_shape" in config)
    served = importlib.import_module(module)
    if module == NATIVE and (is_original_llava(config) or not served.serves(kind)):
        raise unread_kind(spec.base_name, config, ", ".join(FAMILIES))
    return cast(Family, served)


def module_of(kind: str, spec: ModelSpec, is_pooled: bool = False) -> str:
    """The module for a model_type; `is_pooled`: its config.json says how. Raises ValueError for a pool that it cannot be given."""
    if kind in POOLED and (spec.pooling or is_pooled):
        return POOLED[kind]
    module = FAMILIES.get(kind)
    if spec.pools and module != PLLAVA:
        key = f"model.{spec.pools[0]}"
        if kind in POOLED:
            raise ValueError(f'{key}: {spec.base_name} needs a pool by its name too, such as model.pooling = "pllava"')
        kinds = ", ".join(name for name, served_by in (FAMILIES | POOLED).items() if served_by == PLLAVA)
        raise ValueError(f"{key}: {spec.base_name} is a {kind!r} checkpoint, and a pool is for the kinds {kinds}; leave it out")
    return module or NATIVE


ENGINES = {"openai": "models.endpoint.engine", "vllm": "models.vllm.engine"}
"""generate.engine -> the module that serves it; it has load(spec, device, engine) -> VideoLLM. "builtin" is each family's own."""
ELSEWHERE = frozenset({"openai"})
"""Engines that ask a model on another machine: no checkpoint is opened, and no GPU is used. Their modules have greet and frame_spec
too (models/endpoint/engine.py)."""


BUILTIN = EngineSpec()


def engines() -> list[str]:
    """The values that generate.engine may have."""
    return [BUILTIN.name, *ENGINES]


def refuse_unknown_engine(engine: str) -> None:
    """Raises ValueError for an engine that is not in the table."""
    if engine not in engines():
        raise ValueError(f"generate.engine = {engine!r}: known are {', '.join(engines())}")


def engine_version(engine: str) -> str:
    """The engine with its version, as digests name it: "builtin", "vllm-0.32.0"; "vllm" where it is not installed here."""
    if engine == BUILTIN.name:
        return engine
    refuse_unknown_engine(engine)
    version: str = importlib.import_module(ENGINES[engine]).version()
    return version


def can_score(engine: str) -> bool:
    """Whether an engine reads texts after the prefixes of clips (Watched.score)."""
    return engine == BUILTIN.name or bool(getattr(importlib.import_module(ENGINES[engine]), "SCORES", False))


def check_engine(spec: ModelSpec, engine: EngineSpec) -> None:
    """Raises ValueError for what an engine cannot do with a model. It reads small files only, and imports no engine."""
    refuse_unknown_engine(engine.name)
    if engine.name != BUILTIN.name:
        importlib.import_module(ENGINES[engine.name]).check(spec, engine)


def load(spec: ModelSpec, device: Device, engine: EngineSpec = BUILTIN) -> VideoLLM:
    """The model, ready to answer. Raises ValueError for an engine or a checkpoint that is not there, or lacks a weight."""
    refuse_unknown_engine(engine.name)
    if engine.name == BUILTIN.name:
        return family(spec).load(spec, device)
    loaded: VideoLLM = importlib.import_module(ENGINES[engine.name]).load(spec, device, engine)
    return loaded


def check(spec: ModelSpec) -> None:
    """Raises ValueError naming what is wrong with the checkpoint's files; of weights it reads the headers only."""
    family(spec).check(spec)


def size(spec: ModelSpec, finetune: FinetuneSpec) -> ModelSize:
    """How large the model is, from its small files alone. A hub id that a family has published needs no hub."""
    return (_publisher(spec) or family(spec)).size(spec, finetune)


def check_finetune(spec: ModelSpec, finetune: FinetuneSpec) -> None:
    """Raises ValueError for a finetune that the model cannot have: see Family.check_finetune."""
    (_publisher(spec) or family(spec)).check_finetune(spec, finetune)


def frame_spec(spec: ModelSpec, engine: EngineSpec = BUILTIN) -> FrameSpec:
    """What the model watches, without loading its weights."""
    if engine.name in ELSEWHERE:
        watched: FrameSpec = importlib.import_module(ENGINES[engine.name]).frame_spec(spec, engine)
        return watched
    return family(spec).frame_spec(spec)


def greet(spec: ModelSpec, engine: EngineSpec) -> str:
    """Ask a server of ELSEWHERE a test question; returns the digest of its model.

    Raises ValueError where it refuses the question, ModelAway where it does not answer within seconds.
    """
    digest: str = importlib.import_module(ENGINES[engine.name]).greet(spec, engine)
    return digest


def version(spec: ModelSpec) -> str:
    """The digest that the loaded model will have, of all bytes of its files; they are read once per machine."""
    return family(spec).version(spec)


def token_counter(spec: ModelSpec) -> TokenCounter:
    """Counts the tokens of samples; its tokenizer is opened here, once."""
    return family(spec).token_counter(spec)


def trainee(spec: ModelSpec, finetune: FinetuneSpec, seed: int, device: Device, read_weights: bool = True) -> Trainee:
    """The base with a fresh adapter, initialised from the seed; see Family.trainee."""
    return family(spec).trainee(spec, finetune, seed, device, read_weights)


def export(spec: ModelSpec, out: Path, report: Callable[[str], None]) -> None:
    """Write one folder, with the spec's adapter merged, that other tools load; see Family.export."""
    family(spec).export(spec, out, report)


def shrink(spec: ModelSpec, folder: Path, seed: int) -> ModelSpec:
    """Write a small random checkpoint of the same architecture, for a rehearsal; see Family.shrink.

    A hub id that a family has published needs no hub.
    """
    return (_publisher(spec) or family(spec)).shrink(spec, folder, seed)


def _publisher(spec: ModelSpec) -> Family | None:
    """The module that serves a hub id and knows its architecture without the hub."""
    for module in dict.fromkeys((*FAMILIES.values(), *POOLED.values(), NATIVE)):
        published = cast(Family, importlib.import_module(module))
        kind = published.PUBLISHED.get(spec.base)
        if kind is not None and module_of(kind, spec) == module:
            return published
    return None
