"""Rows of CSV and TSV text, as a stream. A quote that is not closed in its line may swallow the rows after it: that is an error."""

import csv
import re
from collections.abc import Collection, Iterator
from typing import TextIO

Cells = list[str]
CELL_CHARACTERS = 1 << 24
"""Maximum length of a cell; a longer one is a quote that is never closed. The default of Python's csv is 128 KB."""
DELIMITERS = (",", "\t", ";", "|")
NAMED_DELIMITER = re.compile(r"sep=[,;|\t]", re.IGNORECASE)
"""A first line with which Excel names the delimiter."""
BREAK = re.compile(r"\r\n?|\n")


def csv_records(
    path: str, text: TextIO, delimiter: str, needed: Collection[str] = ()
) -> Iterator[tuple[str, dict[str, str] | ValueError]]:
    """Each row with the line on which it begins; or, for a bad one, its error. Raises ValueError where lines may be lost.

    `delimiter`: the one that the file's name says. If it does not fit, and a single other one does, that one is taken. It fits if
    the header then has the columns in `needed`, and at least two.
    """
    csv.field_size_limit(CELL_CHARACTERS)  # of the process: csv has no other way to set it
    is_tsv, delimiter = delimiter == "\t", _fitting(path, text, delimiter, needed)
    text.seek(0)
    columns: Cells = []
    for line, cells in _rows(path, text, delimiter):
        place = f"{path} line {line}"
        if columns:
            if not isinstance(cells, ValueError):
                _refuse_swallowed(place, cells, len(columns), delimiter, is_tsv and delimiter == "\t")
            yield place, cells if isinstance(cells, ValueError) else _row(place, columns, cells)
        else:
            columns = _header(path, place, cells, needed)
    if not columns:
        raise ValueError(f"{path} is empty: it has no column {next(iter(needed), 'video')!r}, nor any other")


def _fitting(path: str, text: TextIO, delimiter: str, needed: Collection[str]) -> str:
    fitting = []
    for candidate in (delimiter, *(other for other in DELIMITERS if other != delimiter)):
        text.seek(0)
        try:
            header = next((cells for _, cells in _rows(path, text, candidate)), [])
        except ValueError:
            continue
        if not isinstance(header, ValueError) and len(header) > 1 and set(needed) <= set(header):
            fitting.append(candidate)
    return fitting[0] if len(fitting) == 1 else delimiter


def _header(path: str, place: str, cells: Cells | ValueError, needed: Collection[str]) -> Cells:
    """The names of the columns, "" for a column without a name. Raises ValueError for a name that stands twice."""
    if isinstance(cells, ValueError):
        raise cells
    if any("\0" in cell for cell in cells):
        raise ValueError(f"{path} is not UTF-8 text: it holds NULs; save it as UTF-8")
    if cells[0].lstrip().startswith("#") and (len(cells) == 1 or not set(needed) <= set(cells)):
        raise ValueError(f"{place} begins with {cells[0][:40]!r}, which is no header; delete lines of comments")
    if twice := [name for name in cells if name and cells.count(name) > 1]:
        raise ValueError(f"{path} has two columns {twice[0]!r}; rename one")
    return cells


def _row(place: str, columns: Cells, cells: Cells) -> dict[str, str] | ValueError:
    """Leaves out empty cells after the last column, which spreadsheets write, and pandas' index: a first column without name."""
    if len(cells) == len(columns) and "" not in columns:
        return dict(zip(columns, cells, strict=True))
    if any(cells[len(columns) :]) or any(cell for name, cell in zip(columns[1:], cells[1:], strict=False) if not name):
        return ValueError(f"{place} has more cells than the header; quote cells that hold the delimiter")
    if len(cells) < len(columns):
        return ValueError(f"{place} has fewer cells than the header; is the file cut off there?")
    return {name: cell for name, cell in zip(columns, cells, strict=False) if name}


def _refuse_swallowed(place: str, cells: Cells, width: int, delimiter: str, is_tsv: bool) -> None:
    """Raises ValueError for a cell of several lines that may be rows: they have as many cells as the header. In TSV any may be.

    Of the last line only what stands before the quote is in the cell, so it has as many delimiters as there are cells before.
    """
    for number, cell in enumerate(cells):
        _, *middle, last = BREAK.split(cell) if "\n" in cell or "\r" in cell else ("", "")
        if is_tsv and "\n" in cell:
            why = "TSV has none"
        elif row := next((line for line in middle if _is_as_wide(line.split(delimiter), width)), ""):
            why = f"{row[:60]!r} in it may be a row"
        elif number and last.count(delimiter) == number:
            why = f"{last[:60]!r} at its end may be a row"
        else:
            continue
        raise ValueError(
            f"{place}: cell {number + 1} goes over {len(BREAK.findall(cell)) + 1} lines, and {why}; is a quote not closed? Write "
            'the cell in one line, and a quote that is text as """"'
        )


def _is_as_wide(cells: Cells, width: int) -> bool:
    return len(cells) >= width and not any(cells[width:])


class _Lines:
    """The lines of a text, and the last one that was read."""

    def __init__(self, text: TextIO) -> None:
        self._text, self.last = text, ""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        self.last = next(self._text)
        return self.last


def _rows(path: str, text: TextIO, delimiter: str) -> Iterator[tuple[int, Cells | ValueError]]:
    """The line on which each row begins, and its cells. Blank lines are left out.

    Raises ValueError for a quote that is never closed, or not before a later line: what it swallowed may be rows.
    """
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line, cells = reader.line_num + 1, Cells()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if reader.line_num > line or "expected after" not in str(error):
                raise ValueError(
                    f"{path} line {line}: a quote opens a cell and is not closed; close it, or put the cell in quotes and double "
                    'each quote in it: """so"" he said"'
                ) from None
            yield line, _unquoted(f"{path} line {line}", lines.last.rstrip("\r\n"), delimiter)
            continue
        if cells and not (line == 1 and NAMED_DELIMITER.fullmatch(delimiter.join(cells))):
            yield line, cells


def _unquoted(place: str, line: str, delimiter: str) -> Cells | ValueError:
    """The cells of a line in which text follows a closing quote, as in `a.mp4,"open" the door`: there the quotes are text.

    An error where such a cell also ends with a quote, because its outer quotes may be none of its text.
    """
    cells = Cells()
    for cell in line.split(delimiter):
        if len(cell) > 1 and cell[0] == cell[-1] == '"':
            if '"' in cell[1:-1].replace('""', ""):
                return ValueError(f'{place}: {cell[:60]} has quotes within quotes; double them: """so"" he said"')
            cell = cell[1:-1].replace('""', '"')
        cells.append(cell)
    return cells
