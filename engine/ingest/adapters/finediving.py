"""FineDiving (Xu et al. 2022): dives with their steps, difficulty and score, in a pickle; each dive becomes two clips.

Unpickling may run any code, so only the types of the published file are allowed: Python's own containers and numpy's arrays. The
steps are in the order of the frames; Video-STaR's builder orders them by their class numbers.
"""

import io
import pickle
import re
from collections.abc import Iterator, Sequence
from typing import Any

from engine.ingest.adapters.source import Source, ask, each, parts, worded
from engine.ingest.tables import NoFile, Record, Row, opened
from engine.labels import ClassSequence, Number

VIDEO = "{competition}_{index}.mp4"
"""The file names of Video-STaR's conversion of the frames."""
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
"""Errors that a broken or hostile pickle raises."""


class Plain(pickle.Unpickler):
    """Reads only the types of ALLOWED."""

    def find_class(self, module: str, name: str) -> Any:
        if name in ALLOWED.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it needs {module}.{name}, which is not allowed in annotations")


def load(source: Source, path: str) -> Any:
    """Raises ValueError for a pickle that is cut off, or that wants to run something."""
    with opened(path, source.storage) as file:
        data = file.read()
    try:
        return Plain(io.BytesIO(data), encoding="latin1").load()
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read as a pickle of annotations: {error or 'it is cut off'}") from None


def records(source: Source) -> Iterator[Record]:
    dives, heldout = dives_of(source)
    both = parts(dives, lambda keyed_dive: [(kind, (*keyed_dive, kind)) for kind in ("steps", "score")])
    return each(both, lambda part: _row(source, heldout, *part))


def dives_of(source: Source) -> tuple[Iterator[tuple[str, Any]], frozenset[tuple[str, int]] | None]:
    """Place, and key with annotation, of each dive; and the dives that are held out, None where no file says so."""
    annotations = load(source, source.path)
    if not isinstance(annotations, dict):
        raise ValueError(f"{source.path} holds no dictionary of dives; use FineDiving_fine-grained_annotation.pkl")
    return ((f"{source.path} dive {key}", (key, dive)) for key, dive in annotations.items()), _heldout(source)


def split_of(heldout: frozenset[tuple[str, int]] | None, competition: str, index: int) -> str | None:
    return None if heldout is None else "heldout" if (competition, index) in heldout else "train"


def _heldout(source: Source) -> frozenset[tuple[str, int]] | None:
    """The dives of test_split.pkl; None if that file is not beside the annotations."""
    folder = source.path.rpartition("/")[0]
    try:
        return frozenset(
            (str(name), int(index)) for name, index in load(source, f"{folder}/test_split.pkl" if folder else "test_split.pkl")
        )
    except NoFile:
        return None


def _row(source: Source, heldout: frozenset[tuple[str, int]] | None, key: tuple[str, int], dive: dict[str, Any], kind: str) -> Row:
    """`kind`: what the clip asks for, steps or score."""
    competition, index = str(key[0]), int(key[1])
    dive_id = f"{competition}_{index}"
    fields = {"competition": competition, "index": index, "action_type": dive.get("action_type", "")}
    label: ClassSequence | Number
    if kind == "steps":
        templates, label = STEPS, ClassSequence(items=steps(dive))
    else:
        templates, label = SCORES, Number(value=float(dive["dive_score"]))
    return {
        "clip_id": f"{dive_id}/{kind}",
        "video": source.video_of(VIDEO, fields),
        "question": ask(templates, dive_id, label),
        "label": worded(label),
        "split": source.split_of(split_of(heldout, competition, index)),
    }


def steps(dive: dict[str, Any]) -> tuple[str, ...]:
    """The steps with FineDiving's abbreviations spelled out.

    >>> steps({"sub-action_types": {7: "Entry", 3: "Inward"}, "frames_labels": [3, 3, 7]})
    ('Inward', 'Entry')
    >>> steps({"sub-action_types": "Inward,Entry"})
    ('Inward', 'Entry')
    """
    return tuple(map(spelled_out, step_names(dive)))


def step_names(dive: dict[str, Any]) -> tuple[str, ...]:
    """Names of the steps in the order of the frames: frames_labels has a class for each frame, sub-action_types names the classes.

    Class 22 is published under the name of 23.
    """
    names = dive["sub-action_types"]
    if isinstance(names, str):
        return tuple(part.strip() for part in names.replace("/", ",").split(",") if part.strip())
    if not isinstance(names, dict):
        return tuple(str(name).strip() for name in names)
    order: Sequence[int] = [int(label) for label in dive["frames_labels"]]
    changes = [label for i, label in enumerate(order) if not i or label != order[i - 1]]
    return tuple(str(names[23 if label == 22 and 22 not in names else label]).strip() for label in changes)


def spelled_out(step: str) -> str:
    """Expand FineDiving's abbreviation: "Soms." stands for somersaults.

    >>> spelled_out("2.5 Soms.Pike"), spelled_out("Entry")
    ('2.5 somersaults pike', 'Entry')
    """
    somersaults = re.fullmatch(r"([\d.]+)\s*Soms?\.?\s*(.*)", step.strip())
    return f"{somersaults[1]} somersaults {somersaults[2].casefold()}".strip() if somersaults else step.strip()
