"""The files in a folder and in its folders, as a manifest's; which of them are videos, by their names."""

import os

from fsspec.implementations.local import LocalFileSystem

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


def files_under(path: str, storage: Storage, unlisted: list[str] | None = None) -> list[str] | None:
    """The names of the files in a folder and its folders, relative to it and sorted, without hidden ones; None for a file.

    Names that begin with a dot are hidden, and with an underscore (Spark's _SUCCESS) those of anything but videos.
    Raises ValueError for a folder without files, and for a Delta table, StorageError where a folder cannot be listed. Local folders
    below it that may not be listed are passed over where the caller gives `unlisted`, to which they are added.
    """
    filesystem, root = storage.filesystem(path)
    if isinstance(filesystem, LocalFileSystem):
        if not os.path.isdir(root):
            return None
        names = storage.patiently(f"cannot list {path}", lambda: _local_files(root, unlisted))
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


def _local_files(root: str, unlisted: list[str] | None) -> list[str]:
    """Also those in linked folders, however many links lead to one; a link to a folder above it would never end.

    A folder that cannot be listed is an OSError, unless it is to be added to `unlisted`: its files would be missing without a word.
    """
    names = list[str]()
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while waiting:
        folder, above = waiting.pop()
        status = os.stat(os.path.join(root, folder))
        if (key := (status.st_dev, status.st_ino)) in above:
            continue
        try:
            entries = list(os.scandir(os.path.join(root, folder)))
        except PermissionError:
            if not folder or unlisted is None:
                raise
            unlisted.append(folder)
            continue
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
