"""Verify answers without a GPU: reads one JSON case a line, writes the same line with its verdict."""

import difflib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from engine import labels
from engine.language import parse, similarity
from engine.language.words import ENGLISH, refuse_unknown_language
from engine.verify import tools
from engine.verify.tools import ToolSpec
from engine.verify.verdict import VerifySpec, verify

CASE_KEYS = ("text", "question", "label", "hint", "finished", "language")
"""What a case is judged by."""
CARRIED_KEYS = ("id", "why", "keep", "reason", "score", "extracted", "places", "preset", "similarity", "parser")
"""id and why (a remark) may hold anything. The others are what this command adds: its output may be judged again by other rules."""

NO_TOOLS = ToolSpec()


def published_tools(span_model: str, entailment_model: str, stop_words: str) -> ToolSpec:
    """Raises ValueError for stop words that do not exist."""
    if stop_words not in ("own", "spacy"):
        raise ValueError(f"--stop-words {stop_words} is no list of stop words; choose own or spacy")
    known = cast(Literal["own", "spacy"], stop_words)
    return ToolSpec(span_model=span_model, entailment_model=entailment_model, stop_words=known)


def spec_of(
    preset: str = "strict", sentence_model: str = "", parser: str = "", language: str = ENGLISH, published: ToolSpec = NO_TOOLS
) -> VerifySpec:
    """`published`: what only the published rules use.

    Raises ValueError for a preset or a language that does not exist, and for a model that cannot be loaded or that the preset does
    not use.
    """
    if preset not in ("strict", "paper", "code"):
        raise ValueError(f"--preset {preset} is not a preset; choose strict, paper or code")
    if preset == "strict" and published != NO_TOOLS:
        raise ValueError(
            "--span-model, --entailment-model and --stop-words are of the published rules; add --preset paper or --preset code"
        )
    similarity.of(sentence_model)
    parse.of(parser)
    refuse_unknown_language(language)
    spec = VerifySpec(
        preset=cast(Literal["strict", "paper", "code"], preset),
        sentence_model=sentence_model,
        parser=parser,
        language=language,
        span_model=published.span_model,
        entailment_model=published.entailment_model,
        stop_words=published.stop_words,
    )
    if preset != "strict":
        tools.of(spec.tools)
    return spec


def verify_cases(cases: Path, spec: VerifySpec, explain: bool, skip_bad: bool) -> None:
    """`cases`: JSONL, "-" for standard input. Raises ValueError naming the line and the remedy."""
    num_cases = bad_lines = 0
    try:
        with _open(cases) as file:
            for num_cases, (place, line) in enumerate(_lines(cases, file), 1):  # noqa: B007  # read after the loop
                try:
                    verified_line = _verified_line(line, spec, explain)
                except ValueError as error:
                    if not skip_bad:
                        raise ValueError(f"{place}: {error}; --skip-bad leaves such lines out and counts them") from None
                    bad_lines += 1
                    continue
                print(verified_line)
            sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            raise ValueError(f"the verdicts cannot be written: {error.strerror}") from None
        # the reader of the pipe, head for instance, has closed it: end quietly, and let Python flush its buffer into nothing
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not num_cases:
        print(f"{cases} has no cases; write one JSON object a line", file=sys.stderr)
    if bad_lines:
        print(f"{bad_lines} bad lines left out", file=sys.stderr)


def _open(cases: Path) -> BinaryIO:
    if str(cases) == "-":
        return sys.stdin.buffer
    try:
        return cases.open("rb")
    except OSError as error:
        raise ValueError(f"{cases} cannot be read: {error.strerror}") from None


def _lines(cases: Path, file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """The lines that are not blank, each with its place for messages."""
    name = "standard input" if str(cases) == "-" else cases
    for number, line in enumerate(file, 1):
        if line.strip():
            yield f"{name} line {number}", line.removeprefix(b"\xef\xbb\xbf")


def _verified_line(line: bytes, spec: VerifySpec, explain: bool) -> str:
    """The case with its verdict, as JSON. Raises ValueError for a line that is no case."""
    case = _parse_case(line)
    _refuse_unknown_keys(case)
    text, question = _text_field(case, "text"), _text_field(case, "question", "")
    hint, finished = _flag_field(case, "hint", False), _flag_field(case, "finished", True)
    if "label" not in case:
        raise ValueError('no "label"; write e.g. {"kind": "keywords", "text": "diving"}')
    label = labels.parse(case["label"])
    if language := _text_field(case, "language", ""):
        refuse_unknown_language(language)
        spec = replace(spec, language=language)
    verdict = verify(text, question, label, "rationalized" if hint else "direct", finished, spec)
    case |= {"keep": verdict.keep, "reason": verdict.reason, "score": round(verdict.score, 6), "extracted": verdict.extracted}
    if explain:
        case["places"] = [{"start": start, "end": end, "text": text[start:end]} for start, end in verdict.spans]
        case["preset"], case["similarity"] = spec.preset, similarity.name(spec.sentence_model)
        case["parser"] = parse.name(spec.parser)
    return _as_json(case)


def _parse_case(line: bytes) -> dict[str, Any]:
    try:
        case = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno}); write one object a line") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text; save it as UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply to be read") from None
    if not isinstance(case, dict):
        raise ValueError('not a JSON object; write {"text": ..., "label": ...}')
    return case


def _refuse_unknown_keys(case: dict[str, Any]) -> None:
    """A misspelt key would be judged by its default, without a word."""
    for key in case:
        if key not in (*CASE_KEYS, *CARRIED_KEYS):
            close = difflib.get_close_matches(key, CASE_KEYS, n=1)
            known = (
                f"did you mean {close[0]!r}?"
                if close
                else f"known: {', '.join(CASE_KEYS)}, and id and why, which may hold anything"
            )
            raise ValueError(f"no key {key!r}; {known}")


def _text_field(case: dict[str, Any], name: str, default: str | None = None) -> str:
    """The field's text; the default if the field is missing or null, ValueError if it has no default."""
    value = case.get(name, default)
    if value is None and name in case and default is not None:
        return default
    if not isinstance(value, str):
        raise ValueError(f"{name} {value!r} is not a text; write it as one" if name in case else f"no {name!r}; write it as a text")
    return value


def _flag_field(case: dict[str, Any], name: str, default: bool) -> bool:
    value = case.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{name} {value!r} is neither true nor false")
    return value


def _as_json(case: dict[str, Any]) -> str:
    """Readable Unicode; escaped if the case holds surrogates, which cannot be written as UTF-8."""
    text = json.dumps(case, ensure_ascii=False)
    return text if not any("\ud800" <= character <= "\udfff" for character in text) else json.dumps(case)
