"""Try a label rule without a GPU: a case a line in, the same line with its verdict out."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from engine import labels
from engine.language import similarity
from engine.verify.verdict import VerifySpec, verify

KNOWN = ("text", "question", "label", "hint", "finished")


def verify_cases(cases: Path, preset: str, explain: bool, skip_bad: bool, sentence_model: str) -> None:
    """`cases`: JSONL, "-" for standard input. Raises ValueError naming the line and the remedy."""
    if preset not in ("strict", "paper", "code"):
        raise ValueError(f"--preset {preset}: one of strict, paper, code")
    spec = VerifySpec(preset=cast(Literal["strict", "paper", "code"], preset), sentence_model=sentence_model)
    similarity.of(sentence_model)
    bad = 0
    try:
        with _opened(cases) as file:
            for place, line in _lines(cases, file):
                try:
                    out = _judged(line, spec, explain)
                except ValueError as error:
                    if not skip_bad:
                        raise ValueError(f"{place}: {error}; --skip-bad leaves such lines out and counts them") from None
                    bad += 1
                    continue
                print(out)
            sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            raise ValueError(f"the verdicts cannot be written: {error.strerror}") from None
        # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if bad:
        print(f"{bad} bad lines left out", file=sys.stderr)


def _opened(cases: Path) -> BinaryIO:
    if str(cases) == "-":
        return sys.stdin.buffer
    try:
        return cases.open("rb")
    except OSError as error:
        raise ValueError(f"{cases} cannot be read: {error.strerror}") from None


def _lines(cases: Path, file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            yield f"{cases} line {number}", line.removeprefix(b"\xef\xbb\xbf")


def _judged(line: bytes, spec: VerifySpec, explain: bool) -> str:
    try:
        case = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno}); one object a line") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text; save it as UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply to be read") from None
    if not isinstance(case, dict):
        raise ValueError('not a JSON object; write {"text": ..., "label": ...}')
    text, question = _text(case, "text"), _text(case, "question", "")
    hint, finished = _flag(case, "hint", False), _flag(case, "finished", True)
    if "label" not in case:
        raise ValueError('no "label"; write e.g. {"kind": "keywords", "text": "diving"}')
    label = labels.parse(case["label"])
    verdict = verify(text, question, label, "rationalized" if hint else "direct", finished, spec)
    case |= {"keep": verdict.keep, "reason": verdict.reason, "score": round(verdict.score, 6), "extracted": verdict.extracted}
    if explain:
        case["found"] = [{"start": start, "end": end, "text": text[start:end]} for start, end in verdict.spans]
        case["preset"], case["similarity"] = spec.preset, similarity.name(spec.sentence_model)
    return _written(case)


def _text(case: dict[str, Any], name: str, default: str | None = None) -> str:
    value = case.get(name, default)
    if value is None and name in case and default is not None:
        return default
    if not isinstance(value, str):
        raise ValueError(f"no {name!r} text" if name not in case else f"{name} {value!r} is not a text; write it as one")
    return value


def _flag(case: dict[str, Any], name: str, default: bool) -> bool:
    value = case.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{name} {value!r} is neither true nor false")
    return value


def _written(case: dict[str, Any]) -> str:
    text = json.dumps(case, ensure_ascii=False)
    return text if not any("\ud800" <= letter <= "\udfff" for letter in text) else json.dumps(case)
