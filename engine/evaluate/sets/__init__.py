"""How the files of an evaluation set become clips: a file here and a line of a table for each format.

manifest        what data.manifest may be: a table with the columns video and label, or class folders
published       what the readers of published benchmarks share; docs/benchmark_formats.md says which files each of them reads
mvbench         MVBench: 20 tasks, with the stretches that five of them ask about
tempcompass     TempCompass: four tasks about five temporal aspects
nextqa          NExT-QA: multiple-choice, and open-ended
videomme        Video-MME, with or without subtitles
egoschema       EgoSchema: the 500 answers that are public
star            STAR: four types of questions
perceptiontest  Perception Test: its multiple-choice questions
"""

from collections.abc import Callable, Iterator
from functools import partial

from engine.config import Data, EvaluationSet
from engine.evaluate.sets import egoschema, manifest, mvbench, nextqa, perceptiontest, published, star, tempcompass, videomme
from engine.rows import Clip
from engine.store.filesystems import Storage

Reader = Callable[[Data, Storage], Iterator[Clip]]
"""Clips of data.manifest, with videos from data.videos. Raises ValueError with the place of what is wrong."""
BENCHMARKS: dict[str, published.Format] = {
    "mvbench": published.Format(mvbench.records, mvbench.FILES),
    "tempcompass": published.Format(tempcompass.records, tempcompass.FILES),
    "nextqa": published.Format(nextqa.records, nextqa.FILES),
    "videomme": published.Format(videomme.records, videomme.FILES),
    "videomme-subtitles": published.Format(videomme.records_with_subtitles, videomme.FILES),
    "egoschema": published.Format(egoschema.records, egoschema.FILES),
    "star": published.Format(star.records, star.FILES),
    "perceptiontest": published.Format(perceptiontest.records, perceptiontest.FILES),
}
"""Published benchmarks: how each is read, and which files."""
READERS: dict[str, Reader] = {"manifest": manifest.read} | {
    name: partial(published.read_published, form) for name, form in BENCHMARKS.items()
}


def read_set(evaluation_set: EvaluationSet, question: str, storage: Storage) -> Iterator[Clip]:
    """The clips of a set that names its files. Raises ValueError for an unknown format and for what is wrong in the files."""
    if evaluation_set.format not in READERS:
        known = ", ".join(READERS)
        raise ValueError(f"evaluate.sets: {evaluation_set.name} has format {evaluation_set.format!r}; known are {known}")
    data = Data(manifest=evaluation_set.files, videos=evaluation_set.videos, question=question, heldout=0.0)
    return READERS[evaluation_set.format](data, storage)
