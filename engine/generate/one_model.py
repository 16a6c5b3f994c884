"""A step asks one model: its digest is noted by the first actor that has loaded it, and an actor with another one is refused."""

import json
from typing import Any

from engine.store.files import Store

NOTE = "model.json"


def note_model(store: Store, step: str, digest: str, base: str, revision: str) -> None:
    """Note the model of a step, or compare it with the one that is noted. Raises ValueError where it is another one.

    `revision`: what a hub id resolved to; "" for a folder or URI.
    """
    path, model = f"{step}/{NOTE}", {"digest": digest, "base": base, "revision": revision}
    if store.create(path, json.dumps(model).encode()):
        return
    noted = read_model(store, step)
    if noted["digest"] != digest:
        raise ValueError(
            f"{step} was begun with model {noted['digest']} ({noted['base']}), and {base} is {digest} now; restore the weights "
            f"or the engine, or take {store.url(step)} away to make the step again with the new ones"
        )


def read_model(store: Store, step: str) -> dict[str, Any]:
    """{"digest", "base", "revision"} of the model that a step asked; {} where none is noted."""
    data = store.read(f"{step}/{NOTE}")
    model: dict[str, Any] = json.loads(data) if data else {}
    return model
