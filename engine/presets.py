"""How a configuration is read: a preset's defaults, then a TOML file, then --set. Unknown keys are refused."""

import difflib
import tomllib
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from engine.config import RunConfig

MODELS = {"span_model": "distilbert/distilbert-base-cased-distilled-squad", "entailment_model": "facebook/bart-large-mnli"}
"""What Video-STaR's release verifies with: the default of transformers' question answering, and the classifier that it names."""
PRESETS: dict[str, dict[str, Any]] = {
    "strict": {},
    "paper": {
        "generate": {"prompts": "published", "temperature": 0.2, "max_tokens": 1024, "grounding": 0},
        "select": {"min_grounding": "off", "near_copies": "ignore"},
        "verify": {"preset": "paper", **MODELS},
        "loop": {"max_cycles": 3, "promote": "last", "min_delta": 0.0, "patience": 0},
        "train": {"batch_rows": 128, "lr": 2e-5, "epochs": 1.0, "weight_decay": 0.0, "decay": "matrices"},
        "episodes": {"shots": (16,), "exclude": "nothing", "same_narrator": False, "wordings": "published", "common_by": "clip"},
    },
    "code": {
        "generate": {"prompts": "published", "temperature": 0.2, "max_tokens": 1024, "grounding": 0},
        "select": {"min_grounding": "off", "near_copies": "ignore"},
        "verify": {"preset": "code", **MODELS},
        "loop": {"max_cycles": 10, "promote": "last", "min_delta": 0.0, "patience": 0, "final_direct_only": False},
        "train": {"batch_rows": 128, "lr": 2e-5, "epochs": 1.0, "weight_decay": 0.0, "decay": "matrices"},
        "episodes": {"shots": (16,), "exclude": "nothing", "same_narrator": False, "wordings": "published", "common_by": "clip"},
    },
}
"""Video-STaR's paper and released code differ (matcher threshold 80 or 85, cycles, last finetune); strict is our own."""


def load_config(path: Path | None, settings: list[str]) -> RunConfig:
    """Preset, then the TOML file, then `section.key=value` settings. Raises ValueError in one line that names the remedy."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except FileNotFoundError:
            raise ValueError(f"no such config: {path}") from None
        except OSError as error:
            raise ValueError(f"{path} cannot be read as a config: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not TOML: it is not UTF-8 text") from None
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path} is not TOML: {error}") from None
    for setting in settings:
        _apply(values, setting)
    return _resolve(values, str(path) if path else "", [setting.partition("=")[0].strip() for setting in settings])


def with_settings(config: RunConfig, settings: list[str]) -> RunConfig:
    """A run's configuration with other `section.key=value` settings. Raises ValueError as load_config does."""
    values = config.model_dump(mode="json")
    for setting in settings:
        _apply(values, setting)
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"--set: {one_line(error)}") from None


def _apply(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals:
        raise ValueError(f"--set {setting}: expected section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, name = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ValueError(f"--set {setting}: {section} is not a section")
    values[name] = value


def _resolve(values: dict[str, Any], origin: str, set_keys: list[str]) -> RunConfig:
    """`set_keys`: the keys that came from the command line."""
    preset = values.get("preset", "strict")
    merged = {key: dict(section) for key, section in PRESETS.get(preset, {}).items()} if isinstance(preset, str) else {}
    for key, value in values.items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"])
        is_set = not origin or any(f"{key}.".startswith(f"{name}.") or name.startswith(f"{key}.") for name in set_keys)
        raise ValueError(f"{'--set' if is_set else origin}: {one_line(error)}") from None


REMEDIES = {
    "tuple_type": "is no list; write one, such as --set '{key}=[...]' with texts in double quotes",
    "dict_type": "is no table; write one as TOML does, {{name = 1}}",
    "model_type": "is a section, not a value; set one of its keys, {key}.NAME",
}
"""Our words for some of pydantic's errors, by type."""


def one_line(error: ValidationError) -> str:
    """The first mistake in a configuration, with its key."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return str(first["msg"])
    if first["type"] != "extra_forbidden":
        remedy = REMEDIES.get(first["type"], "").format(key=key)
        message = remedy or first["msg"].removeprefix("Value error, ")
        return (
            f"{key} = {first['input']!r}: {message}"
            if not isinstance(first["input"], dict)
            else f"[{key}] {message}"
            if key
            else message
        )
    section, name = first["loc"][:-1], str(first["loc"][-1])
    known = _known_keys(section)
    close = difflib.get_close_matches(name, known, n=1)
    meant = ".".join([*map(str, section), close[0]]) if close else ""
    return f"no key {key!r}" + (f"; did you mean {meant!r}?" if close else f"; known: {', '.join(known)}")


def _known_keys(section: tuple[int | str, ...]) -> list[str]:
    """
    >>> _known_keys(("evaluate",))
    ['lora_alpha', 'sets', 'only', 'judge', 'sentence_model', 'cross_encoder', 'bert_model']
    >>> _known_keys(("evaluate", "sets", 1))
    ['name', 'format', 'files', 'videos', 'metrics', 'prompts', 'when', 'judge']
    >>> _known_keys(("prompts", "mine"))[:2]
    ['answer', 'rationalize']
    """
    model: Any = RunConfig
    for part in section:
        if isinstance(part, str) and part in model.model_fields:  # else the name that the user gave to one of several sections
            annotation = model.model_fields[part].annotation
            # of a tuple or a table of sections, the section
            model = next((inner for inner in get_args(annotation) if hasattr(inner, "model_fields")), annotation)
    return list(model.model_fields)


def differing_keys(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys whose values differ.

    >>> differing_keys({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
    ['a.b: 1 -> 3']
    """
    differing = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            differing += differing_keys(before, after, f"{prefix}{key}.")
        elif before != after:
            differing.append(f"{prefix}{key}: {before!r} -> {after!r}")
    return differing
