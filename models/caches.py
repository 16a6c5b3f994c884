"""Folders of this user for files that are fetched or computed once per machine: nobody else may write there."""

import os
import stat
import tempfile
from pathlib import Path


def temporary_folder(kind: str) -> Path:
    """The user's own folder for one kind of files among the temporary ones, made if it is missing.

    Its name can be predicted, so another user may have made it first. Raises ValueError in that case, and where none can be made.
    """
    folder = Path(tempfile.gettempdir()) / f"starloop-{kind}-{os.getuid()}"
    try:
        return private_folder(folder)
    except OSError as error:
        raise ValueError(f"{folder} is not a folder of this user alone ({error}); remove it, or set TMPDIR") from None


def private_folder(folder: Path) -> Path:
    """The folder, made if it is missing, with mode 0700. Raises OSError where it, or a link to it, belongs to another user."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(status.st_uid != os.getuid() for status in (folder.lstat(), folder.stat())):
        raise PermissionError(f"it belongs to user {folder.stat().st_uid}")
    if stat.S_IMODE(folder.stat().st_mode) != 0o700:
        folder.chmod(0o700)
    return folder
