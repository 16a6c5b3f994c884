"""A folder as a manifest: the files in it, and class folders, whose names are the labels of the videos in them.

FOLDER/CLASS/NAME.mp4             UCF101, HMDB51
FOLDER/SPLIT/CLASS/NAME.mp4       Kinetics: train, val, test
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from engine.ingest.splits import split_named
from engine.store.filesystems import Storage
from engine.store.locations import OBJECT_STORES
from engine.store.troubles import StorageError

SUFFIXES = {
    "mov,mp4,m4a,3gp,3g2,mj2": "mp4 m4v mov qt movie 3gp 3g2 mj2 f4v ismv",
    "matroska,webm": "mkv mk3d webm",
    "avi": "avi divx",
    "mpegts": "ts mts m2ts m2t",
    "mpeg": "mpeg mpg mpe vob mod",
    "flv": "flv",
    "asf": "asf wmv",
    "ogg": "ogv ogg ogm",
    "mxf": "mxf",
    "ivf": "ivf",
    "dv": "dv dif",
    "gif": "gif",
    "apng": "apng",
    "yuv4mpegpipe": "y4m",
    "h264": "264 avc h264 h26l",
    "hevc": "265 h265 hevc",
    "m4v": "m4v",
    "mpegvideo": "m1v m2v mpv",
    "mjpeg": "mjpeg mjpg",
    "obu": "obu",
}
"""The demuxers that open a video (engine/decode/media.py) -> suffixes of their files, without those of sound and still pictures."""
VIDEO_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes.split())
LAYOUTS = "what is read is FOLDER/CLASS/NAME.mp4 and FOLDER/SPLIT/CLASS/NAME.mp4"


def files_under(path: str, storage: Storage) -> list[str] | None:
    """The names of the files in a folder and its folders, relative to it and sorted, without hidden ones; None for a file.

    Names that begin with a dot are hidden, and with an underscore (Spark's _SUCCESS) those of anything but videos.
    Raises ValueError for a folder without files, and for a Delta table, StorageError where a folder cannot be listed.
    """
    filesystem, root = storage.filesystem(path)
    if isinstance(filesystem, LocalFileSystem):
        if not os.path.isdir(root):
            return None
        names = storage.patiently(f"cannot list {path}", lambda: _local_files(root))
    else:
        if path.partition("://")[0] not in {*OBJECT_STORES, "memory"} or _is_file(path, storage):
            return None
        paths = storage.patiently(f"cannot list {path}", lambda: filesystem.find(root))
        start = f"{root.lstrip('/')}/"
        names = [name.lstrip("/").removeprefix(start) for name in paths if name.lstrip("/").startswith(start)]
        if not names:
            return None
    if any(name.startswith("_delta_log/") for name in names):
        raise ValueError(f"{path} is a Delta table, whose files may hold deleted rows; export it as Parquet")
    visible = sorted(name for name in names if not _is_hidden(name))
    if not visible:
        raise ValueError(f"{path} is a folder without files; name a table, or a folder with one folder for each class")
    return visible


def _is_file(path: str, storage: Storage) -> bool:
    if path.endswith("/") or not path.partition("://")[2].partition("/")[2]:
        return False
    filesystem, full = storage.filesystem(path)
    try:
        return storage.patiently(f"cannot read {path}", lambda: bool(filesystem.info(full)["type"] == "file"))
    except StorageError as error:
        if error.trouble != "missing":
            raise
        return False


def _local_files(root: str) -> list[str]:
    """Also those in linked folders, however many links lead to one; a link to a folder above it would never end.

    A folder that cannot be listed is an OSError: its files would be missing without a word.
    """
    names = list[str]()
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while waiting:
        folder, above = waiting.pop()
        status = os.stat(os.path.join(root, folder))
        if (key := (status.st_dev, status.st_ino)) in above:
            continue
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name)
                if _is_folder(entry):
                    waiting.append((name, above | {key}))
                else:
                    names.append(name)
    return names


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_hidden(name: str) -> bool:
    """
    >>> _is_hidden("_SUCCESS"), _is_hidden("run/._a.mp4"), _is_hidden("run/_x7Gq.mp4")
    (True, True, False)
    """
    return any(part[:1] in ("", ".") or (part[0] == "_" and not is_video(name)) for part in name.split("/"))


def is_video(name: str) -> bool:
    return name.rpartition(".")[2].lower() in VIDEO_SUFFIXES


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


def class_records(path: str, files: Sequence[str]) -> Iterator[tuple[str, dict[str, Any] | ValueError]]:
    """A row for each video, with a typed label: a class may be called None. A video in no class folder, or deeper, is a bad row.

    Raises ValueError for folders of which some are splits and others classes.
    """
    root = path.rstrip("/") if "://" in path else os.path.abspath(path)
    videos = [name for name in files if is_video(name)]
    inner = _only_folder(videos)
    splits = _splits(path, [name.removeprefix(inner) for name in videos])
    stems = Counter(os.path.splitext(name)[0] for name in videos)
    for name in videos:
        top, _, rest = name.removeprefix(inner).partition("/")
        inside = rest.split("/") if splits else [top, *rest.split("/")] if rest else [top]
        if len(inside) != 2 or not inside[0]:
            why = (
                "in no class folder"
                if len(inside) < 2
                else f"deeper than a class folder: its class may be {inside[0]!r} or {inside[-2]!r}"
            )
            yield f"{root}/{name}", ValueError(f"{root}/{name} lies {why}; {LAYOUTS}")
            continue
        stem = os.path.splitext(name)[0]
        row = {
            "clip_id": stem if stems[stem] == 1 else name,
            "video": f"{root}/{name}",
            "label": {"kind": "keywords", "text": words_of(inside[0])},
        }
        yield f"{root}/{name}", row | ({"split": splits[top]} if splits else {})


def _only_folder(videos: Sequence[str]) -> str:
    """The folders above all class folders, as an archive that was unpacked leaves them: "UCF-101/"; "" if there are none."""
    inner = ""
    while len({name.removeprefix(inner).partition("/")[0] for name in videos}) == 1 and all(
        name.removeprefix(inner).count("/") > 1 for name in videos
    ):
        top = videos[0].removeprefix(inner).partition("/")[0]
        if split_named(top):
            break
        inner += f"{top}/"
    return inner


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
            f"{path}: of its folders some are splits ({', '.join(deep)}) and some not ({', '.join(others[:5])}); {LAYOUTS}"
        )
    return {}


def words_of(name: str) -> str:
    """The words in the name of a class folder.

    >>> words_of("ApplyEyeMakeup"), words_of("brush_hair"), words_of("tai chi")
    ('Apply Eye Makeup', 'brush hair', 'tai chi')
    """
    spaced = name.replace("_", " ").strip()
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", spaced) if re.fullmatch(r"(?:[A-Z][a-z0-9]+)+", spaced) else spaced
