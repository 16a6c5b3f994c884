"""Rows that were left out, and clips whose videos are missing: counted, with the first of them."""

from dataclasses import dataclass, field

SHOWN = 10


@dataclass
class Skipped:
    """Counts what was left out, and keeps the first SHOWN examples."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, example: ValueError | str) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(str(example).encode(errors="backslashreplace").decode())  # names of files are bytes
