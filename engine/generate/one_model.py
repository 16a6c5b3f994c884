"""A step asks one model in one precision: the first actor that has loaded it notes both; an actor with another one is refused."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from engine.store.files import FileRecord, Store
from models.base import Dtype, EngineSpec
from models.folders import revision
from models.registry import engine_version

NOTE = "model.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model as an actor has loaded it: Loaded(digest="9f3c...", base="tiny", engine="vllm-0.32.0", dtype="bfloat16")"""

    digest: str
    base: str
    engine: str
    """Which one answers, with its version."""
    dtype: Dtype | Literal[""]
    """In which the model computes; "" for one on another machine. It follows from the GPUs where model.dtype is "auto"."""


def note_model(store: Store, step: str, model: Loaded, has_lora: bool = False) -> None:
    """Note the model of a step, or compare it with the one that is noted. Raises ValueError where it is another one.

    An earlier version noted no dtype: then any is right for a model without a LoRA. It added a LoRA to the weights and rounded the
    sums to the nearest number, which below float32 is another model than a LoRA beside its weights, or sums that are rounded at
    random.
    """
    if store.create(f"{step}/{NOTE}", _content(asdict(model) | {"revision": revision(model.base)})):
        return
    noted = read_model(store, step)
    if noted["digest"] != model.digest:
        raise ValueError(
            f"{step} was begun with model {noted['digest']} ({noted['base']}), and {model.base} is {model.digest} now; restore the "
            f"weights or the engine, or take {store.url(step)} away to make the step again with the new ones"
        )
    if "dtype" not in noted and has_lora and model.dtype != "float32":
        raise ValueError(
            f"{step} was begun by an earlier version of Starloop, which computed a LoRA in {model.dtype} otherwise; finish it with "
            f"that version, or take {store.url(step)} away to make it again"
        )
    if noted.get("dtype", model.dtype) != model.dtype:
        raise ValueError(
            f"{step} was begun in {noted['dtype']}, and {model.base} computes in {model.dtype} now, which is another model: finish "
            f"it with the GPUs that it began with (cluster.generator_gpus), or take {store.url(step)} away to make it again"
        )


def refuse_other_engine(store: Store, step: str, engine: EngineSpec) -> None:
    """Raises ValueError where the step is under way with another engine, or another version of it, before a GPU is asked for.

    A version is known where the engine is installed beside the driver; elsewhere the actors compare it.
    """
    noted, now = read_model(store, step), engine_version(engine.name)
    begun_with = noted.get("engine", "builtin")
    if noted and begun_with != now and not begun_with.startswith(f"{now}-"):
        raise ValueError(
            f"{step} was begun with the engine {begun_with}, and generate.engine is {now} now; finish the step with that one, or "
            f"take {store.url(step)} away to make it again; later steps may have another engine"
        )


def read_model(store: Store, step: str) -> dict[str, Any]:
    """{"digest", "base", "revision", "engine", "dtype"} of the model that a step asked; {} where none is noted.

    "revision": what a hub id resolved to; "" for a folder or URI.
    """
    data = store.read(f"{step}/{NOTE}")
    if data is None:
        return {}
    try:
        model: dict[str, Any] = json.loads(data)
        _ = model["digest"], model["base"]
        return model
    except (ValueError, KeyError, TypeError) as error:
        url = store.url(f"{step}/{NOTE}")
        raise ValueError(
            f"{url} is not what a step notes of its model ({type(error).__name__}: {error}); restore it, or take "
            f"{store.url(step)} away to make the step again"
        ) from None


def note_of(step: str, model: Mapping[str, Any]) -> FileRecord:
    """The file that notes a step's model, as it was written. `model`: what the seal holds of it, facts["model"]."""
    data = _content(model)
    return FileRecord(path=f"{step}/{NOTE}", size=len(data), sha256=hashlib.sha256(data).hexdigest())


def restore_note(store: Store, step: str, model: Mapping[str, Any]) -> None:
    """Write the file again from what the step's seal holds of it."""
    store.write(f"{step}/{NOTE}", _content(model))


def _content(model: Mapping[str, Any]) -> bytes:
    return json.dumps(model).encode()
