"""The local folder that a command renders or writes into: made before the work begins, which may take an hour."""

from pathlib import Path


def make_folder(out: str | Path, inside: str = "") -> Path:
    """The folder `inside` of the one that --out names. Raises ValueError where it cannot be made.

    >>> make_folder("s3://bucket/demo")
    Traceback (most recent call last):
    ValueError: --out s3://bucket/demo: this command writes into a folder of this machine; choose one
    """
    if "://" in str(out):
        raise ValueError(f"--out {out}: this command writes into a folder of this machine; choose one")
    folder = Path(out) / inside
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out {out}: {error.strerror}; choose another folder") from None
    return folder
