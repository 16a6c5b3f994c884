"""Looks for the clips' videos in storage, by listing folders: which are missing, and digests of those that object stores have."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from fsspec.asyn import AsyncFileSystem, sync

from engine.decode.frame_folder import frame_folder
from engine.ingest.hashes import hash_of
from engine.ingest.skipped import Skipped
from engine.rows import Clip, Example
from engine.store.awaited import Awaited
from engine.store.filesystems import Storage
from engine.store.locations import WEB, local_path, place_of, protocol_of
from engine.store.parallel import parallel_map
from engine.store.sources import readable_names
from engine.store.troubles import StorageError

DIGEST = re.compile(r"[0-9a-f]{32}(-\d+)?|[0-9A-Za-z+/]{22}==|[0-9a-f]{40}|[0-9a-f]{64}")
"""MD5 as object stores name it, of an object's parts too; SHA-1 and SHA-256 of other servers. An ETag of another form, such as
nginx's of time and size, is no digest: it differs between copies, and may be the same for other bytes."""
VERSION = "?versionId="
"""By which a URI of S3 names a version of an object; listings have the newest one alone."""
SMALLEST_BYTES = 1024
"""Nothing smaller is a video: error pages and placeholders are all equal."""
PATIENCE_S = 10.0
"""Ingest only reports missing videos, so it waits for storage less long than a run does."""
LISTING_S = 60.0
"""A folder that takes longer is given up: an object store shows some thousand names a second, and some folders have millions."""
LISTED_FOLDERS = 2000
"""Folders that are looked into: a folder for each of a million clips would take hours."""
BUDGET_S = 300.0
"""Seconds after which no more folders are looked into."""
TOGETHER = 256
"""Clips whose folders are listed at the same time."""
SILENT_AFTER = 3
"""A bucket or server is silent once so many of its folders or objects, one after another, got no response: one alone may be its own
trouble."""
Shown = TypeVar("Shown", Clip, Example)


class Listing:
    """Looks for videos by listing their folders, each once; web servers have no listings, so they are asked for each video.

    Requests to storage are bounded, whatever the number of clips: by LISTED_FOLDERS and BUDGET_S; and storage that did not respond
    SILENT_AFTER times is not asked again.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = replace(storage, patience_s=min(PATIENCE_S, storage.patience_s))
        self._folders: dict[str, dict[str, int] | None] = {}
        """Names in each folder, with a hash of the object's bytes, 0 for unknown; None for a folder that cannot be listed."""
        self._unanswered: dict[str, int] = {}
        """How many folders of a bucket or server got no response since one did; 0: the last one did."""
        self._seconds = 0.0
        self._trouble = ""
        """Why the first of the folders that were not listed was not."""
        self.missing, self.unanswered, self.unlisted = Skipped(), Skipped(), Skipped()
        self.first_missing = ""
        """Where the first missing video was looked for."""

    def counted(self, clips: Iterable[Shown]) -> Iterator[Shown]:
        """The clips, counted as they come; the folders of TOGETHER clips are listed at the same time."""
        waiting: list[Shown] = []
        for clip in clips:
            waiting.append(clip)
            if len(waiting) == TOGETHER:
                yield from self._counted(waiting)
                waiting = []
        yield from self._counted(waiting)

    def _counted(self, clips: Sequence[Shown]) -> Iterator[Shown]:
        self.look([clip.video for clip in clips if clip.video])
        for clip in clips:
            if clip.video:
                self.count(clip)
            yield clip

    def count(self, clip: Clip | Example) -> None:
        """Count the clip if its video is missing, or if that cannot be found out: unanswered by storage, or not looked for."""
        self.look([clip.video])
        folder, name = _folder_of(clip.video)
        if folder not in self._folders:
            (self.unanswered if self._is_silent(_place_of(folder)) else self.unlisted).add(clip.clip_id)
        elif (names := self._folders[folder]) is None:
            self.unanswered.add(clip.clip_id)
        elif not (name in names if name else names):
            self.missing.add(clip.clip_id)
            self.first_missing = self.first_missing or clip.video

    @property
    def num_asked(self) -> int:
        """Folders, and objects of web servers, that were asked for."""
        return len(self._folders)

    @property
    def trouble(self) -> str:
        """Why some folders were not listed, in one line."""
        return self._trouble or f"at most {LISTED_FOLDERS} folders are listed, and for {BUDGET_S:g} s"

    @property
    def num_on_web(self) -> int:
        """How many of these are objects of web servers."""
        return sum(protocol_of(folder) in WEB for folder in self._folders)

    def has_listed(self, video: str) -> bool:
        """Whether the folder of a video that was looked for is known."""
        return self._folders.get(_folder_of(video)[0]) is not None

    def bytes_of(self, video: str) -> int:
        """A hash of the digest that storage gives of a video that was looked for; 0 where it is not known."""
        folder, name = _folder_of(video)
        return (self._folders.get(folder) or {}).get(name, 0)

    def look(self, videos: Iterable[str]) -> None:
        """List the videos' folders, those that were not listed before, at the same time: first a few of each bucket or server."""
        folders = {folder: name for folder, name in map(_folder_of, videos) if folder not in self._folders}
        first, of_place = list[str](), Counter(self._unanswered)
        for folder in folders:
            place = _place_of(folder)
            if self._unanswered.get(place) != 0 and of_place[place] < SILENT_AFTER:
                first.append(folder)
                of_place[place] += 1
        self._ask([(folder, folders[folder]) for folder in first])
        self._ask([(folder, name) for folder, name in folders.items() if folder not in self._folders])

    def _is_silent(self, place: str) -> bool:
        return self._unanswered.get(place, 0) >= SILENT_AFTER

    def _ask(self, folders: Sequence[tuple[str, str]]) -> None:
        """Ask for folders that were not asked for, as long as their bucket or server responds."""
        num_left = LISTED_FOLDERS - len(self._folders) if self._seconds < BUDGET_S else 0
        if not (
            to_list := [(folder, name) for folder, name in folders if not self._is_silent(_place_of(folder))][: max(0, num_left)]
        ):
            return
        before, start = self._seconds, time.monotonic()
        with Awaited("looking for videos", self._storage.silence_s) as awaited:
            while_it_responds = (item for item in to_list if not self._is_silent(_place_of(item[0])))
            for folder, names in parallel_map(partial(self._answer, awaited), while_it_responds):
                self._keep(folder, names)
                self._seconds = before + time.monotonic() - start
                if self._seconds >= BUDGET_S:
                    break

    def _keep(self, folder: str, names: dict[str, int] | StorageError | None) -> None:
        place = _place_of(folder)
        is_unanswered = isinstance(names, StorageError) and names.trouble == "unavailable"
        self._unanswered[place] = self._unanswered.get(place, 0) + 1 if is_unanswered else 0
        if not isinstance(names, dict):
            self._trouble = self._trouble or str(names or f"{folder} shows nothing of what may be read there")
        self._folders[folder] = names if isinstance(names, dict) else None

    def _answer(self, awaited: Awaited, folder_and_video: tuple[str, str]) -> tuple[str, dict[str, int] | StorageError | None]:
        """The folder, and what is in it or why that is not known."""
        folder, video = folder_and_video
        try:
            with awaited.call(folder):
                return folder, self._names(folder, video)
        except StorageError as error:
            return folder, error
        except ValueError as error:  # a protocol whose package is not installed, a password
            return folder, StorageError("refused", str(error))

    def _names(self, folder: str, video: str) -> dict[str, int] | None:
        """The objects in a folder, none if there is no such folder; None if it shows nothing and still has the video.

        Some stores show an empty folder to who may read its objects and not list them. Raises StorageError.
        """
        is_single = _is_asked_for_itself(folder)
        if not is_single and (names := _listed(folder, self._storage)):
            return names
        try:
            with self._storage.opened(folder if is_single else f"{folder}/{video}", whole_bytes=0) as source:
                return {video: _digest_hash(source.etag, source.size)} if is_single else None
        except StorageError as error:
            if error.trouble != "missing":
                raise
            return {}


def _folder_of(video: str) -> tuple[str, str]:
    """The folder that is listed to look for a video, and its name there; storage is asked for the video itself on a web server, and
    where it is a certain version of an object. Of a video that is a folder of pictures any of them will do: its name is "".

    >>> _folder_of("s3://b/v/a.mp4"), _folder_of("https://h/a.mp4"), _folder_of("s3://b/castle#fps=3")
    (('s3://b/v', 'a.mp4'), ('https://h/a.mp4', 'a.mp4'), ('s3://b/castle', ''))
    >>> _folder_of("s3://b/v/a.mp4?versionId=3")
    ('s3://b/v/a.mp4?versionId=3', 'a.mp4?versionId=3')
    """
    if pictures := frame_folder(video):
        return local_path(pictures[0]) or pictures[0], ""
    path = local_path(video)
    folder, _, name = (video if path is None else path).rpartition("/")
    return video if _is_asked_for_itself(video) else folder, name


def _is_asked_for_itself(video: str) -> bool:
    return protocol_of(video) in WEB or VERSION in video


def _place_of(folder: str) -> str:
    """The bucket or server of a folder; for a path the folder itself: another one may be another disk."""
    return folder if local_path(folder) is not None else place_of(folder)


def _listed(folder: str, storage: Storage) -> dict[str, int]:
    """The objects in a folder, each with a hash of its bytes or 0; none if there is no such folder. Raises StorageError."""
    filesystem, path = storage.filesystem(folder or "/")
    is_local = local_path(folder) is not None
    list_names: Callable[[], list[Any]] = partial(readable_names, path) if is_local else partial(filesystem.ls, path, detail=True)
    if isinstance(filesystem, AsyncFileSystem):
        list_names = partial(sync, filesystem.loop, filesystem._ls, path, detail=True, timeout=LISTING_S)
    try:
        entries = storage.patiently(f"cannot list {folder}", list_names)
    except StorageError as error:
        if error.trouble != "missing":
            raise
        entries = []
    if is_local:
        return dict.fromkeys(entries, 0)
    return {entry["name"].rsplit("/", 1)[-1]: _bytes_hash(entry) for entry in entries if entry.get("type") != "directory"}


def _bytes_hash(entry: dict[str, Any]) -> int:
    """A hash of the digest that a listing gives: S3's ETag, which is made of MD5s, or Google's MD5; 0 if there is none."""
    return _digest_hash(str(entry.get("ETag") or entry.get("md5Hash") or "").strip('"'), entry.get("size") or 0)


def _digest_hash(digest: str, size: int) -> int:
    """0 for what is no digest, and for what is too small to be a video."""
    return hash_of(f"{digest} {size}") if DIGEST.fullmatch(digest) and size >= SMALLEST_BYTES else 0
