"""The configuration reference: every key of engine/config.py with its default, its type and its meaning, as TOML or as a page.

All of it is read from the classes themselves, so that no default can be wrong. `starloop config` prints it.
"""

import difflib
import inspect
import json
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from engine.config import RunConfig
from engine.section import Section

WIDTH = 110
WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", types.NoneType: "not set", Any: "any value"}
OPTIONAL = ", or not set"
BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
ENTRY = {
    "prompts": "[prompts.NAME]",
    "evaluate.sets": "[[evaluate.sets]]",
    "evaluate.judge.wordings": "[evaluate.judge.wordings.NAME]",
}
"""Keys that hold sections of their own, which a file writes as often as it likes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Key(key="train.lr", type="number > 0", default=2e-05, meaning="", decides=True, entry="")"""

    key: str
    type: str
    default: Any
    """As JSON; null where there is none: the key is left out then."""
    meaning: str
    """One line; "": the name says it."""
    decides: bool
    """Whether it decides results, and so cannot change within a run."""
    entry: str
    """The header of the section that it belongs to, where a file may have several of the kind; "": a key of its own."""

    @property
    def section(self) -> str:
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        return self.key.rpartition(".")[2]


def keys() -> list[Key]:
    """All of them, section by section, a section's own before those of the sections within it."""
    return list(_keys(RunConfig, RunConfig().model_dump(mode="json"), "", ""))


def _keys(section: type[Section], defaults: Mapping[str, Any], prefix: str, entry: str) -> Iterator[Key]:
    nested: list[tuple[str, type[Section], Any, str]] = []
    for name, field in section.model_fields.items():
        key, extra = f"{prefix}{name}", field.json_schema_extra
        inner = _section_in(field.annotation)
        if inner is not None and inspect.isclass(field.annotation):
            nested.append((f"{key}.", inner, defaults[name], entry))
            continue
        if inner is not None:
            sample = {
                own: None if of.is_required() else of.get_default(call_default_factory=True)
                for own, of in inner.model_fields.items()
            }
            nested.append((f"{key}.", inner, sample, ENTRY[key]))
        yield Key(
            key=key,
            type=_with_bounds(field),
            default=_plain(defaults[name]),
            meaning=" ".join((field.description or "").split()),
            decides=not (isinstance(extra, dict) and extra.get("identity") is False),
            entry=entry,
        )
    for path, inner, values, header in nested:
        yield from _keys(inner, values, path, header)


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return json.loads(json.dumps(value, default=lambda section: section.model_dump(mode="json")))


def _section_in(annotation: Any) -> type[Section] | None:
    if inspect.isclass(annotation) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)


def _with_bounds(field: FieldInfo) -> str:
    words, optional, _ = type_in_words(field.annotation).partition(OPTIONAL)
    return f"{words}{_bounds(field.metadata)}{optional}"


def _bounds(metadata: Sequence[Any]) -> str:
    """
    >>> from annotated_types import Ge, Le, MinLen
    >>> _bounds([Ge(0), Le(1)]), _bounds([MinLen(1)]), _bounds([])
    (' >= 0 and <= 1', ', not empty', '')
    """
    limits = [
        f"{sign} {value:g}"
        for part in metadata
        for name, sign in BOUNDS.items()
        if (value := getattr(part, name, None)) is not None
    ]
    return (f" {' and '.join(limits)}" if limits else "") + (
        ", not empty" if any(hasattr(part, "min_length") for part in metadata) else ""
    )


def type_in_words(annotation: Any) -> str:
    """
    >>> type_in_words(int | None), type_in_words(Literal["lora", "full"]), type_in_words(tuple[str, ...])
    ('whole number, or not set', '"lora" or "full"', 'list of texts')
    >>> type_in_words(tuple[int, int, int]), type_in_words(dict[str, Any])
    ('[whole number, whole number, whole number]', 'table')
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_in_words(parts[0]) + _bounds([part for own in parts[1:] for part in getattr(own, "metadata", [own])])
    if origin is Literal:
        return " or ".join(json.dumps(part) for part in parts)
    if origin in (Union, types.UnionType):
        named = [type_in_words(part) for part in parts if part is not types.NoneType]
        return " or ".join(named) + (OPTIONAL if types.NoneType in parts else "")
    if origin is tuple and parts[-1] is ...:
        return f"list of {(_section_in(parts[0]) and 'sections') or f'{type_in_words(parts[0])}s'}"
    if origin is tuple:
        return f"[{', '.join(map(type_in_words, parts))}]"
    return "table" if origin is dict or annotation is dict else WORDS.get(annotation, "text")


def chosen(all_keys: Sequence[Key], name: str) -> list[Key]:
    """The key of that name, or the keys of that section and of those within it. Raises ValueError where there is neither.

    >>> [key.key for key in chosen(keys(), "loop.patience")], len(chosen(keys(), "loop"))
    (['loop.patience'], 5)
    """
    own = [key for key in all_keys if key.key == name or key.key.startswith(f"{name}.")]
    if not own and name:
        known = list(dict.fromkeys([*(key.section for key in all_keys if key.section), *(key.key for key in all_keys)]))
        by_name = [key.key for key in all_keys if key.name == name]
        near = by_name or difflib.get_close_matches(name, known, n=3)
        raise ValueError(
            f"the configuration has no key or section {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else "")
        )
    return own or list(all_keys)


def to_toml(some_keys: Sequence[Key], values: Mapping[str, Any] | None = None) -> str:
    """Keys as TOML: commented out with their defaults, or with `values` (key -> value) those values, and nothing commented out."""
    lines: list[str] = []
    for (section, entry), group in groupby(some_keys, key=lambda key: (key.section, key.entry)):
        own = list(group)
        if values is not None:
            own = [key for key in own if values.get(key.key) is not None and not entry]
        if own and section:
            lines += ["", f"#{entry}" if entry else f"[{section}]"]
        for key in own:
            lines += _commented(key) if values is None else [f"{key.name} = {toml_value(values[key.key])}"]
    return "\n".join(lines).strip() + "\n"


def _commented(key: Key) -> list[str]:
    """What a key means, and the key with its default; a key that holds sections of their own is followed by one of these."""
    notes = "; ".join([key.type, *([] if key.decides else ["may change within a run"])])
    comments = ["", *(f"# {line}" for line in [*textwrap.wrap(key.meaning, WIDTH), notes])]
    if key.key in ENTRY:
        return comments
    return [*comments, f"#{key.name} = {'' if key.default is None else toml_value(key.default)}".rstrip()]


def toml_value(value: Any) -> str:
    """
    >>> toml_value({"a b": [1, 2.5e-5, True, "x"]}), toml_value({})
    ('{"a b" = [1, 2.5e-05, true, "x"]}', '{}')
    """
    if isinstance(value, dict):
        pairs = (
            f"{name if name.replace('_', '').isalnum() else json.dumps(name)} = {toml_value(own)}" for name, own in value.items()
        )
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False)


def to_markdown(some_keys: Sequence[Key]) -> str:
    """Keys as a page of tables, a section each."""
    lines: list[str] = []
    for section, group in groupby(some_keys, key=lambda key: (key.section, key.entry)):
        title = section[1] or (f"[{section[0]}]" if section[0] else "Without a section")
        lines += ["", f"## {title}", "", "| key | default | type | meaning |", "|---|---|---|---|"]
        for key in group:
            default = "" if key.default is None else f"`{toml_value(key.default)}`"
            cells = (f"`{key.name}`{'' if key.decides else ' *'}", default, key.type, key.meaning)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines).strip() + "\n"
