"""A labelled manifest -> Clip rows. What a user wrote wrong is one line with place and remedy; missing videos are counted."""

import csv
import difflib
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from engine.config import Data
from engine.rows import CLIPS, Clip, Label
from engine.verify.keywords import contains_label

KNOWN_COLUMNS = frozenset({*CLIPS.names, "aliases"})


def read_manifest(data: Data) -> list[Clip]:
    """The clips of data.manifest, checked. Raises ValueError in one line that names the row and the remedy."""
    path = data.manifest
    if not path:
        raise ValueError("no manifest: set data.manifest to a CSV, TSV, JSONL or Parquet file with the columns video and label")
    clips, places = [], []
    for place, row in _rows(path):
        clips.append(_clip(row, place, data))
        places.append(place)
    if not clips:
        raise ValueError(f"{path} has no rows; it needs at least one with a video and a label")
    _check(clips, places)
    return clips


def fingerprint(data: Data) -> str:
    """Hex digest of the manifest's bytes: a run refuses one that changed after it was ingested."""
    return hashlib.sha256(_content(data.manifest)).hexdigest()[:32]


def _content(path: str) -> bytes:
    try:
        with fsspec.open(path, "rb") as file:
            content: bytes = file.read()
    except FileNotFoundError:
        raise ValueError(f"no such manifest: {path}; check data.manifest") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder; data.manifest names a CSV, TSV, JSONL or Parquet file") from None
    except ImportError as error:
        raise ValueError(f"{path}: {error}; starloop[gcs] and starloop[azure] bring what they need") from None
    return content


def _rows(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    content = _content(path)
    suffix = path.rsplit(".", 1)[-1].lower()
    match suffix:
        case "csv" | "tsv":
            yield from _csv_rows(path, content, "\t" if suffix == "tsv" else ",")
        case "jsonl":
            yield from _jsonl_rows(path, content)
        case "parquet":
            try:
                table = pq.read_table(io.BytesIO(content))
            except pa.ArrowInvalid as error:
                raise ValueError(f"{path} is not a Parquet file: {str(error).splitlines()[0]}") from None
            _check_columns(path, table.column_names)
            yield from ((f"{path} row {i}", row) for i, row in enumerate(table.to_pylist()))
        case _:
            raise ValueError(f"{path}: a manifest is .csv, .tsv, .jsonl or .parquet, not .{suffix}")


def _csv_rows(path: str, content: bytes, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=delimiter)
        _check_columns(path, list(reader.fieldnames or []))
        for row in reader:
            if None in row:
                raise ValueError(f"{path} line {reader.line_num} has more cells than the header; quote cells that hold a comma")
            yield f"{path} line {reader.line_num}", row
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"{path}: {error}") from None


def _jsonl_rows(path: str, content: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} line {number} is not JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path} line {number} is not a JSON object")
        _check_columns(f"{path} line {number}", list(row))
        yield f"{path} line {number}", row


def _check_columns(where: str, columns: list[str]) -> None:
    for needed in ("video", "label"):
        if needed not in columns:
            raise ValueError(f"{where} has no column {needed!r}, only {', '.join(columns) or 'none'}; rename or add it")
    for column in set(columns) - KNOWN_COLUMNS:
        if close := difflib.get_close_matches(column.strip().lower(), KNOWN_COLUMNS, n=1, cutoff=0.8):
            raise ValueError(f"{where} has a column {column!r}; did you mean {close[0]!r}?")
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise ValueError(f"{where} has two columns {twice[0]!r}; rename one")


def _clip(row: dict[str, Any], place: str, data: Data) -> Clip:
    video = _text(row, "video")
    if not video:
        raise ValueError(f"{place} has no video; fill it in or drop the row")
    start_s, end_s = _seconds(row, "start_s", place), _seconds(row, "end_s", place)
    if start_s is not None and end_s is not None and start_s >= end_s:
        raise ValueError(f"{place}: start_s {start_s} is not before end_s {end_s}")
    window = "" if start_s is None and end_s is None else f"@{start_s or 0:g}-{'end' if end_s is None else f'{end_s:g}'}"
    split = _text(row, "split") or ("heldout" if _share(video) < data.heldout else "train")
    if split not in ("train", "heldout"):
        raise ValueError(f"{place}: split {split!r} is neither 'train' nor 'heldout'")
    return Clip(
        clip_id=_text(row, "clip_id") or os.path.splitext(video)[0] + window,
        video=_locate(video, data),
        start_s=start_s,
        end_s=end_s,
        question=_text(row, "question") or data.question,
        label=_label(row, place),
        split="train" if split == "train" else "heldout",
        verb=_text(row, "verb"),
        noun=_text(row, "noun"),
        description=_text(row, "description"),
    )


def _text(row: dict[str, Any], column: str) -> str:
    value = row.get(column)
    if isinstance(value, list | dict):
        raise ValueError(f"{column} {value!r} is not a text; write it as one")
    return "" if value is None else str(value).strip()


def _seconds(row: dict[str, Any], column: str, place: str) -> float | None:
    text = _text(row, column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{place}: {column} {text!r} is not a number of seconds") from None
    if not 0 <= value < float("inf"):
        raise ValueError(f"{place}: {column} {text!r} is not a time in a video")
    return value


def _label(row: dict[str, Any], place: str) -> Label:
    text = _text(row, "label")
    if text.startswith("{"):
        try:
            label = Label.from_json(text)
            if label.kind != "keywords":
                raise ValueError(f"{place}: label kind {label.kind!r} is not known; use 'keywords'")
            return label
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{place}: label {text[:60]!r} is not a typed label: {error!r}") from None
    if not any(character.isalnum() for character in text):
        raise ValueError(f"{place} has no label; fill it in or drop the row")
    aliases = tuple(alias.strip() for alias in _text(row, "aliases").split("|") if alias.strip())
    return Label(kind="keywords", text=text, aliases=aliases)


def _share(video: str) -> float:
    """0..1, the same for the same video on every machine: decides the split where the manifest does not."""
    return int.from_bytes(hashlib.sha256(video.encode()).digest()[:6], "big") / 2**48


def _locate(video: str, data: Data) -> str:
    if "://" in video:
        return video
    if os.path.isabs(video):
        return os.path.normpath(video)  # two spellings of one video must not end in two splits
    folder = data.videos or data.manifest.rpartition("/")[0]
    if "://" in folder:
        return f"{folder.rstrip('/')}/{video}"
    return os.path.abspath(os.path.join(folder, video))


def _check(clips: list[Clip], places: list[str]) -> None:
    seen: dict[str, str] = {}
    splits: dict[str, tuple[str, str]] = {}
    for clip, place in zip(clips, places, strict=True):
        if clip.clip_id in seen:
            raise ValueError(
                f"{place}: clip_id {clip.clip_id!r} is also at {seen[clip.clip_id]}; give each clip its own in a clip_id column"
            )
        seen[clip.clip_id] = place
        split, first = splits.setdefault(clip.video, (clip.split, place))
        if split != clip.split:
            raise ValueError(f"{place}: video {clip.video} is in {clip.split} here and in {split} at {first}; split by video")
        if contains_label(clip.question, clip.label).keep:
            raise ValueError(f"{place}: the question {clip.question!r} holds the label {clip.label.text!r}; ask without it")


def missing_videos(clips: list[Clip]) -> list[str]:
    """Clip ids whose video is not there: by listing each folder once, not by opening."""
    listed: dict[str, frozenset[str]] = {}
    missing = []
    for clip in clips:
        folder, _, name = clip.video.rpartition("/")
        if folder not in listed:
            try:
                filesystem, path = fsspec.core.url_to_fs(folder or "/")
                listed[folder] = frozenset(entry.rsplit("/", 1)[-1] for entry in filesystem.ls(path, detail=False))
            except OSError:  # not there, or not to be reached: decoding says which
                listed[folder] = frozenset()
            except ImportError as error:
                raise ValueError(f"{clip.video}: {error}; starloop[gcs] and starloop[azure] bring what they need") from None
        if name not in listed[folder]:
            missing.append(clip.clip_id)
    return missing


def to_table(clips: list[Clip]) -> pa.Table:
    return pa.Table.from_pylist([clip.to_row() for clip in clips], schema=CLIPS)


def from_table(table: pa.Table) -> list[Clip]:
    return [Clip.from_row(row) for row in table.to_pylist()]


def card(clips: list[Clip]) -> dict[str, int]:
    """What a manifest holds: clips, videos and labels, by split, and how long the tail is."""
    labels = Counter(clip.label.text for clip in clips)
    return {
        "clips": len(clips),
        "videos": len({clip.video for clip in clips}),
        "labels": len(labels),
        "labels_with_one_clip": sum(count == 1 for count in labels.values()),
        "train": sum(clip.split == "train" for clip in clips),
        "heldout": sum(clip.split == "heldout" for clip in clips),
        "missing_videos": len(missing_videos(clips)),
    }
