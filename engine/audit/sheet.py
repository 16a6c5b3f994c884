"""The file that people edit: one answer a row, with room for their word in front. CSV for spreadsheets, or JSONL.

Written and read again; what comes back is known by its column `answer` alone, so columns may be moved, hidden or deleted.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from engine.ingest.cells import text_of
from engine.ingest.tables import table_records
from engine.rows import Audited, Review, names_of
from engine.store.filesystems import Storage

WORDS = ("keep", "drop", "unsure")
NEEDED = ("answer", "people")
FORMULA = ("=", "+", "-", "@")
"""How texts begin that a spreadsheet computes; in the file they get an apostrophe in front."""
MOST_NAMED = 5
"""Bad rows whose places an error names."""


def to_csv(rows: Sequence[Audited]) -> bytes:
    """With a byte order mark, by which Excel reads UTF-8; each text in one line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names_of(Audited), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(cells, rows))
    return text.getvalue().encode("utf-8-sig", errors="replace")


def to_jsonl(rows: Sequence[Audited]) -> bytes:
    return "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows).encode(errors="replace")


def cells(row: Audited) -> dict[str, Any]:
    """The row as a spreadsheet may read it, by column."""
    return {name: _cell(value) for name, value in asdict(row).items()}


def _cell(value: Any) -> Any:
    """
    >>> _cell('=HYPERLINK("x")\\nnext'), _cell("-3.5"), _cell(None)
    ('\\'=HYPERLINK("x") next', '-3.5', None)
    """
    if not isinstance(value, str):
        return value
    line = " ".join(value.split())
    return f"'{line}" if line.startswith(FORMULA) and not _is_number(line) else line


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read(path: str, storage: Storage, known: Mapping[str, Audited]) -> list[Review]:
    """What people say in a file that came back; rows without a word are left out. `known`: the rows that were drawn, by `answer`.

    Raises ValueError, with the place of each bad row, and then nothing of the file counts.
    """
    reviews, errors = dict[str, Review](), list[str]()
    for place, row in table_records(path, storage, needed=NEEDED):
        if not isinstance(row, ValueError) and (missing := [name for name in NEEDED if name not in row]):
            raise ValueError(f"{place}: no column {missing[0]!r}; hand back the file that `starloop audit` wrote")
        try:
            if isinstance(row, ValueError):
                raise row
            review = _review(place, row, known)
            if review and (other := reviews.setdefault(review.answer, review)).people != review.people:
                raise ValueError(f"{place}: this answer has people = {other.people!r} in another row; decide for one of them")
        except ValueError as error:
            errors.append(str(error))
    if errors:
        more = f"; {len(errors) - 1} more rows are bad: {_places(errors[1:])}" if errors[1:] else ""
        raise ValueError(f"{errors[0]}{more}; nothing of the file was taken over")
    return list(reviews.values())


def answers_in(path: str, storage: Storage) -> set[str]:
    """The answers about which a file has a word, as it names them. What is wrong with the file, `read` says."""
    rows = (row for _, row in table_records(path, storage, needed=NEEDED) if not isinstance(row, ValueError))
    texts = ([str(row.get(name) or "").strip() for name in NEEDED] for row in rows)
    return {answer for answer, word in texts if answer and word}


def _places(errors: Sequence[str]) -> str:
    places = [error.partition(":")[0] for error in errors[:MOST_NAMED]]
    return ", ".join(places) + (" ..." if len(errors) > MOST_NAMED else "")


def _review(place: str, row: Mapping[str, Any], known: Mapping[str, Audited]) -> Review | None:
    """None for a row without a word. Raises ValueError for one that cannot be understood."""
    try:
        word, answer, note = text_of(row["people"]).lower(), text_of(row["answer"]), text_of(row.get("note"))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    if not word:
        return None
    if word not in WORDS:
        raise ValueError(f"{place}: people = {word[:40]!r}; write keep, drop or unsure, or leave it empty")
    if answer not in known:
        raise ValueError(f"{place}: answer = {answer[:40]!r} is of no sample of this run; is the file another run's?")
    return Review(answer=answer, clip_id=known[answer].clip_id, people=word, note=note)
