"""What the readers of published benchmarks share: their files, the names of their videos, and questions with options.

A format's records(published) yields rows with a manifest's columns, and its FILES says which files it reads. Nothing is downloaded.
Videos that annotations name without a suffix are looked for below the set's `videos`; one that is not there keeps its usual name,
and becomes a failed row of kind `missing`.
"""

import contextlib
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from engine.config import Data
from engine.ingest.adapters.source import Source, worded
from engine.ingest.folders import files_under, is_video
from engine.ingest.manifest import folder_of, read_manifest
from engine.ingest.names import NamedVideos
from engine.ingest.tables import Record
from engine.labels import Choice, Reference
from engine.rows import Clip
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError

LETTERS = "ABCDEFGHIJ"
BY_LETTER = "Answer with the option's letter from the given choices directly."
"""What lmms-eval writes behind the options of benchmarks that have no wording of their own."""


@dataclass(frozen=True)
class Published:
    """A benchmark's files, and its videos: Published(Data(manifest="STAR_val.json", videos="Charades_v1_480"), Storage())"""

    data: Data
    storage: Storage
    also_read: dict[str, None] = field(default_factory=dict)
    """The files beside `files` that were asked for so far, whether they are there or not."""

    def source(self, path: str = "") -> Source:
        """A file of it; "": the one that the set's `files` names."""
        return Source(path=path or self.data.manifest, storage=self.storage)

    def beside(self, name: str) -> str:
        """A file in the same folder as the set's `files`, or above it: beside("../meta_info.json")."""
        folder = self.data.manifest.rstrip("/").rpartition("/")[0]
        protocol, separator, path = folder.rpartition("://")
        named = protocol + separator + (posixpath.normpath(f"{path}/{name}") if path else name)
        self.also_read[named] = None
        return named

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        try:
            with self.storage.file(path):
                return True
        except StorageError as error:
            if error.trouble != "missing":
                raise
            return False

    def near_videos(self, name: str) -> str:
        """The path of a file in the folder of the videos, or beside that folder; "" where there is none."""
        folder = folder_of(self.data).rstrip("/")
        paths = (f"{folder}/{name}", f"{folder.rpartition('/')[0]}/{name}")
        return next((path for path in paths if self.has(path)), "")

    def files_below(self) -> list[str] | None:
        """The files of the folder that the set's `files` names; None for a single file."""
        return files_under(self.data.manifest, self.storage)

    @cached_property
    def _videos(self) -> NamedVideos:
        return NamedVideos(folder_of(self.data), self.storage)

    def has_video(self, name: str) -> bool:
        return bool(self._videos.named(name))

    def video(self, name: str, suffix: str = ".mp4", anywhere: bool = True) -> str:
        """The video with this name, whatever its suffix; where there is none its usual name.

        `anywhere`: it may lie in any folder below `videos`, if there is only one of this name.
        """
        return self._videos.named(name, anywhere) or (name if is_video(name) else f"{name}{suffix}")


@dataclass(frozen=True)
class Format:
    """How a benchmark is read, and which files: Format(mvbench.records, mvbench.FILES)"""

    records: Callable[[Published], Iterator[Record]]
    files: str


def read_published(form: Format, data: Data, storage: Storage) -> Iterator[Clip]:
    """The clips of a benchmark. Raises ValueError in one line, which ends with the files that the format reads."""
    published = Published(data, storage)
    try:
        yield from read_manifest(data, storage, records=partial(form.records, published))
    except ValueError as error:
        raise ValueError(f"{error}. This format reads: {form.files}") from None


def files_beside(form: Format, data: Data, storage: Storage) -> list[str]:
    """The files that the format reads beside the set's own, of those that are there; they are asked for before the first row."""
    published = Published(data, storage)
    with contextlib.suppress(ValueError):  # which reading the set raises
        next(iter(form.records(published)), None)
    return [path for path in list(published.also_read) if published.has(path)]


def numbered(items: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Each annotation with its number, from 0, or its error."""
    for number, (place, item) in enumerate(items):
        yield place, item if isinstance(item, ValueError) else (number, item)


def options_of(texts: Sequence[Any]) -> dict[str, str]:
    """By letter. Raises ValueError for more options than letters.

    >>> options_of(["a cup", 2])
    {'A': 'a cup', 'B': '2'}
    """
    if len(texts) > len(LETTERS):
        raise ValueError(f"it has {len(texts)} options; at most {len(LETTERS)} can be lettered")
    return {letter: str(text).strip() for letter, text in zip(LETTERS, texts, strict=False)}


def choice(options: Mapping[str, str], key: str) -> dict[str, Any]:
    """The label's value where the option `key` is correct."""
    return worded(Choice(option=key, options=dict(options)))


def nth_choice(options: Mapping[str, str], number: Any) -> dict[str, Any]:
    """The label's value where the option with this number, from 0, is correct. Raises ValueError for a number without an option."""
    keys = list(options)
    if not str(number).strip().isdecimal() or int(number) >= len(keys):
        raise ValueError(f"the answer {number!r} is none of the options 0 to {len(keys) - 1}")
    return choice(options, keys[int(number)])


def reference(answers: Sequence[Any]) -> dict[str, Any]:
    """The label's value of answers in free words, of which each is right."""
    text, *aliases = dict.fromkeys(str(answer).strip() for answer in answers)
    return worded(Reference(text=text, aliases=tuple(aliases)))


def question_of(question: str, options: Mapping[str, str], ending: str = BY_LETTER) -> str:
    """
    >>> question_of("What is it?", {"A": "a cup", "B": "a door"}, "Best option:")
    'What is it?\\nA. a cup\\nB. a door\\nBest option:'
    """
    return "\n".join([question.strip(), *(f"{key}. {text}" for key, text in options.items()), ending])
