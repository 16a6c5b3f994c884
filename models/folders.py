"""A checkpoint's folder: shipped, local, or fetched from the hub; and its JSON files."""

import json
from functools import cache
from pathlib import Path
from typing import Any

TINY = Path(__file__).parent / "tiny" / "weights"
"""Where the shipped tiny base lies."""
FILES = ("*.safetensors", "*.json", "*.jinja", "*.model")


@cache
def fetch(uri: str, only: tuple[str, ...] = FILES) -> Path:
    """A local folder with the checkpoint's files, at least those of the patterns. Raises ValueError where there is none."""
    if uri == "tiny":
        return TINY
    if (folder := Path(uri).expanduser()).is_dir():
        return folder
    if uri.startswith((".", "/", "~")) or uri.count("/") != 1:
        raise ValueError(f"no checkpoint folder {uri!r}; give 'tiny', a folder, a URI of one, or a hub id such as owner/name")
    from huggingface_hub import snapshot_download  # only a hub id needs it

    try:
        return Path(snapshot_download(uri, allow_patterns=list(only)))
    except OSError as error:  # what the hub's errors have in common
        why = str(error).splitlines()[0]
        raise ValueError(f"no folder {uri!r} is here, and the hub does not give it: {why}; give a folder or a URI") from None


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
    """What config.json calls the model's kind. Raises ValueError where there is no checkpoint."""
    return str(read_json(fetch(uri, ("*.json",)) / "config.json").get("model_type"))


def revision(uri: str) -> str:
    """The commit that a hub id resolved to; "" for anything else. The hub library keeps each commit in a folder of that name."""
    folder = fetch(uri, ("*.json",))
    return folder.name if folder.parent.name == "snapshots" else ""
