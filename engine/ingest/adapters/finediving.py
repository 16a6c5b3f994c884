"""FineDiving (Xu et al. 2022): dives with their steps, difficulty and score, in a pickle; two clips a dive.

A pickle may run anything, so only what the published one is made of is read: Python's own containers and numpy's arrays. The steps
are taken in the order of the frames; Video-STaR's builder has them by their class numbers.
"""

import io
import pickle
import re
from collections.abc import Iterator, Sequence
from typing import Any

from engine.ingest.adapters.source import Source, ask, each, worded
from engine.ingest.tables import Record, Row, opened
from engine.labels import ClassSequence, Number

VIDEO = "{competition}_{index}.mp4"
"""As Video-STaR's conversion of the frames calls them."""
ALLOWED = {
    "builtins": {"dict", "list", "tuple", "set", "frozenset", "int", "float", "str", "bool", "slice"},
    "collections": {"OrderedDict", "defaultdict"},
    "numpy": {"ndarray", "dtype", "float64", "float32", "int64", "int32"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.numeric": {"_frombuffer"},
    "numpy._core.numeric": {"_frombuffer"},
    "_codecs": {"encode"},
}
STEPS = (
    "Which elements does this dive consist of, in their order?",
    "What does the diver do, step by step, from the take-off to the water?",
    "In which sequence are the parts of this dive performed?",
)
SCORES = (
    "Which score would the judges give this dive, on a scale of 1 to 100?",
    "How many points is this dive worth in the end?",
    "What is the final score of this dive?",
)


UNREADABLE = (
    *(pickle.UnpicklingError, EOFError, MemoryError, OverflowError, ImportError),
    *(ValueError, TypeError, AttributeError, IndexError, KeyError),
)
"""What a broken or hostile pickle raises."""


class Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in ALLOWED.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it wants {module}.{name}, which no annotation needs")


def load(source: Source, path: str) -> Any:
    """Raises ValueError for a pickle that is cut off, or that wants to run something."""
    with opened(path, source.storage) as file:
        data = file.read()
    try:
        return Plain(io.BytesIO(data), encoding="latin1").load()
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read as a pickle of annotations: {error or 'it is cut off'}") from None


def records(source: Source) -> Iterator[Record]:
    annotations = load(source, source.path)
    if not isinstance(annotations, dict):
        raise ValueError(f"{source.path} holds no dictionary of dives; use FineDiving_fine-grained_annotation.pkl")
    heldout = _heldout(source)
    return each(
        ((f"{source.path} dive {key}", (key, dive)) for key, dive in annotations.items()),
        lambda one: _rows(source, one[0], one[1], heldout),
    )


def _heldout(source: Source) -> frozenset[tuple[str, int]]:
    """test_split.pkl, where it lies beside the annotations."""
    folder = source.path.rpartition("/")[0]
    try:
        return frozenset(
            (str(name), int(index)) for name, index in load(source, f"{folder}/test_split.pkl" if folder else "test_split.pkl")
        )
    except ValueError as error:
        if str(error).startswith("no such file"):
            return frozenset()
        raise


def _rows(source: Source, key: tuple[str, int], dive: dict[str, Any], heldout: frozenset[tuple[str, int]]) -> list[Row]:
    competition, index = str(key[0]), int(key[1])
    dive_id = f"{competition}_{index}"
    fields = {"competition": competition, "index": index, "action_type": dive.get("action_type", "")}
    video = source.video_of(VIDEO, fields)
    split = source.split or ("heldout" if (competition, index) in heldout else "train")
    both = (("steps", STEPS, ClassSequence(items=steps(dive))), ("score", SCORES, Number(value=float(dive["dive_score"]))))
    return [
        {
            "clip_id": f"{dive_id}/{kind}",
            "video": video,
            "question": ask(templates, dive_id, label),
            "label": worded(label),
            "split": split,
        }
        for kind, templates, label in both
    ]


def steps(dive: dict[str, Any]) -> tuple[str, ...]:
    """Names of the steps in the order of the frames: frames_labels has a class a frame, sub-action_types their names.

    >>> steps({"sub-action_types": {7: "Entry", 3: "Inward"}, "frames_labels": [3, 3, 7]})
    ('Inward', 'Entry')
    >>> steps({"sub-action_types": "Inward,Entry"})
    ('Inward', 'Entry')
    """
    names = dive["sub-action_types"]
    if isinstance(names, str):
        return tuple(spelled_out(part) for part in names.replace("/", ",").split(",") if part.strip())
    if not isinstance(names, dict):
        return tuple(spelled_out(str(name)) for name in names)
    order: Sequence[int] = [int(label) for label in dive["frames_labels"]]
    told = [label for i, label in enumerate(order) if not i or label != order[i - 1]]
    return tuple(spelled_out(str(names[label])) for label in told)


def spelled_out(step: str) -> str:
    """A step as one says it: nobody who sees it says Soms.

    >>> spelled_out("2.5 Soms.Pike"), spelled_out("Entry")
    ('2.5 somersaults pike', 'Entry')
    """
    found = re.fullmatch(r"([\d.]+)\s*Soms?\.?\s*(.*)", step.strip())
    return f"{found[1]} somersaults {found[2].casefold()}".strip() if found else step.strip()
