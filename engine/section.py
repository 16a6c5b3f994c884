"""A section of the configuration, and which of its fields are part of a run's identity."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


def cost(default: Any, **constraints: Any) -> Any:
    """A field that decides time, memory or place and no result: it is not part of a run's identity."""
    return Field(default=default, json_schema_extra={"identity": False}, **constraints)


def identity(section: Section) -> dict[str, Any]:
    """The values of all fields that are not declared with `cost`, by name; sections within are dicts of their own."""
    values: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        extra, value = field.json_schema_extra, getattr(section, name)
        if isinstance(value, Section):
            values |= {name: kept} if (kept := identity(value)) else {}
        elif not (isinstance(extra, dict) and extra.get("identity") is False):
            values[name] = section.model_dump(mode="json", include={name})[name]
    return values
