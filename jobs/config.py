"""Prints the configuration reference, or the values of a configuration or of a run."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.config import RunConfig
from engine.presets import load_config, with_settings
from engine.reference import chosen, keys, to_toml
from engine.run.work import run_config
from engine.store.documents import to_json
from engine.store.files import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigOptions:
    """ConfigOptions(key="train", source="", as_json=False): the options of the command."""

    key: str
    source: str
    """A TOML file, or a run's folder or URI; "": defaults are printed."""
    as_json: bool


def show(options: ConfigOptions, settings: list[str]) -> None:
    """The reference; with a source or settings, values."""
    shown = chosen(keys(), options.key.strip().strip("[]"))
    values = dict(_flat(_config(options.source, settings).model_dump(mode="json"))) if options.source or settings else None
    if not options.as_json:
        print(to_toml(shown, values), end="")
        return
    for key in shown:
        print(to_json(asdict(key) | ({} if values is None or key.entry else {"value": values.get(key.key)})).decode())


def _config(source: str, settings: list[str]) -> RunConfig:
    if not source or Path(source).is_file():
        return load_config(Path(source) if source else None, settings)
    store = Store(source.rstrip("/") or source, load_config(None, []).access())
    if source.endswith(".toml") or (not Path(source).exists() and "://" not in source):
        raise ValueError(f"--from {source}: no such file or folder; name a TOML file, or a run's folder or URI")
    return with_settings(run_config(store), settings)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values; a section within a list or below a name is one value."""
    known = {key.key for key in keys() if not key.entry}
    for name, value in values.items():
        if isinstance(value, dict) and f"{prefix}{name}" not in known:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
