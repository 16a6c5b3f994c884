"""The input of an adapter: the annotation file, how to open it, and how the clips' videos are named."""

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from string import Formatter
from typing import Any, TypeVar

import ijson

from engine.ingest.tables import Record, Row, csv_records, opened
from engine.labels import Keywords
from engine.store.filesystems import Storage
from engine.verify.keywords import mentions


@dataclass(frozen=True, kw_only=True)
class Source:
    """Source(path="kinetics700_2020/train.csv", storage=Storage())"""

    path: str
    storage: Storage
    video: str = ""
    """Template of a clip's video name, with the annotation's own fields; "": the dataset's usual layout."""
    split: str = ""
    """train or heldout; "": the split that the annotation or its file's name says, else train."""
    mapping: Mapping[str, Any] = field(default_factory=dict)
    """For "table": a manifest's columns -> the table's."""

    def split_of(self, published_split: str) -> str:
        """train; or heldout, for splits that are published as validation or test."""
        if self.split:
            return self.split
        return "heldout" if _HELDOUT.search((published_split or self.path.rsplit("/", 1)[-1]).casefold()) else "train"

    def video_of(self, usual: str, row: Mapping[str, Any]) -> str:
        """The clip's video. Raises ValueError where the template names a field that the annotation does not have."""
        return filled(self.video or usual, row)

    @contextmanager
    def file(self) -> Iterator[Any]:
        with opened(self.path, self.storage) as file:
            yield file

    def csv(self) -> Iterator[Record]:
        with self.file() as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            try:
                yield from csv_records(self.path, text, ",")
            except UnicodeDecodeError as error:
                raise ValueError(f"{self.path} is not UTF-8 text ({error.reason}); save it as UTF-8") from None
            finally:
                text.detach()

    def json_items(self, prefix: str) -> Iterator[tuple[str, Any]]:
        """Items of an array, one at a time: some files have gigabytes. Raises ValueError for a file that is cut off."""
        with self.file() as file, _complete(self.path):
            for number, item in enumerate(ijson.items(file, prefix, use_float=True)):
                yield f"{self.path} item {number}", item

    def json_pairs(self, prefix: str) -> Iterator[tuple[str, Any]]:
        """Keys and values of an object, one at a time."""
        with self.file() as file, _complete(self.path):
            yield from ijson.kvitems(file, prefix, use_float=True)


def filled(template: str, row: Mapping[str, Any]) -> str:
    """Fill in the {field} and {field:06d} of a template. Raises ValueError for unknown fields and any other braces.

    >>> filled("{id}_{start:06d}.mp4", {"id": "a", "start": 3})
    'a_000003.mp4'
    """
    known = ", ".join(map(str, row))
    try:
        parts = list(Formatter().parse(template))
        for _, name, form, convert in parts:
            if name is not None and (name not in row or not _FORM.fullmatch(form or "") or convert):
                raise ValueError(f"{{{name}{':' + form if form else ''}}} is none of {known}, plain or like {{number:06d}}")
        return template.format_map(row)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{template!r} cannot be filled in: {error}") from None


_FORM = re.compile(r"|0?\d{0,2}[dsf]?")
_HELDOUT = re.compile(r"(?<![a-z])(?:val|valid|validat(?:e|ion)|test(?:ing)?|heldout)(?![a-z])")
Adapter = Callable[[Source], Iterator[Record]]
Made = TypeVar("Made")


@contextmanager
def _complete(path: str) -> Iterator[None]:
    try:
        yield
    except ijson.IncompleteJSONError as error:
        raise ValueError(f"{path} is cut off or not JSON ({str(error).splitlines()[0]}); get it again") from None
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({str(error).splitlines()[0]}); get it again") from None


def each(annotations: Iterable[tuple[str, Any]], make: Callable[[Any], Row | ValueError | None]) -> Iterator[Record]:
    """The row that `make` makes of each annotation, or its error. None: the annotation is not one that the adapter selects."""
    for place, item in annotations:
        row = item if isinstance(item, ValueError) else _tried(place, make, item)
        if row is not None:
            yield place, row


def parts(items: Iterable[tuple[str, Any]], split: Callable[[Any], list[tuple[str, Any]]]) -> Iterator[tuple[str, Any]]:
    """The annotations that `split` finds in each item, by name, each with a place of its own; or the item's error.

    A bad annotation is one bad row, and the item's other annotations are read.
    """
    for place, item in items:
        named = _tried(place, split, item)
        if isinstance(named, ValueError):
            yield place, named
        else:
            yield from ((f"{place} {name}", part) for name, part in named)


def _tried(place: str, make: Callable[[Any], Made], item: Any) -> Made | ValueError:
    try:
        return make(item)
    except KeyError as error:
        return ValueError(f"{place} has no {error}; is it of another format?")
    except (TypeError, AttributeError, IndexError) as error:
        return ValueError(f"{place} is not an annotation of this format: {error}")
    except ValueError as error:
        return ValueError(f"{place}: {error}")


def ask(templates: Sequence[str], clip_id: str, label: Any) -> str:
    """A question that does not contain the label; the choice depends on the clip's id alone.

    >>> ask(["What is it?", "Which activity is it?"], "a", Keywords(text="activity"))
    'What is it?'
    """
    first = int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:4], "big")
    rotated = [templates[(first + i) % len(templates)] for i in range(len(templates))]
    usable = (question for question in rotated if not (isinstance(label, Keywords) and mentions(question, label)))
    return next(usable, rotated[0])


def worded(label: Any) -> dict[str, Any]:
    """The label as the value of a manifest's label column."""
    return asdict(label)


def canonical(name: str) -> str:
    """The name of an Ego4D class, without its synonyms.

    >>> canonical("put_(place,_leave,_drop)"), canonical("turn_on_(switch_on)"), canonical("[other]")
    ('put', 'turn on', '')
    """
    text = (name or "").split("_(", 1)[0].replace("_", " ").strip()
    return "" if text == "[other]" else text
