"""Class folders: which of the folders above a video is its class, told by the names of the folders beside it.

FOLDER/CLASS/NAME.mp4             UCF101, HMDB51
FOLDER/SPLIT/CLASS/NAME.mp4       Kinetics: train, val, test
FOLDER/CLASS/g01/NAME.mp4         UCF11, UCF Sports: the folders below a class are numbered takes of it

Each of these may lie in a folder that an archive leaves, such as FOLDER/UCF-101/CLASS/NAME.mp4.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.ingest.folders import is_video
from engine.ingest.splits import split_named

LAYOUTS = "what is read is FOLDER/CLASS/NAME.mp4 and FOLDER/SPLIT/CLASS/NAME.mp4"
AS_TABLE = "or write a table with the columns video and label"
SHOWN = 5
"""Folders that a message names."""
CONTAINERS = frozenset("archive clip clips data dataset datasets files media movies raw video videos".split())
"""Words in the name of a folder that holds a dataset and is no class; archives' own names have digits (UCF-101, hmdb51)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Layout(outer="UCF-101/", splits={"train": "train", "val": "heldout"}, takes=frozenset({"UCF-101/train/yoga"}))"""

    outer: str
    """The folders above all class folders and splits; "" if there are none."""
    splits: Mapping[str, str]
    """The split that each folder in `outer` names; {} if these are classes."""
    takes: frozenset[str]
    """The folders, relative to the manifest's, below which all folders are numbered."""

    def folders_of(self, name: str) -> tuple[str, list[str]]:
        """The split that a video's folders name, "" for none, and the names of the folders below it."""
        top, *inside = name.removeprefix(self.outer).split("/")
        if self.splits and inside:
            return self.splits[top], inside[:-1]
        return "", [top, *inside][:-1]

    def is_class(self, name: str, folders: Sequence[str]) -> bool:
        """Whether the first of the folders that a video lies in is its class: there is no other, or the others are its takes."""
        if len(folders) < 2:
            return bool(folders and folders[0])
        path = name.split("/")
        return "/".join(path[: len(path) - len(folders)]) in self.takes


def layout_of(path: str, files: Iterable[str]) -> Layout:
    """Raises ValueError where folders may be classes or not, and nothing beside them tells."""
    videos = [name for name in files if is_video(name)]
    inside = _inside({name.rpartition("/")[0] for name in videos})
    takes = _takes(inside)
    outer = _outer(path, videos, inside, takes)
    return Layout(outer=outer, splits=_splits(path, [name.removeprefix(outer) for name in videos]), takes=takes)


def _inside(folders: Iterable[str]) -> dict[str, set[str]]:
    """The names of the folders directly in each folder that has any; "" is the manifest's own."""
    inside: dict[str, set[str]] = defaultdict(set)
    for folder in folders:
        while folder:
            above, _, name = folder.rpartition("/")
            inside[above].add(name)
            folder = above
    return dict(inside)


def _takes(inside: Mapping[str, Collection[str]]) -> frozenset[str]:
    takes = set[str]()
    for folder in sorted(filter(None, inside), key=lambda folder: -folder.count("/")):
        below = (f"{folder}/{name}" for name in inside[folder])
        if _are_numbered(inside[folder]) and all(deeper not in inside or deeper in takes for deeper in below):
            takes.add(folder)
    return frozenset(takes)


def _are_numbered(names: Collection[str]) -> bool:
    """Whether names have numbers and differ in nothing else.

    >>> _are_numbered(["g01", "g02"]), _are_numbered(["UCF-101", "hmdb51"]), _are_numbered(["yoga"])
    (True, False, False)
    """
    return len({re.sub(r"\d+", "0", name.casefold()) for name in names}) == 1 and any(map(str.isdigit, next(iter(names))))


def _outer(path: str, videos: Sequence[str], inside: Mapping[str, Collection[str]], takes: Collection[str]) -> str:
    """A folder that holds all others is no class, as an archive leaves it; but it is one if what it holds are takes."""
    folder = ""
    while len(inside.get(folder, ())) == 1:
        start = f"{folder}/" if folder else ""
        [top] = inside[folder]
        deeper = start + top
        if split_named(top) or not all(name.startswith(f"{deeper}/") and "/" in name[len(deeper) + 1 :] for name in videos):
            break
        names = sorted(inside[deeper])
        holds_dataset = any(map(str.isdigit, top)) or bool(CONTAINERS & {*re.findall("[a-z]+", top.casefold())})
        is_pair = len(names) == 1 and f"{deeper}/{names[0]}" not in inside and not split_named(names[0])
        if deeper in takes and not holds_dataset:
            break
        if deeper in takes or (is_pair and not holds_dataset):
            raise ValueError(
                f"{path}: all videos lie in {deeper}/, in {_shown(names)}: the label may be {top!r}, or what these are called; if "
                f"it is these, name {path.rstrip('/')}/{deeper}; if it is {top!r}, put the videos directly into it, {AS_TABLE}"
            )
        folder = deeper
    return f"{folder}/" if folder else ""


def _splits(path: str, videos: Sequence[str]) -> dict[str, str]:
    """The split that each top folder names, if all of them do; {} if the top folders are classes."""
    depths: dict[str, set[int]] = {}
    for name in videos:
        if "/" in name:
            depths.setdefault(name.partition("/")[0], set()).add(name.count("/"))
    named = {top: split_named(top) for top in depths}
    deep = [top for top, split in named.items() if split and max(depths[top]) > 1]
    if named and all(named.values()):
        if not deep:
            raise ValueError(f"{path}: {', '.join(named)} hold videos and no class folders; {LAYOUTS}")
        return named
    if deep:
        others = [top for top, split in named.items() if not split]
        raise ValueError(
            f"{path}: of its folders some are splits ({', '.join(deep)}) and some not ({', '.join(others[:SHOWN])}); {LAYOUTS}"
        )
    return {}


def class_records(path: str, files: Sequence[str]) -> Iterator[tuple[str, dict[str, Any] | ValueError]]:
    """A row for each video, with a typed label: a class may be called None. A video in no class folder, or deeper, is a bad row.

    Raises ValueError for folders of which some are splits and others classes, or which may be classes or not.
    """
    root = path.rstrip("/") if "://" in path else os.path.abspath(path)
    layout = layout_of(path, files)
    videos = [name for name in files if is_video(name)]
    stems = Counter(os.path.splitext(name)[0] for name in videos)
    for name in videos:
        split, folders = layout.folders_of(name)
        if not layout.is_class(name, folders):
            why = (
                f"deeper than a class folder: its class may be {folders[0]!r} or {folders[-1]!r}"
                if len(folders) > 1
                else "in no class folder"
            )
            yield f"{root}/{name}", ValueError(f"{root}/{name} lies {why}; {LAYOUTS}; {AS_TABLE.removeprefix('or ')} for others")
            continue
        stem = os.path.splitext(name)[0]
        row = {
            "clip_id": stem if stems[stem] == 1 else name,
            "video": f"{root}/{name}",
            "label": {"kind": "keywords", "text": words_of(folders[0])},
        }
        yield f"{root}/{name}", row | ({"split": split} if split else {})


def layout_note(path: str, files: Sequence[str]) -> str:
    """Which folders were read as classes, in one line; "" where there was nothing to choose."""
    layout, classes, takes = layout_of(path, files), set[str](), set[str]()
    for name in filter(is_video, files):
        _, folders = layout.folders_of(name)
        if layout.is_class(name, folders):
            classes.add(folders[0])
            takes.update(folders[1:2])
    labels = f"the labels are the names of the folders in {layout.outer or path.rstrip('/') + '/'}: {_shown(sorted(classes))}"
    if takes:
        return f"{labels}; the folders in these ({_shown(sorted(takes))}) are numbered, and were read as takes of one class"
    if len(classes) > 1 and _are_numbered(classes):
        return f"{labels}; if these number takes of one class, name the folder above instead"
    return labels if layout.outer else ""


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def holds_classes(path: str, files: Sequence[str], tables: Sequence[str]) -> bool:
    """Whether a folder is one of class folders: it has videos. Raises ValueError where it may as well be the tables in it."""
    videos = [name for name in files if is_video(name)]
    if videos and tables and len({os.path.dirname(name) for name in videos}) < 2:
        raise ValueError(
            f"{path} holds tables ({', '.join(tables[:3])}) and videos; name the table: {path.rstrip('/')}/{tables[0]}"
        )
    return bool(videos)


def ignored(files: Sequence[str]) -> dict[str, int]:
    """Files of a folder of class folders that are no videos, counted by suffix."""
    return dict(Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in files if not is_video(name)).most_common())


def words_of(name: str) -> str:
    """The words in the name of a class folder.

    >>> words_of("ApplyEyeMakeup"), words_of("brush_hair"), words_of("tai chi")
    ('Apply Eye Makeup', 'brush hair', 'tai chi')
    """
    spaced = name.replace("_", " ").strip()
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", spaced) if re.fullmatch(r"(?:[A-Z][a-z0-9]+)+", spaced) else spaced
