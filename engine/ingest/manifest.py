"""A labelled manifest -> Clip rows. A mistake in it is a ValueError of one line, with its place and the remedy."""

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, TypeVar

from engine.config import Data
from engine.ingest.card import Card
from engine.ingest.cells import EMPTY_OR_NAME, optional_text, seconds_of, text_of
from engine.ingest.conflicts import count_label_conflicts, refuse_duplicate, refuse_duplicates
from engine.ingest.copies import Copies, Placed
from engine.ingest.label_cells import label_of
from engine.ingest.listing import Listing
from engine.ingest.own import own_records
from engine.ingest.skipped import OR_LEAVE_OUT, Skipped
from engine.ingest.splits import Division
from engine.ingest.tables import Record, Row
from engine.labels import Keywords, plain
from engine.rows import Clip
from engine.store.filesystems import Storage
from engine.store.locations import is_signed, name_below, refuse_odd, refuse_placeholder, unsigned
from engine.verify.keywords import mentions

T = TypeVar("T")
TEXTS = ("clip_id", "question", "verb", "noun", "description", "narrator", "group", "verb_class", "noun_class", "narration")
"""Columns that may be empty."""
Records = Callable[[], Iterator[Record]]
"""Calling it starts to read the rows again from the first."""


def read_manifest(
    data: Data, storage: Storage, card: Card | None = None, records: Records | None = None, skipped: Skipped | None = None
) -> Iterator[Clip]:
    """The clips of data.manifest, checked as they come and counted on the card.

    `records`: the rows, where they do not come from a table with a manifest's columns. `skipped`: counts bad rows; without it a
    bad row raises ValueError, in one line that names the row and the remedy. Errors that need all rows (a clip_id twice, a video in
    two splits, no rows at all) are raised at the end.
    """
    if not data.manifest:
        raise ValueError("no manifest: set data.manifest to a CSV, TSV, JSONL or Parquet file with the columns video and label")
    refuse_placeholder("data.manifest", data.manifest)
    card = Card() if card is None else card
    records = records or partial(own_records, data.manifest, storage)
    rows = Rows(data, records, card.copies)
    card.division = rows.division
    if is_known := skipped is not None or rows.division.by_share:  # copies decide about rows before these are given out
        card.copies.find(rows.placed)
    ids, splits = set[int](), dict[int, str]()
    for place, row in records():
        try:
            clip = _checked(row, place, rows)
            if skipped is not None:  # otherwise the card finds duplicates, in less memory
                refuse_duplicate(clip, place, ids, splits)
                rows.copies.refuse([(place, clip)])
        except ValueError as error:
            if skipped is None:
                raise
            skipped.add(error)
            continue
        card.add(clip)
        yield clip
    if not len(card):
        if skipped is not None and skipped.count:
            raise ValueError(f"{data.manifest}: all {skipped.count} rows are bad; the first: {skipped.first[0]}")
        raise ValueError(f"{data.manifest} has no rows; it needs at least one with a video and a label")
    if not is_known and card.has_several_splits:
        card.copies.find(rows.placed)
    if skipped is None:
        card.copies.refuse(rows.clips())
    refuse_duplicates(rows.clips, card)
    count_label_conflicts(rows.clips, card)


def listing_for(data: Data, storage: Storage) -> Listing | None:
    """By which copies in object stores are found; None where every row names its split, as in what `starloop ingest` writes."""
    names = Rows(data, partial(own_records, data.manifest, storage), Copies()).splits_named()
    return None if all(names) else Listing(storage)


class Rows:
    """The rows of a manifest, and how each becomes a clip."""

    def __init__(self, data: Data, records: Records, copies: Copies) -> None:
        self.data, self.records, self.copies = data, records, copies
        self.division, self._by_name = (Division(data, self.splits_named) for _ in range(2))

    def clips(self) -> Iterator[tuple[str, Clip]]:
        """The clips of the rows without an error, read again from the first: a bad row was raised or counted before."""
        for place, row in self.records():
            try:
                clip = _checked(row, place, self)
            except ValueError:
                continue
            yield place, clip

    def placed(self) -> Iterator[Placed]:
        """The videos of the rows, whatever else is wrong with a row, in the splits that they have without regard to copies."""
        for _, row in self.records():
            try:
                if not isinstance(row, ValueError):
                    located = video_of(row, self.data)
                    named = _of_column(row, "split", optional_text)
                    share = 0.0 if named else self.share_of(located)
                    yield Placed(located, self._by_name.split_of(row, named, share), bool(named))
            except ValueError:
                continue

    def split_of(self, row: Row, located: str) -> str:
        """Raises ValueError for a name that says no split."""
        if named := _of_column(row, "split", optional_text):
            return self.division.split_of(row, named, 0.0)
        leader = self.copies.leader(located)
        if leader is not None and leader.is_named:
            return leader.split
        return self.division.split_of(row, named, self.share_of(leader.video if leader else located))

    def share_of(self, located: str) -> float:
        """A number in 0..1 that depends on the video's name alone: it decides the split where the manifest does not."""
        name = name_below(located, folder_of(self.data))
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48

    def splits_named(self) -> Iterator[str]:
        """What each row names as its split. An error ends them: it is the main reading's to raise."""
        try:
            for _, row in self.records():
                if not isinstance(row, ValueError):
                    yield optional_text(row.get("split"))
        except ValueError:
            return


def _checked(row: Row | ValueError, place: str, rows: Rows) -> Clip:
    if isinstance(row, ValueError):
        raise row
    clip = _clip(row, place, rows)
    if isinstance(clip.label, Keywords) and _holds(clip.question, clip.label):
        raise ValueError(f"{place}: the question {clip.question!r} holds the label {clip.label.text!r}; ask without it")
    return clip


@lru_cache(maxsize=4096)
def _holds(question: str, label: Keywords) -> bool:
    """Whether the question holds the label; most manifests have few of either, and looking takes a third of reading a row."""
    return mentions(question, label)


def _clip(row: Row, place: str, rows: Rows) -> Clip:
    try:
        return _clip_of(row, rows)
    except ValueError as error:
        raise ValueError(f"{place}{' ' if str(error).startswith('has no ') else ': '}{error}") from None


def _clip_of(row: Row, rows: Rows) -> Clip:
    data, located = rows.data, video_of(row, rows.data)
    start_s, end_s = (_of_column(row, column, seconds_of) for column in ("start_s", "end_s"))
    if start_s is not None and end_s is not None and start_s >= end_s:
        raise ValueError(f"start_s {start_s} is not before end_s {end_s}")
    texts = {column: _of_column(row, column, optional_text) for column in TEXTS}
    return Clip(
        clip_id=texts["clip_id"] or _name_of(_one_line(row, "video")) + _window(start_s, end_s),
        video=located,
        start_s=start_s,
        end_s=end_s,
        question=texts["question"] or data.question,
        label=label_of(row),
        split=rows.split_of(row, located),
        verb=texts["verb"],
        noun=texts["noun"],
        description=texts["description"],
        narrator=texts["narrator"],
        group=texts["group"],
        verb_class=texts["verb_class"],
        noun_class=texts["noun_class"],
        narration=texts["narration"],
        narrated_s=_of_column(row, "narrated_s", seconds_of),
    )


def video_of(row: Row, data: Data) -> str:
    """The URI or absolute path of the row's video. Raises ValueError where there is none, or an odd one."""
    video = _one_line(row, "video")
    if video in ("", *EMPTY_OR_NAME):
        raise ValueError(f"has no video; fill it in{OR_LEAVE_OUT}")
    if (video, row.get("label")) == ("video", "label"):
        raise ValueError("this repeats the header; are these several files in one? Leave the second header out")
    if video.startswith("# "):
        raise ValueError(f"video {video[:40]!r} looks like a comment; delete the line, or write ./{video[:20]}")
    located = locate(video, data)
    try:
        refuse_odd(located)
    except ValueError as error:
        raise ValueError(f"video {error}") from None
    return located


def _of_column(row: Row, column: str, read: Callable[[Any], T]) -> T:
    try:
        return read(row.get(column))
    except ValueError as error:
        raise ValueError(f"{column} {error}") from None


def _one_line(row: Row, column: str) -> str:
    """A text of one line: no name has a break, and a quote that is not closed in time makes one cell of several rows."""
    text = _of_column(row, column, text_of)
    if "\n" in text:
        raise ValueError(f"{column} {text[:60]!r} goes over several lines; is a quote not closed? Write it in one line")
    return text


def _name_of(video: str) -> str:
    """The default of an id. A signature is another one tomorrow, and ids are shown wherever rows are.

    >>> _name_of("sub/a.mp4"), _name_of("https://h/get?id=2"), _name_of("https://h/get?id=2&X-Amz-Signature=f3.9")
    ('sub/a', 'https://h/get?id=2', 'https://h/get?id=2')
    """
    return os.path.splitext(unsigned(video) if is_signed(video) else video)[0]


def _window(start_s: float | None, end_s: float | None) -> str:
    """
    >>> _window(None, None), _window(2.0, None), _window(1.00000001, 1.00000002)
    ('', '@2-end', '@1.00000001-1.00000002')
    """
    if start_s is None and end_s is None:
        return ""
    return f"@{_exact(start_s or 0.0)}-{'end' if end_s is None else _exact(end_s)}"


def _exact(value: float) -> str:
    return plain(value) if float(plain(value)) == value else repr(value)


def locate(video: str, data: Data) -> str:
    """The URI or absolute path of a video that a manifest names."""
    if "://" in video:
        return video
    if os.path.isabs(video):
        return os.path.normpath(video)  # two spellings of one video must not end in two splits
    folder = folder_of(data)
    if "://" in folder:
        return f"{folder.rstrip('/')}/{video}"
    return os.path.abspath(os.path.join(folder, video))


def folder_of(data: Data) -> str:
    """The folder that names of videos start from."""
    return data.videos or data.manifest.rstrip("/").rpartition("/")[0]
