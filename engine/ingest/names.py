"""The videos below a folder, by what annotations call them: whatever the suffix, and in whatever folder."""

import logging
import os
import posixpath
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from engine.ingest.folders import files_under, is_video
from engine.store.filesystems import Storage
from engine.store.troubles import StorageError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedVideos:
    """NamedVideos("s3://bucket/k700", Storage()).named("abc_000010")

    The folder is listed once, at the first question. None of its videos is known where it is not there or may not be listed.
    """

    folder: str
    storage: Storage

    def named(self, name: str, anywhere: bool = True) -> str:
        """The video with this name, whatever its suffix, relative to the folder; "" where there is none.

        `anywhere`: it may lie in any folder below, if there is only one of this name. Raises StorageError where storage does not
        answer.
        """
        if name in self._exact:
            return name
        by_name = self._by_name.get(posixpath.basename(_stem(name)), "") if anywhere else ""
        return self._by_stem.get(_stem(name)) or by_name

    @cached_property
    def _exact(self) -> frozenset[str]:
        unlisted: list[str] = []
        try:
            names = frozenset(filter(is_video, files_under(self.folder, self.storage, unlisted) or ()))
        except ValueError:
            return frozenset()
        except StorageError as error:
            if error.trouble not in ("missing", "denied"):
                raise
            return frozenset()
        if unlisted:
            log.warning(
                "videos are looked for in %s without %d folders that may not be listed; the first: %s",
                self.folder,
                len(unlisted),
                unlisted[0],
            )
        return names

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        return {_stem(name): name for name in sorted(self._exact, reverse=True)}

    @cached_property
    def _by_name(self) -> dict[str, str]:
        """Of names that only one video has."""
        counts = Counter(map(posixpath.basename, self._by_stem))
        return {posixpath.basename(stem): name for stem, name in self._by_stem.items() if counts[posixpath.basename(stem)] == 1}


def _stem(name: str) -> str:
    return os.path.splitext(name)[0] if is_video(name) else name
