"""The input of an adapter: the annotation file, how to open it, and how the clips' videos are named."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from string import Formatter
from typing import Any, TypeVar

from engine.ingest.cells import is_empty, whole
from engine.ingest.folders import is_video
from engine.ingest.json_rows import json_items, json_lines, json_pairs, shape_of
from engine.ingest.names import NamedVideos
from engine.ingest.splits import split_named
from engine.ingest.tables import Record, Row, kind_of, part_files, table_records, text_of
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
    videos: NamedVideos | None = None
    """Among which a name that the template leaves without a suffix is looked for; None: it is taken as it is."""
    split: str = ""
    """train or heldout; "": the split that the annotation or its file's name says."""
    questions: str = ""
    """For Video-STaR's formats: a copy of the release's templates.py, whose wordings are used; "": our own."""
    mapping: Mapping[str, Any] = field(default_factory=dict)
    """For "table": a manifest's columns -> the table's."""
    left_out: dict[str, Counter[str]] = field(default_factory=dict, compare=False)
    """What the format's selection leaves out, by reason, of each item that was read: rows may be read several times."""

    @property
    def counts_left_out(self) -> dict[str, int]:
        """Annotations that the format's selection leaves out, by reason, of all that was read."""
        return dict(sorted(sum(self.left_out.values(), Counter[str]()).items()))

    def split_of(self, published_split: str | None = None) -> str | None:
        """The split that --split says, else the published one, else the one that the file's name says.

        Else the published one again: "" for an annotation without a split among others, None for a format that has no splits.
        """
        return self.split or published_split or split_named(self.path.rsplit("/", 1)[-1]) or published_split

    def video_of(self, usual: str, row: Mapping[str, Any]) -> str:
        """The clip's video. Raises ValueError where the template names a field that the annotation does not have.

        A name without a suffix stays as it is where there is no such video, whose clips are then counted as missing.
        """
        name = filled(self.video or usual, row)
        if not self.video or self.videos is None or is_video(name) or name.startswith("/") or "://" in name:
            return name
        return self.videos.named(name) or name

    def csv(self, needed: Collection[str] = ()) -> Iterator[Record]:
        """Rows of a table, which is CSV unless its name says otherwise; by the columns in `needed` the delimiter is recognized."""
        return table_records(self.path, self.storage, needed, default="csv")

    def json_items(self, prefix: str = "item", keys: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
        """Items, one at a time, or the error of a line: of an array; one a line; or, with another prefix, inside of an object.

        `keys`: what an item has and the object around the items does not, where a file may hold either.
        Raises ValueError for a file that is cut off.
        """
        parts = part_files(self.path, self.storage)
        for path in [self.path] if parts is None else [f"{self.path.rstrip('/')}/{name}" for name in parts]:
            if kind_of(path) not in ("json", ""):
                yield from table_records(path, self.storage)
                continue
            with text_of(path, self.storage) as text:
                shape = shape_of(text, keys)
                if shape == "lines":
                    yield from json_lines(path, text)
                else:
                    yield from json_items(path, text, prefix if shape == "object" else "item")

    def json_pairs(self, prefix: str) -> Iterator[tuple[str, Any]]:
        """Keys and values of an object, one at a time."""
        with text_of(self.path, self.storage) as text:
            yield from json_pairs(self.path, text, prefix)

    def is_object(self, keys: tuple[str, ...]) -> bool:
        """Whether the source is one JSON object with its items inside, as for json_items."""
        if part_files(self.path, self.storage) is not None:
            return False
        with text_of(self.path, self.storage) as text:
            return shape_of(text, keys) == "object"


def filled(template: str, row: Mapping[str, Any]) -> str:
    """Fill in the {field} and {field:06d} of a template. Raises ValueError for unknown fields and any other braces.

    >>> filled("{id}_{start:06d}.mp4", {"id": "a", "start": 3})
    'a_000003.mp4'
    """
    try:
        return "".join(_filled(row, *part) for part in Formatter().parse(template))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{template!r} cannot be filled in: {error}") from None


def _filled(row: Mapping[str, Any], literal: str, name: str | None, form: str | None, convert: str | None) -> str:
    if name is None:
        return literal
    if name not in row or not _FORM.fullmatch(form or "") or convert:
        known = ", ".join(map(str, row))
        raise ValueError(f"{{{name}{':' + form if form else ''}}} is none of {known}, plain or like {{number:06d}}")
    if is_empty(row[name]):
        raise ValueError(f"{name} is empty")
    value = whole_number(row[name]) if (form or "").endswith("d") else whole(row[name])
    return literal + format(value, form or "")


def whole_number(value: Any) -> int:
    """A whole number, which CSV has as a text, and pandas with a decimal point. Raises ValueError for anything else.

    >>> whole_number("000007"), whole_number("7.0"), whole_number(7.0)
    (7, 7, 7)
    """
    number = whole(float(value) if isinstance(value, str) and re.fullmatch(r"\d{1,15}\.0*", value) else value)
    if isinstance(number, float):
        raise ValueError(f"{value!r} is not a whole number")
    return int(number)


_FORM = re.compile(r"|0?\d{0,2}[dsf]?")
Adapter = Callable[[Source], Iterator[Record]]
Result = TypeVar("Result")


def each(annotations: Iterable[tuple[str, Any]], make: Callable[[Any], Row | ValueError | None]) -> Iterator[Record]:
    """The row that `make` makes of each annotation, or its error. None: the annotation is not one that the adapter selects.

    Where the split is None, the row has no column for it: no other row of the dataset names one either.
    """
    for place, item in annotations:
        row = item if isinstance(item, ValueError) else _tried(place, make, item)
        if isinstance(row, dict) and row.get("split", "") is None:
            del row["split"]
        if row is not None:
            yield place, row


def parts(items: Iterable[tuple[str, Any]], split: Callable[[Any], list[tuple[str, Any]]]) -> Iterator[tuple[str, Any]]:
    """The annotations that `split` finds in each item, by name, each with a place of its own; or the item's error.

    A bad annotation is one bad row, and the item's other annotations are read.
    """
    for place, item in items:
        named = item if isinstance(item, ValueError) else _tried(place, split, item)
        if isinstance(named, ValueError):
            yield place, named
        else:
            for name, part in named:
                where = f"{place} {name}"
                yield where, _at(where, part) if isinstance(part, ValueError) else part


def _tried(place: str, make: Callable[[Any], Result], item: Any) -> Result | ValueError:
    try:
        return make(item)
    except UNREADABLE as error:
        return _at(place, _problem(error))


def attempted(make: Callable[[], Result]) -> Result | ValueError:
    """What `make` returns, or why an annotation cannot be made use of."""
    try:
        return make()
    except UNREADABLE as error:
        return _problem(error)


UNREADABLE = (KeyError, TypeError, AttributeError, IndexError, ArithmeticError, ValueError)
"""What an annotation of another form than expected leads to."""


def _problem(error: Exception) -> ValueError:
    if isinstance(error, ValueError):
        return error
    if isinstance(error, KeyError):
        return ValueError(f"has no {error}; is it of another format?")
    return ValueError(f"is not an annotation of this format: {error}")


def _at(place: str, error: ValueError) -> ValueError:
    """
    >>> _at("item 3", ValueError("has no 'q'")), _at("item 3", ValueError("its box has no area"))
    (ValueError("item 3 has no 'q'"), ValueError('item 3: its box has no area'))
    """
    return ValueError(f"{place}{' ' if str(error).startswith(('has no ', 'is not an annotation')) else ': '}{error}")


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
