"""A step asks one model: its digest is noted by the first actor that has loaded it, and an actor with another one is refused."""

import json
from typing import Any

from engine.store.files import Store
from models.base import EngineSpec
from models.folders import revision
from models.registry import engine_version

NOTE = "model.json"


def note_model(store: Store, step: str, digest: str, base: str, engine: str) -> None:
    """Note the model of a step, or compare it with the one that is noted. Raises ValueError where it is another one.

    `engine`: which one answers, with its version.
    """
    path, model = f"{step}/{NOTE}", {"digest": digest, "base": base, "revision": revision(base), "engine": engine}
    if store.create(path, json.dumps(model).encode()):
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
    model: dict[str, Any] = json.loads(data) if data else {}
    return model
