"""A format of evaluation sets: one clip a line, VIDEO|QUESTION|ANSWER."""

from collections.abc import Iterator

from builders import a_clip
from engine.config import Data
from engine.rows import Clip
from engine.store.filesystems import Storage


def read(data: Data, storage: Storage) -> Iterator[Clip]:
    with storage.file(data.manifest) as file:
        for number, line in enumerate(file.read().decode().splitlines()):
            video, question, answer = line.split("|")
            yield a_clip(f"toy-{number}", answer, video=f"{data.videos}/{video}", question=question)
