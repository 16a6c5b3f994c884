"""Rows that were left out, and clips whose videos are missing: counted, with the first of them."""

from dataclasses import dataclass, field

SHOWN = 10
OR_LEAVE_OUT = ", or leave the row out (`starloop ingest --skip-bad`)"
"""The remedy of a bad row that goes with each other one."""


@dataclass
class Skipped:
    """Counts what was left out, and keeps the first SHOWN examples."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, example: ValueError | str) -> None:
        """Without the remedy --skip-bad: the row is left out."""
        self.count += 1
        if len(self.first) < SHOWN:
            text = str(example).replace(OR_LEAVE_OUT, "")
            self.first.append(text.encode(errors="backslashreplace").decode())  # names of files are bytes
