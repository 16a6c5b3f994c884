"""A checkpoint's folder: shipped, local, or fetched from the hub; its JSON files, and the digest of all its bytes."""

import hashlib
import json
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from models.digests import file_digest

TINY = Path(__file__).parent / "tiny" / "weights"
"""The folder of the shipped tiny base."""
SMALL_FILES = ("*.json", "*.jinja", "*.model")
"""What of a checkpoint's folder says how to use its weights: configuration, tokenizer, chat template. A few megabytes."""
FINETUNED = "finetuned_from.json"
"""Lies beside a whole model that a finetune wrote: such a folder takes the place of base and adapter together."""
FILES = ("*.safetensors", *SMALL_FILES)
"""What of a checkpoint's folder is fetched and counts for its digest."""

CONVERTED = {
    r"llava-v?1\.5-(7b|13b)": r"llava-hf/llava-1.5-\1-hf",
    r"llava-v?1\.6-(vicuna-7b|vicuna-13b|mistral-7b|34b)": r"llava-hf/llava-v1.6-\1-hf",
    r"llama-?3-llava-next-8b": r"llava-hf/llama3-llava-next-8b-hf",
    r"llava-next-(72b|110b)": r"llava-hf/llava-next-\1-hf",
}
"""Name of a checkpoint in the original layout -> its repository in transformers' layout."""


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


def has_lora(base: str, adapter: str | None) -> bool:
    """Whether a model has one: an adapter that is no whole finetuned model; without an adapter, that of a released PLLaVA."""
    if adapter is not None:
        return not (fetch(adapter) / FINETUNED).is_file()
    return any(".lora_A." in name for path in fetch(base).glob("*.safetensors") for name in _tensors_in(path))


def _tensors_in(path: Path) -> list[str]:
    with safe_open(path, framework="np") as file:
        return list(file.keys())


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


def config_of(uri: str) -> dict[str, Any]:
    """A checkpoint's config.json. Raises ValueError where there is no checkpoint."""
    return read_json(fetch(uri, ("*.json",)) / "config.json")


def is_original_llava(config: Mapping[str, Any]) -> bool:
    """Whether LLaVA's own code saved a checkpoint (haotian-liu/LLaVA). LLaVA-1.5's says "llava", as transformers' do."""
    return "mm_vision_tower" in config or bool(
        re.match("llava_(llama|mistral|mixtral|qwen|gemma|mpt)", str(config.get("model_type")))
    )


def unread_kind(uri: str, config: Mapping[str, Any], read: str) -> ValueError:
    """The error about a checkpoint of a kind that is not read. `read`: the kinds that are.

    >>> print(unread_kind("liuhaotian/llava-v1.6-mistral-7b", {"model_type": "llava_mistral"}, "llava"))
    liuhaotian/llava-v1.6-mistral-7b is in LLaVA's original layout; give its converted repository, llava-hf/llava-v1.6-mistral-7b-hf
    >>> print(unread_kind("some/model", {"model_type": "bert"}, "llava, pllava"))
    some/model is a 'bert' checkpoint, a model without video; docs/models.md lists what is read
    """
    kind = str(config.get("model_type"))
    if "model_type" not in config and not is_original_llava(config):
        return ValueError(f"{uri}: its config.json names no model_type; is it a checkpoint of transformers?")
    if not is_original_llava(config):
        return ValueError(f"{uri} is a {kind!r} checkpoint, a model without video; docs/models.md lists what is read")
    for pattern, repository in CONVERTED.items():
        for name in (uri, str(config.get("_name_or_path", ""))):
            if match := re.search(pattern, name.lower().replace("_", "-")):
                converted = f"give its converted repository, {match.expand(repository)}"
                return ValueError(f"{uri} is in LLaVA's original layout; {converted}")
    return ValueError(
        f"{uri} is in LLaVA's original layout; give its converted repository (the name ends with -hf, for example "
        "llava-hf/llava-1.5-7b-hf), or convert it with transformers' convert_llava_weights_to_hf.py"
    )


def digest_of(folder: Path) -> str:
    """Hex sha256 of names, sizes and all bytes of a checkpoint's files. A file is read once per machine (models/digests.py)."""
    total = hashlib.sha256()
    for path in sorted({path for pattern in FILES for path in folder.glob(pattern) if path.is_file()}):
        total.update(f"{path.name} {path.stat().st_size} {file_digest(path)}\n".encode())
    return total.hexdigest()


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write into, which takes that name when everything is written. Raises ValueError."""
    try:
        if out.exists() and any(out.iterdir()):
            raise ValueError(f"{out} is not empty; name another folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            yield unfinished
            _give_ordinary_modes(unfinished)
            if out.exists():
                out.rmdir()
            unfinished.rename(out)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot write {out}: {getattr(error, 'strerror', None) or error}") from None


def _give_ordinary_modes(folder: Path) -> None:
    """The folder and what safetensors writes are their owner's alone, whatever the umask says; a checkpoint is for others too."""
    probe = folder / ".mode"
    probe.touch()
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    folder.chmod(mode | (mode & 0o444) >> 2)  # made for its owner alone; who may read a folder may enter it
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)
