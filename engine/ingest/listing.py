"""Looks for the clips' videos in storage, by listing folders: which are missing, and digests of those that object stores have."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from engine.ingest.hashes import hash_of
from engine.ingest.skipped import Skipped
from engine.rows import Clip, Example
from engine.store.filesystems import Storage
from engine.store.locations import WEB, local_path, place_of, protocol_of
from engine.store.parallel import parallel_map
from engine.store.sources import readable_names
from engine.store.troubles import StorageError

DIGEST = re.compile(r"[0-9a-f]{32}(-\d+)?|[0-9A-Za-z+/]{22}==")
SMALLEST_BYTES = 1024
"""Nothing smaller is a video: error pages and placeholders are all equal."""
PATIENCE_S = 10.0
"""Ingest only reports missing videos, so it waits for storage less long than a run does."""
LISTED_FOLDERS = 2000
"""Folders that are looked into, with servers that did not respond: a folder for each of a million clips would take hours."""
BUDGET_S = 300.0
"""Seconds after which no more folders are looked into."""
TOGETHER = 256
"""Clips whose folders are listed at the same time."""
Shown = TypeVar("Shown", Clip, Example)


class Listing:
    """Looks for videos by listing their folders, each once; web servers have no listings, so they are asked for each video.

    Requests to storage are bounded, whatever the number of clips: by LISTED_FOLDERS and BUDGET_S; and storage that did not respond
    once is not asked again.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = replace(storage, patience_s=min(PATIENCE_S, storage.patience_s))
        self._folders: dict[str, dict[str, int] | None] = {}
        """Names in each folder, with a hash of the object's bytes, 0 for unknown; None for a folder that cannot be listed."""
        self._places: dict[str, bool] = {}
        """Buckets and servers, and whether they responded."""
        self._num_dead, self._seconds = 0, 0.0
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
            did_not_respond = self._places.get(_place_of(folder)) is False
            (self.unanswered if did_not_respond else self.unlisted).add(clip.clip_id)
        elif (names := self._folders[folder]) is None:
            self.unanswered.add(clip.clip_id)
        elif name not in names:
            self.missing.add(clip.clip_id)
            self.first_missing = self.first_missing or clip.video

    def bytes_of(self, video: str) -> int:
        """A hash of the digest with which an object store lists a video that was looked for; 0 where it is not known."""
        folder, name = _folder_of(video)
        return (self._folders.get(folder) or {}).get(name, 0)

    def look(self, videos: Iterable[str]) -> None:
        """List the videos' folders, those that were not listed before, at the same time: first one of each bucket or server."""
        folders = {folder: name for folder, name in map(_folder_of, videos) if folder not in self._folders}
        first = {place: folder for folder in reversed(folders) if (place := _place_of(folder)) not in self._places}
        self._ask([(folder, folders[folder]) for folder in first.values()])
        self._ask([(folder, name) for folder, name in folders.items() if self._places.get(_place_of(folder))])

    def _ask(self, folders: Sequence[tuple[str, str]]) -> None:
        to_list = [(folder, name) for folder, name in folders if folder not in self._folders]
        to_list = to_list[: max(0, LISTED_FOLDERS - len(self._folders) - self._num_dead)] if self._seconds < BUDGET_S else []
        before, start = self._seconds, time.monotonic()
        for folder, names in parallel_map(self._answer, to_list):
            place = _place_of(folder)
            if isinstance(names, StorageError) and names.trouble == "unavailable":
                self._num_dead += self._places.get(place, True)
                self._places[place] = False
            else:
                self._places.setdefault(place, True)
                self._folders[folder] = None if isinstance(names, StorageError) else names
            self._seconds = before + time.monotonic() - start
            if self._seconds >= BUDGET_S:
                break

    def _answer(self, folder_and_video: tuple[str, str]) -> tuple[str, dict[str, int] | StorageError | None]:
        """The folder, and what is in it or why that is not known."""
        folder, video = folder_and_video
        try:
            return folder, self._names(folder, video)
        except StorageError as error:
            return folder, error
        except ValueError as error:  # a protocol whose package is not installed, a password
            return folder, StorageError("refused", str(error))

    def _names(self, folder: str, video: str) -> dict[str, int] | None:
        """The objects in a folder, none if there is no such folder; None if it shows nothing and still has the video.

        Some stores show an empty folder to who may read its objects and not list them. Raises StorageError.
        """
        is_web = protocol_of(folder) in WEB
        if not is_web and (names := _listed(folder, self._storage)):
            return names
        try:
            with self._storage.opened(folder if is_web else f"{folder}/{video}", whole_bytes=0):
                return {video: 0} if is_web else None
        except StorageError as error:
            if error.trouble != "missing":
                raise
            return {}


def _folder_of(video: str) -> tuple[str, str]:
    """The folder that is listed to look for a video, and its name there; a web server is asked for the video itself.

    >>> _folder_of("s3://b/v/a.mp4"), _folder_of("https://h/a.mp4")
    (('s3://b/v', 'a.mp4'), ('https://h/a.mp4', 'a.mp4'))
    """
    path = local_path(video)
    folder, _, name = (video if path is None else path).rpartition("/")
    return video if protocol_of(video) in WEB else folder, name


def _place_of(folder: str) -> str:
    """The bucket or server of a folder; for a path the folder itself: another one may be another disk."""
    return folder if local_path(folder) is not None else place_of(folder)


def _listed(folder: str, storage: Storage) -> dict[str, int]:
    """The objects in a folder, each with a hash of its bytes or 0; none if there is no such folder. Raises StorageError."""
    filesystem, path = storage.filesystem(folder or "/")
    is_local = local_path(folder) is not None
    list_names: Callable[[], list[Any]] = partial(readable_names, path) if is_local else partial(filesystem.ls, path, detail=True)
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
    digest = str(entry.get("ETag") or entry.get("md5Hash") or "").strip('"')
    size = entry.get("size") or 0
    return hash_of(f"{digest} {size}") if DIGEST.fullmatch(digest) and size >= SMALLEST_BYTES else 0
