"""Finds the module that serves a checkpoint: another kind of model needs a folder under models/ and a line here.

A module is imported when a checkpoint of its kind is used. Its functions that only look at small files import no torch.
"""

import importlib
from pathlib import Path
from typing import cast

from models.base import Device, EngineSpec, Family, FinetuneSpec, FrameSpec, ModelSize, ModelSpec, TokenCounter, Trainee, VideoLLM

FAMILIES = {
    "pllava": "models.pllava.family",
    "llava": "models.pllava.family",
    "llava_next": "models.pllava.family",
}
"""model_type of config.json -> the module that serves such checkpoints; it has the functions of models/base.py's Family."""
NATIVE = "models.native.family"
"""Serves the other kinds that transformers has with videos."""


def family(spec: ModelSpec) -> Family:
    """The module that serves a checkpoint. Raises ValueError where there is none."""
    from models.folders import config_of, is_original_llava, unread_kind

    config = config_of(spec.base)
    if (kind := str(config.get("model_type"))) in FAMILIES:
        return cast(Family, importlib.import_module(FAMILIES[kind]))
    native = importlib.import_module(NATIVE)
    if is_original_llava(config) or not native.serves(kind):
        raise unread_kind(spec.base_name, config, ", ".join(FAMILIES))
    return cast(Family, native)


ENGINES = {"vllm": "models.vllm.engine"}
"""generate.engine -> the module that serves it; it has load(spec, device, engine) -> VideoLLM. "builtin" is each family's own."""


def refuse_unknown_engine(engine: str) -> None:
    """Raises ValueError for an engine that is not in the table."""
    if engine not in ("builtin", *ENGINES):
        raise ValueError(f"generate.engine = {engine!r}: known are {', '.join(['builtin', *ENGINES])}")


BUILTIN = EngineSpec()


def engine_version(engine: str) -> str:
    """The engine with its version, as digests name it: "builtin", "vllm-0.32.0"; "vllm" where it is not installed here."""
    if engine == BUILTIN.name:
        return engine
    refuse_unknown_engine(engine)
    version: str = importlib.import_module(ENGINES[engine]).version()
    return version


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
    """How large the model is, from its config.json alone."""
    return family(spec).size(spec, finetune)


def frame_spec(spec: ModelSpec) -> FrameSpec:
    """What the model watches, without loading its weights."""
    return family(spec).frame_spec(spec)


def version(spec: ModelSpec) -> str:
    """The digest that the loaded model will have, of all bytes of its files; they are read once per machine."""
    return family(spec).version(spec)


def token_counter(spec: ModelSpec) -> TokenCounter:
    """Counts the tokens of samples; its tokenizer is opened here, once."""
    return family(spec).token_counter(spec)


def trainee(spec: ModelSpec, finetune: FinetuneSpec, seed: int, device: Device, read_weights: bool = True) -> Trainee:
    """The base with a fresh adapter, initialised from the seed; see Family.trainee."""
    return family(spec).trainee(spec, finetune, seed, device, read_weights)


def shrink(spec: ModelSpec, folder: Path, seed: int) -> ModelSpec:
    """Write a small random checkpoint of the same architecture, for a rehearsal; see Family.shrink.

    A hub id that a family has published needs no hub.
    """
    for module in dict.fromkeys([*FAMILIES.values(), NATIVE]):
        published = cast(Family, importlib.import_module(module))
        if spec.base in published.PUBLISHED:
            return published.shrink(spec, folder, seed)
    return family(spec).shrink(spec, folder, seed)
