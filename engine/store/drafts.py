"""A local file while it is written: under a name that no listing of a store shows, then moved to its own name in one step."""

import errno
import io
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

DRAFT_PREFIX = ".part-"
"""Begins the name of a local file that is being written."""


def draft_path(full: str) -> str:
    """A new name in the folder of `full`, which is made if it is missing. Raises OSError."""
    folder = os.path.dirname(full)
    try:
        os.makedirs(folder, exist_ok=True)
    except FileExistsError:  # Store.create takes this error for "the file exists already"
        raise NotADirectoryError(errno.ENOTDIR, "a file is in the way of a folder", folder) from None
    return os.path.join(folder, f"{DRAFT_PREFIX}{uuid.uuid4().hex}")


def publish_bytes(full: str, data: bytes, commit: Callable[[str, str], None]) -> None:
    """Write a draft beside the file, then commit(draft, full): os.replace, or os.link, which raises FileExistsError."""
    path = draft_path(full)
    with removed_at_end(path):
        with open(path, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        commit(path, full)


@contextmanager
def removed_at_end(path: str) -> Iterator[None]:
    """Delete the file when the block ends, if the block has not moved it."""
    try:
        yield
    finally:
        if os.path.exists(path):
            os.unlink(path)


class Draft(io.FileIO):
    """A local file, unbuffered, that raises what `translate` makes of an OSError.

    Nothing is tried again: after a write that failed, nobody knows which bytes are on the disk.
    """

    def __init__(self, path: str, translate: Callable[[OSError], Exception]) -> None:
        super().__init__(path, "xb")
        self._translate = translate

    def write(self, data: Any) -> int:
        """Write all of a bytes-like object and return its size: pyarrow would not notice a short write."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            raise self._translate(error) from None
        return size

    def sync(self) -> None:
        """Wait until the disk has the bytes: a rename may else survive a power cut that they do not."""
        try:
            os.fsync(self.fileno())
        except OSError as error:
            raise self._translate(error) from None
