"""Folders of this user for files that are fetched or computed once per machine: nobody else may write there."""

import os
import tempfile
from pathlib import Path

WRITABLE_BY_OTHERS = 0o022


def cache_folder(kind: str) -> Path:
    """The user's folder for one kind of files, $XDG_CACHE_HOME/starloop/KIND or ~/.cache/starloop/KIND, made if it is missing.

    What is in it outlives a run, so it is no folder among the temporary files, where another user may be first to make what has a
    name that can be predicted. Raises ValueError where there is no such folder, or where others can write to it.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(home) / "starloop" / kind
    try:
        if not folder.is_absolute():
            raise NotADirectoryError("it is no absolute path")
        private_folder(folder.parent)
        return private_folder(folder)
    except OSError as error:
        raise ValueError(f"{folder} is not a folder of this user alone ({error}); remove it, or set XDG_CACHE_HOME") from None


def temporary_folder(kind: str) -> Path:
    """The user's own folder for one kind of files among the temporary ones of this machine, made if it is missing.

    For files that a process makes itself and that no later one trusts. The name can be predicted, so another user may have made the
    folder first. Raises ValueError in that case, and where none can be made.
    """
    folder = Path(tempfile.gettempdir()) / f"starloop-{kind}-{os.getuid()}"
    try:
        return private_folder(folder)
    except OSError as error:
        raise ValueError(f"{folder} is not a folder of this user alone ({error}); remove it, or set TMPDIR") from None


def private_folder(folder: Path) -> Path:
    """The folder, made if it is missing, with mode 0700.

    Raises OSError where it cannot be made or written, where it, or a link to it, belongs to another user, and where others can
    write to it: what is in it may be theirs.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    statuses = folder.lstat(), folder.stat()
    if any(status.st_uid != os.getuid() for status in statuses):
        raise PermissionError(f"it belongs to user {statuses[-1].st_uid}")
    if statuses[-1].st_mode & WRITABLE_BY_OTHERS:
        raise PermissionError("others can write to it")
    if statuses[-1].st_mode & 0o777 != 0o700:
        folder.chmod(0o700)
    if not os.access(folder, os.W_OK):
        raise PermissionError("it cannot be written")
    return folder
