"""A checkpoint's folder: shipped, local, or fetched from the hub; its JSON files, and the digest of all its bytes."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from models.digests import file_digest

TINY = Path(__file__).parent / "tiny" / "weights"
"""The folder of the shipped tiny base."""
FILES = ("*.safetensors", "*.json", "*.jinja", "*.model")
"""What of a checkpoint's folder is fetched and counts for its digest: weights, and the small files that say how to use them."""


@cache
def fetch(uri: str, patterns: tuple[str, ...] = FILES) -> Path:
    """A local folder with the checkpoint's files, at least those of the patterns. Raises ValueError where there is none."""
    if uri == "tiny":
        return TINY
    if (folder := Path(uri).expanduser()).is_dir():
        return folder
    if uri.startswith((".", "/", "~")) or uri.count("/") != 1:
        raise ValueError(f"no checkpoint folder {uri!r}; give 'tiny', a folder, a URI of one, or a hub id such as owner/name")
    from huggingface_hub import snapshot_download  # only a hub id needs it

    try:
        return Path(snapshot_download(uri, allow_patterns=list(patterns)))
    except OSError as error:  # the base class of the hub's errors
        reason = str(error).splitlines()[0]
        raise ValueError(f"no folder {uri!r} is here, and the hub does not give it: {reason}; give a folder or a URI") from None


def is_here(uri: str) -> bool:
    """True for the shipped base and for a local folder: nothing has to be fetched to read it."""
    return uri == "tiny" or Path(uri).expanduser().is_dir()


def revision(uri: str) -> str:
    """The commit that a hub id resolved to, by which the hub's cache names a snapshot's folder; "" for a folder or a URI."""
    if is_here(uri) or "://" in uri:
        return ""
    return fetch(uri, ("*.json",)).name


def read_json(path: Path) -> dict[str, Any]:
    """Raises ValueError naming the file where it is not there or not a JSON object."""
    if not path.is_file():
        raise ValueError(f"{path.parent} has no {path.name}; is it a checkpoint's folder?")
    try:
        value = json.loads(path.read_text())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{path} is not a JSON object: it begins with {path.read_bytes()[:20]!r}; fetch it again")
    return value


def model_type(uri: str) -> str:
    """The model's kind, as config.json names it. Raises ValueError where there is no checkpoint."""
    return str(read_json(fetch(uri, ("*.json",)) / "config.json").get("model_type"))


def digest_of(folder: Path) -> str:
    """Hex sha256 of names, sizes and all bytes of a checkpoint's files. A file is read once per machine (models/digests.py)."""
    total = hashlib.sha256()
    for path in sorted({path for pattern in FILES for path in folder.glob(pattern) if path.is_file()}):
        total.update(f"{path.name} {path.stat().st_size} {file_digest(path)}\n".encode())
    return total.hexdigest()
