"""Benchmarks as files in their published shape, what is read of them, and the rules of their published scorers."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.config import EvaluationSet
from engine.evaluate.sets import read_set
from engine.labels import Choice
from engine.rows import Clip
from engine.store.filesystems import Storage

LETTER = "Answer with the option's letter from the given choices directly."


def write(folder: Path, files: Mapping[str, Any]) -> Path:
    """The files by their names below the folder: a text as it is, None for an empty file, anything else as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else "" if content is None else json.dumps(content))
    return folder


def clips_of(form: str, files: Path, videos: Path | str = "") -> list[Clip]:
    return list(read_set(EvaluationSet(name="set", format=form, files=str(files), videos=str(videos)), "", Storage()))


def error_of(form: str, files: Path, videos: Path | str = "") -> str:
    with pytest.raises(ValueError, match="This format reads: ") as error:
        clips_of(form, files, videos)
    assert "\n" not in str(error.value)
    return str(error.value)


def scored(scorer: str, label: Choice, answer: str) -> bool:
    """Whether a published scorer counts the answer as right, without its call of a judge."""
    key, text = label.option, label.options[label.option]
    match scorer:
        case "mvbench":  # PLLaVA, tasks/eval/mvbench check_ans
            first, right = answer.lower().split(" ")[0], f"({key.lower()})"
            return re.search("[a-g]", first) is not None and (first.replace(".", "") in right or right in first)
        case "lmms-eval":  # lmms_eval/tasks/mvbench mcq_acc: "B. text", or the first letter that is a word
            letter = re.match(r"([A-E])\.\s*.", answer) or re.search(r"\b([A-E])\b", answer, re.IGNORECASE)
            return letter is not None and letter[1].upper() == key
        case "videomme":  # eval_your_results.py and lmms-eval, extract_characters_regex
            bare = re.sub("The (best|correct)? ?answer( is)?", "", answer)
            return (letter := re.search("[ABCD]", bare)) is not None and letter[0] == key
        case "tempcompass" if key == "yes":  # eval_yes_no.py
            return answer.lower().startswith("yes")
        case "tempcompass" if "dunking" in text:  # eval_caption_matching.py
            return answer.removesuffix(".") == f"Caption {key}" or answer in (text, f"Caption {key}: {text}")
        case "tempcompass":  # eval_multi-choice.py
            return answer in (key, f"{key}. {text}") or answer[:2] in (f"{key}.", f"{key})")
    return answer == key  # lmms_eval/tasks/perceptiontest
