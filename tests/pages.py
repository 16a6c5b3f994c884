"""The pages of the documentation as tests read them: their commands, links and headings."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHELL = ("sh", "bash", "console")
"""Languages of fenced blocks in which each line is a command."""
OTHERS = ("python", "toml", "yaml", "json", "xml", "{toctree}", "{eval-rst}")
"""Languages in which no line is one. In other blocks, and in indented ones, a line is one that begins with a PROGRAM."""
PROGRAMS = ("starloop", "python", "make", "pip", "kubectl", "helm", "docker", "curl", "export", "ray", "sky", "git", "swift")
MARKER = re.compile(r"^\s*<!-- not run: (.+) -->$")
"""Stands before a block, and says why what is no command of ours in it is not run."""
BIN = ".venv/bin/"


@dataclass(frozen=True, kw_only=True)
class Command:
    """Command(page="docs/audit.md", line=8, text="starloop audit RUN --sample 50", reason="")"""

    page: str
    line: int
    text: str
    """One line, without its comment."""
    reason: str
    """Why it is not run, as its block is marked."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"

    @property
    def words(self) -> list[str]:
        """What the last program of a pipe is called with, itself first and without its folder."""
        words = shlex.split(self.text)
        words = words[len(words) - words[::-1].index("|") :] if "|" in words else words
        words = words[next((n for n, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), 0) :]
        return [words[0].removeprefix(BIN), *words[1:]]

    @property
    def standard_input(self) -> str:
        """What `echo` gives to the program behind it."""
        return shlex.split(self.text.partition("|")[0])[1] + "\n" if self.text.startswith("echo ") else ""


def pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(page: Path) -> Iterator[Command]:
    """All commands of a page's blocks."""
    for language, first, lines, reason in _blocks(page.read_text(encoding="utf-8").split("\n")):
        if language in OTHERS:
            continue
        for number, text in _joined(lines):
            bare = _without_comment(text)
            program = bare.split(" ")[0].removeprefix(BIN)
            if bare and (language in SHELL or program in PROGRAMS or program.startswith(".")):
                for part in re.split(r"\s+&&\s+", bare):
                    yield Command(page=name_of(page), line=first + number, text=part, reason=reason)


def _blocks(lines: list[str]) -> Iterator[tuple[str, int, list[str], str]]:
    """Of each block its language, the number of its first line, its lines, and the reason of its marker."""
    number = 0
    while number < len(lines):
        fence = re.match(r"^(\s*)```(\S*)", lines[number])
        before = next((line for line in reversed(lines[max(0, number - 2) : number]) if line.strip()), "")
        marker = MARKER.match(before)
        reason = marker[1] if marker else ""
        if fence:
            end = next((n for n in range(number + 1, len(lines)) if lines[n].strip() == "```"), len(lines))
            yield fence[2], number + 2, [line.removeprefix(fence[1]) for line in lines[number + 1 : end]], reason
            number = end + 1
        elif re.match(r" {4,}\S", lines[number]) and (number == 0 or not lines[number - 1].strip()):
            end = next((n for n in range(number, len(lines)) if not lines[n].startswith("    ")), len(lines))
            yield "", number + 1, [line.strip() for line in lines[number:end]], reason
            number = end
        else:
            number += 1


def _joined(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Lines with those that they continue on, each with the number of the first."""
    held, start = "", 0
    for number, line in enumerate(lines):
        start = start if held else number
        held += line.strip()
        if held.endswith("\\"):
            held = held[:-1]
            continue
        yield start, held
        held = ""


def _without_comment(line: str) -> str:
    """
    >>> _without_comment("make demo    # installs"), _without_comment("# a comment"), _without_comment("a --b='#c'")
    ('make demo', '', "a --b='#c'")
    """
    return re.sub(r"(^|\s+)#(\s.*)?$", "", re.sub(r"\s+#\s.*$", "", line)).strip()


@dataclass(frozen=True)
class Link:
    page: Path
    target: str

    def __str__(self) -> str:
        return f"{name_of(self.page)} -> {self.target}"


def links(page: Path) -> Iterator[Link]:
    """Links and pictures of a page, but those of the web."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
        if not re.match(r"[a-z]+:", target):
            yield Link(page, target)


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub and MyST make them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.M)}


def is_dead(link: Link) -> bool:
    path, _, anchor = link.target.partition("#")
    target = (link.page.parent / path).resolve() if path else link.page
    return not target.exists() or bool(anchor and target.suffix == ".md" and anchor not in anchors(target))
