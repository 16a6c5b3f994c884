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
openqa          ActivityNet-QA, MSVD-QA, MSRVTT-QA: short answers in free words
tgif            TGIF-QA: FrameQA, and its tasks with options and counts
videochatgpt    Video-ChatGPT's benchmark: free answers, scored in five dimensions
charades_sta    Charades-STA: when a sentence happens
captions        MSR-VTT, MSVD and COCO's form: several references a video
finediving      FineDiving: the scores of dives
kinetics        Kinetics, asked as a question
"""

from collections.abc import Callable, Iterator
from functools import partial

from engine.config import Data, EvaluationSet
from engine.evaluate.sets import (
    captions,
    charades_sta,
    egoschema,
    finediving,
    kinetics,
    manifest,
    mvbench,
    nextqa,
    openqa,
    perceptiontest,
    published,
    star,
    tempcompass,
    tgif,
    videochatgpt,
    videomme,
)
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
    "activitynet-qa": published.Format(partial(openqa.records, openqa.ACTIVITYNET), openqa.FILES),
    "msvd-qa": published.Format(partial(openqa.records, openqa.MSVD), openqa.FILES),
    "msrvtt-qa": published.Format(partial(openqa.records, openqa.MSRVTT), openqa.FILES),
    "tgif-qa": published.Format(tgif.records, tgif.FILES),
    "videochatgpt": published.Format(videochatgpt.records, videochatgpt.FILES),
    "charades-sta": published.Format(charades_sta.records, charades_sta.FILES),
    "captions": published.Format(captions.records, captions.FILES),
    "finediving": published.Format(finediving.records, finediving.FILES),
    "kinetics": published.Format(kinetics.records, kinetics.FILES),
}
"""Published benchmarks: how each is read, and which files."""
_PUBLISHED: dict[str, Reader] = {name: partial(published.read_published, form) for name, form in BENCHMARKS.items()}
READERS: dict[str, Reader] = {"manifest": manifest.read, **_PUBLISHED}


def files_beside(evaluation_set: EvaluationSet, storage: Storage) -> list[str]:
    """Files that decide a set's clips beside its own `files`: answers, times, lengths."""
    if evaluation_set.format not in BENCHMARKS:
        return []
    data = Data(manifest=evaluation_set.files, videos=evaluation_set.videos)
    return published.files_beside(BENCHMARKS[evaluation_set.format], data, storage)


def read_set(evaluation_set: EvaluationSet, question: str, storage: Storage) -> Iterator[Clip]:
    """The clips of a set that names its files. Raises ValueError for an unknown format and for what is wrong in the files."""
    if evaluation_set.format not in READERS:
        known = ", ".join(READERS)
        raise ValueError(f"evaluate.sets: {evaluation_set.name} has format {evaluation_set.format!r}; known are {known}")
    data = Data(manifest=evaluation_set.files, videos=evaluation_set.videos, question=question, heldout=0.0)
    return READERS[evaluation_set.format](data, storage)
