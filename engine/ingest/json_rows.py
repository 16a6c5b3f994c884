"""Rows of JSON and JSONL text, as a stream. What is NaN, which Python and pandas write although JSON has none, is null."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TextIO

import ijson

CHUNK = 1 << 16
HEAD = 1 << 20
"""Characters that are looked at to tell the shape of a file."""
LINE = 1 << 24
"""Maximum length of a row on one line, for telling it from a document on one line."""
Shape = Literal["array", "object", "lines"]
ROWS_REMEDY = 'write an array of objects, or one object a line (in pandas: orient="records")'


def shape_of(text: TextIO, keys: tuple[str, ...] = ()) -> Shape:
    """How a JSON file holds its rows: as an array; as one object with rows inside it; or as an object a line.

    `keys`: what a row has, where a file may also be one object with rows inside it; a line without any of these is such an object.
    Reads the text's head, and goes back to its start.
    """
    head = text.read(HEAD).lstrip()
    if keys and "\n" not in head:
        head += text.readline(LINE)
    text.seek(0)
    if head.startswith("["):
        return "array"
    if not keys:
        return "lines"
    first = _loaded(head.partition("\n")[0])
    return "lines" if isinstance(first, dict) and any(key in first for key in keys) else "object"


def json_lines(path: str, text: TextIO) -> Iterator[tuple[str, Any]]:
    """The value on each line that is not blank, or its error."""
    for number, line in enumerate(text, 1):
        if line.strip():
            yield f"{path} line {number}", _line(f"{path} line {number}", line)


def _line(place: str, line: str) -> Any:
    row = _loaded(line)
    if not isinstance(row, ValueError):
        return row if isinstance(row, dict) else ValueError(f"{place} is not a JSON object")
    if line.strip() in ("{", "["):
        return ValueError(f"{place} is not a whole JSON object: {ROWS_REMEDY}")
    return ValueError(f"{place} {row}")


def _loaded(line: str) -> Any:
    try:
        return json.loads(line, parse_constant=_constant, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        return ValueError(f"is not JSON: {error.msg}")
    except RecursionError:
        return ValueError("is nested too deeply to be read")
    except ValueError as error:
        return ValueError(f"cannot be read: {error}")


def _constant(name: str) -> float | None:
    return None if name == "NaN" else float(name)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} stands twice in one object; rename one")
    return row


class _Once(dict[str, Any]):
    """An object that knows whether a key of it stood twice."""

    twice = ""

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self:
            self.twice = f"{key!r} stands twice in one object; rename one"
        super().__setitem__(key, value)


def json_items(path: str, text: TextIO, prefix: str) -> Iterator[tuple[str, Any]]:
    """The items of an array, one at a time: some files have gigabytes. Raises ValueError for a file that is cut off."""
    is_array = prefix == "item"
    with _complete(path):
        standard = _Standard(text)
        items = ijson.items(standard, prefix, use_float=True, multiple_values=not is_array, map_type=_Once if is_array else dict)
        for number, item in enumerate(items):
            place = f"{path} item {number}"
            twice = item.twice if isinstance(item, _Once) else ""
            yield place, ValueError(f"{place}: {twice}") if twice else standard.restored(item)


def json_pairs(path: str, text: TextIO, prefix: str) -> Iterator[tuple[str, Any]]:
    """The keys and values of an object, one at a time. Raises ValueError for a file that is cut off."""
    with _complete(path):
        standard = _Standard(text)
        for key, value in ijson.kvitems(standard, prefix, use_float=True, multiple_values=True):
            yield standard.restored(key), standard.restored(value)


@contextmanager
def _complete(path: str) -> Iterator[None]:
    try:
        yield
    except ijson.JSONError as error:
        reason = str(error).splitlines()[0]
        if "overflow" in reason:
            raise ValueError(f"{path} holds a number of more than 64 bits ({reason}); write it as a text") from None
        how = "cut off or not JSON" if isinstance(error, ijson.IncompleteJSONError) else "not JSON"
        raise ValueError(f"{path} is {how} ({reason}); get it again") from None


class _Standard:
    """JSON text as ijson reads it: UTF-8 bytes, in which NaN is null and Infinity a text.

    Half a character, which UTF-8 has no bytes for, is marked: it is in one row, and the others can be read.
    """

    _LETTERS = re.compile(r"[-A-Za-z]{1,9}\Z")
    """What may become a constant with the next chunk."""
    _ESCAPE = re.compile(r"\\.", re.DOTALL)
    _HIGH = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")
    _HALVES = re.compile(
        r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
    )
    """Escapes: of a character beyond U+FFFF, in two halves; of one half, which ijson replaces by a question mark; any other."""
    _MARK = "\ufdd0"
    """Stands before the four digits of half a character. Unicode keeps it for a program's own use: no text holds it."""
    _MARKED = re.compile(rf"{_MARK}([0-9a-fA-F]{{4}})")
    _TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|-?\b(?:NaN|Infinity)\b', re.DOTALL)

    def __init__(self, text: TextIO) -> None:
        self._text, self._rest, self._in_string = text, "", False
        self._has_halves = False

    def restored(self, value: Any) -> Any:
        """A value of the text, with the halves of characters that were marked."""
        if not self._has_halves:
            return value
        if isinstance(value, str):
            return self._MARKED.sub(lambda half: chr(int(half[1], 16)), value)
        if isinstance(value, dict):
            return {self.restored(name): self.restored(part) for name, part in value.items()}
        return [self.restored(part) for part in value] if isinstance(value, list) else value

    def read(self, size: int) -> bytes:
        """Some bytes; none at the end only. With a size of 0, which asks for the type, none either."""
        while size:
            chunk = self._text.read(CHUNK)
            ready, self._rest = self._rest + chunk, ""
            if chunk:
                ready, self._rest = self._cut(ready)
            if ready or not chunk:
                return self._replaced(ready).encode()
        return b""

    def _marked(self, escape: "re.Match[str]") -> str:
        if not escape["half"]:
            return escape[0]
        self._has_halves = True
        return f"{self._MARK}{escape[0][2:]}"

    def _cut(self, text: str) -> tuple[str, str]:
        """The text up to a place where no constant and no escape is cut in two, and the rest of it."""
        letters = self._LETTERS.search(text, max(0, len(text) - 9))
        end = letters.start() if letters else len(text)
        escape = text.rfind("\\", max(0, end - 6), end)
        if escape >= 0:
            end = len(text[: escape + 1].rstrip("\\"))
        first = max(0, end - 6)
        if self._HIGH.search(text, first, end) and (first + 1 - len(text[: first + 1].rstrip("\\"))) % 2:
            end = first
        return text[:end], text[end:]

    def _replaced(self, text: str) -> str:
        if "\\ud" in text or "\\uD" in text:
            text = self._HALVES.sub(self._marked, text)
        was_in_string = self._in_string
        plain = self._ESCAPE.sub("", text) if "\\" in text else text
        self._in_string ^= bool(plain.count('"') % 2)
        if "NaN" not in plain and "Infinity" not in plain:
            return text
        return self._TOKEN.sub(_standard, f'"{text}' if was_in_string else text)[was_in_string:]


def _standard(token: "re.Match[str]") -> str:
    if token[0].startswith('"'):
        return token[0]
    return "null" if token[0].endswith("NaN") else f'"{token[0]}"'
