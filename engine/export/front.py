"""The block of YAML at the top of a card, as hubs read it, and Markdown around it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from huggingface_hub.repocard_data import CardData

SIZES = (
    "n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B", "10B<n<100B", "100B<n<1T",
)  # fmt: skip
LICENSE_UNKNOWN = "unknown"


def card(data: CardData, body: Iterable[str]) -> bytes:
    """The file README.md: the same bytes for the same values."""
    return "\n".join(["---", data.to_yaml(), "---", "", *body, ""]).encode()


def size_category(rows: int) -> str:
    """
    >>> size_category(299), size_category(1000), size_category(20_000_000_000)
    ('n<1K', '1K<n<10K', '10B<n<100B')
    """
    digits = len(str(rows))
    return SIZES[max(0, digits - 3)] if digits - 3 < len(SIZES) else "n>1T"


def split_name(split: str) -> str:
    """A split as `datasets` spells it, whose names are words.

    >>> split_name("held-out")
    'held_out'
    """
    return split.replace("-", "_")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """
    >>> table(["split", "rows"], [["train", 299]])
    ['| split | rows |', '|---|---|', '| train | 299 |']
    """
    lines = [[str(cell) for cell in row] for row in rows]
    return [_line(header), "|" + "---|" * len(header), *map(_line, lines)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"


def counted(counts: Mapping[str, int]) -> str:
    """
    >>> counted({"missing": 2, "denied": 0}), counted({})
    ('missing 2', 'none')
    """
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "none"
