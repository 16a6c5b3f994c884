"""What a row is in each tool's format, and how that tool is told of the files: pure.

What is beside a tool's own keys is one JSON text, "row": ms-swift takes `label`, `video` and other names at the top for columns of
its own, and `datasets`, by which these tools read, takes the types of a file from its first 10 MB: a number that is null there, and
none later, ends the reading. So it does in WebDataset's shards, where the first five samples tell the types.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Literal

from engine.episodes.tags import media_of, shown_as, tag_of, without_tags
from engine.rows import Takeaway
from engine.store.locations import canonical, local_path, name_below, unsigned

Form = Literal["parquet", "messages", "llava", "sharegpt", "webdataset", "hub"]
ROOT = "/"
OWN = ("prompt", "answer", "follow_ups", "shown_in")
"""Columns that a conversation says itself."""
OF_SEVERAL_TYPES = ("start_s", "end_s", "score", "support", "follow_ups")
"""Columns that are null or an empty list in some rows. All others are texts and whole numbers in each row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a format's files are cut: Layout(suffix="parquet", shard_rows=100_000, read_by="datasets, Ray Data")."""

    suffix: str
    shard_rows: int | None
    """Rows of a file, if nothing else is said; None: one file holds all rows of a split."""
    read_by: str


LAYOUTS: dict[Form, Layout] = {
    "parquet": Layout(suffix="parquet", shard_rows=100_000, read_by="datasets, Ray Data, DuckDB, Polars, pandas"),
    "hub": Layout(suffix="parquet", shard_rows=100_000, read_by="huggingface_hub.upload_folder, then datasets"),
    "messages": Layout(suffix="jsonl", shard_rows=None, read_by="ms-swift, LLaMA-Factory"),
    "sharegpt": Layout(suffix="jsonl", shard_rows=None, read_by="LLaMA-Factory"),
    "llava": Layout(suffix="json", shard_rows=None, read_by="LLaVA's own code and its kin"),
    "webdataset": Layout(suffix="tar", shard_rows=250, read_by="webdataset, datasets"),
}


def path_of(form: Form, split: str, number: int, shards: int) -> str:
    """The path of a file below the exported folder.

    >>> path_of("hub", "train", 0, 3), path_of("messages", "train", 0, 1)
    ('data/train-00000-of-00003.parquet', 'train.jsonl')
    """
    suffix = LAYOUTS[form].suffix
    return f"{split}.{suffix}" if LAYOUTS[form].shard_rows is None else f"data/{split}-{number:05d}-of-{shards:05d}.{suffix}"


def pattern_of(form: Form, split: str) -> str:
    """Which files a split has, for a card. A split may begin with the name of another one.

    >>> pattern_of("hub", "train"), pattern_of("llava", "train")
    ('data/train-[0-9][0-9][0-9][0-9][0-9]-of-*.parquet', 'train.json')
    """
    return path_of(form, split, 0, 1).replace("-00000-of-00001", f"-{'[0-9]' * 5}-of-*")


def _turns(row: Takeaway, after_tag: str = "") -> Iterable[tuple[str, str]]:
    """The turns, with the tag of what is shown at the beginning of the turn that shows it."""
    tag = f"{tag_of(row.video)}{after_tag}" if row.video else ""
    for number, (prompt, answer) in enumerate(row.turns):
        yield (tag if number == row.shown_in else "") + without_tags(prompt), without_tags(answer)


def _rest(row: Takeaway) -> str:
    return json.dumps({name: value for name, value in row.to_row().items() if name not in OWN}, allow_nan=False)


def for_messages(row: Takeaway) -> dict[str, Any]:
    """A row of ms-swift's `messages`, which LLaMA-Factory and trl read too. They show whole videos: row.start_s and end_s are the
    window, for what cuts them."""
    messages = []
    for prompt, answer in _turns(row):
        messages += [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return {"messages": messages} | media_of([row.video]) | {"row": _rest(row)}


def for_sharegpt(row: Takeaway) -> dict[str, Any]:
    """A row of LLaMA-Factory's sharegpt."""
    return {"conversations": _conversation(row)} | media_of([row.video]) | {"row": _rest(row)}


def for_llava(row: Takeaway) -> dict[str, Any]:
    """An item of LLaVA's JSON: the tag on a line of its own, and one "video" or "image"."""
    media = {shown_as(row.video): row.video} if row.video else {}
    return {"id": row.example_id, **media, "conversations": _conversation(row, "\n"), "row": _rest(row)}


def for_webdataset(row: Takeaway) -> dict[str, Any]:
    """The JSON of a WebDataset sample: each value has the same type in all samples; `row` is a JSON text with the other columns."""
    values = row.to_row()
    rest = {name: values.pop(name) for name in OF_SEVERAL_TYPES}
    return values | {"row": json.dumps(rest, allow_nan=False)}


def _conversation(row: Takeaway, after_tag: str = "") -> list[dict[str, str]]:
    turns = []
    for prompt, answer in _turns(row, after_tag):
        turns += [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]
    return turns


TEXT_ROWS: Mapping[Form, Callable[[Takeaway], dict[str, Any]]] = {
    "messages": for_messages,
    "sharegpt": for_sharegpt,
    "llava": for_llava,
}
"""What a line, or an item, of a format's text files is."""


def _text(name: str) -> dict[str, Any]:
    return {"name": name, "dtype": "string"}


_CONVERSATIONS = {"name": "conversations", "list": [_text("from"), _text("value")]}
_MEDIA = [{"name": name, "sequence": "string"} for name in ("videos", "images")]
TEXT_TYPES: Mapping[Form, list[dict[str, Any]]] = {
    "messages": [{"name": "messages", "list": [_text("role"), _text("content")]}, *_MEDIA, _text("row")],
    "sharegpt": [_CONVERSATIONS, *_MEDIA, _text("row")],
    "llava": [_text("id"), _text("video"), _text("image"), _CONVERSATIONS, _text("row")],
}
"""The columns of text files, for a card: `datasets` would take them from the first split, which may show no picture or no video."""


def dataset_info(form: Form, name: str, splits: Iterable[str]) -> bytes | None:
    """LLaMA-Factory's dataset_info.json: `--dataset_dir FOLDER --dataset NAME`, and NAME_heldout for other splits; None where it
    does not read the format."""
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}
    turns = {"messages": "messages", "sharegpt": "conversations"}.get(form)
    if turns is None:
        return None
    about = {"formatting": "sharegpt", "columns": {"messages": turns, "videos": "videos", "images": "images"}}
    about |= {"tags": tags} if form == "messages" else {}
    listed = {
        name if split == "train" else f"{name}_{split}": {"file_name": path_of(form, split, 0, 1)} | about for split in splits
    }
    return json.dumps(listed, indent=1).encode() + b"\n"


def for_hub(row: Takeaway, folder: str) -> Takeaway:
    """The row without paths of this machine and signatures: a local video is named below the folder, the run by its name.

    So are ids that ingest made of the video's name.
    """
    clip_id = hub_id(row.clip_id, row.video, folder)
    example_id = clip_id + row.example_id.removeprefix(row.clip_id)
    run = row.run.rstrip("/").rpartition("/")[2]
    return replace(row, clip_id=clip_id, example_id=example_id, video=hub_name(row.video, folder), run=run)


def hub_id(clip_id: str, video: str, folder: str) -> str:
    """An id that begins with the video's whole name begins with the one that a hub has; others are as they are.

    >>> hub_id("/v/x/../a@0-2", "/v/a.mp4", "/v"), hub_id("https://me:pass@h/a", "https://me:pass@h/a.mp4", "/")
    ('a@0-2', 'https://h/a')
    """
    if not clip_id.startswith(ROOT) and "://" not in clip_id:
        return clip_id
    whole, stem = _normal(clip_id), os.path.splitext(_normal(video))[0]
    is_own = bool(stem) and whole.startswith(stem)
    return os.path.splitext(hub_name(video, folder))[0] + whole.removeprefix(stem) if is_own else clip_id


def _normal(uri: str) -> str:
    """Without `./` and `../`, where it is local; symbolic links are not followed."""
    path = local_path(uri) if uri else None
    return uri if path is None else os.path.normpath(path)


def is_local(video: str) -> bool:
    return bool(video) and local_path(video) is not None


def hub_name(video: str, folder: str) -> str:
    """
    >>> hub_name("/v/a/b.mp4", "/v"), hub_name("/v/a/b.mp4", "/"), hub_name("https://h/b.mp4?X-Amz-Signature=f3", "/v")
    ('a/b.mp4', 'b.mp4', 'https://h/b.mp4')
    """
    if not is_local(video):
        return unsigned(video)
    return PurePosixPath(canonical(video)).name if folder == ROOT else name_below(video, folder)


def shared_folder(videos: Iterable[str]) -> str:
    """The deepest folder that holds all local ones.

    >>> shared_folder(["/v/a/1.mp4", "s3://b/1.mp4", "/v/b/1.mp4", ""]), shared_folder(["/v/1.mp4", "/w/1.mp4"]), shared_folder([])
    ('/v', '/', '/')
    """
    shared: tuple[str, ...] | None = None
    for video in filter(is_local, videos):
        parts = PurePosixPath(canonical(video)).parent.parts
        shared = parts if shared is None else _common(shared, parts)
    return str(PurePosixPath(ROOT, *(shared or ())))


def _common(parts: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    if others[: len(parts)] == parts:
        return parts
    return parts[: next(place for place, part in enumerate(parts) if others[place : place + 1] != (part,))]
