"""A step asks one model: its digest is noted by the first actor that has loaded it, and an actor with another one is refused."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from engine.store.files import FileRecord, Store
from models.base import EngineSpec
from models.folders import revision
from models.registry import engine_version

NOTE = "model.json"


def note_model(store: Store, step: str, digest: str, base: str, engine: str) -> None:
    """Note the model of a step, or compare it with the one that is noted. Raises ValueError where it is another one.

    `engine`: which one answers, with its version.
    """
    path, model = f"{step}/{NOTE}", {"digest": digest, "base": base, "revision": revision(base), "engine": engine}
    if store.create(path, _content(model)):
        return
    noted = read_model(store, step)
    if noted["digest"] != digest:
        raise ValueError(
            f"{step} was begun with model {noted['digest']} ({noted['base']}), and {base} is {digest} now; restore the weights "
            f"or the engine, or take {store.url(step)} away to make the step again with the new ones"
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
    """{"digest", "base", "revision", "engine"} of the model that a step asked; {} where none is noted.

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
