"""How the files of an evaluation set become clips: a file here and a line of the table for each format.

manifest     what data.manifest may be: a table with the columns video and label, or class folders
"""

from collections.abc import Callable, Iterator

from engine.config import Data, EvaluationSet
from engine.evaluate.sets import manifest
from engine.rows import Clip
from engine.store.filesystems import Storage

Reader = Callable[[Data, Storage], Iterator[Clip]]
"""Clips of data.manifest, with videos from data.videos. Raises ValueError with the place of what is wrong."""
READERS: dict[str, Reader] = {"manifest": manifest.read}


def read_set(evaluation_set: EvaluationSet, question: str, storage: Storage) -> Iterator[Clip]:
    """The clips of a set that names its files. Raises ValueError for an unknown format and for what is wrong in the files."""
    if evaluation_set.format not in READERS:
        known = ", ".join(READERS)
        raise ValueError(f"evaluate.sets: {evaluation_set.name} has format {evaluation_set.format!r}; known are {known}")
    data = Data(manifest=evaluation_set.files, videos=evaluation_set.videos, question=question, heldout=0.0)
    return READERS[evaluation_set.format](data, storage)
