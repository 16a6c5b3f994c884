"""Pins `starloop verify`: for each case a line with its verdict on standard output, and nothing else there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.verify.tools import ToolSpec
from jobs.verify import published_tools, spec_of, verify_cases

CASE = {"text": "He dives.", "question": "What?", "label": {"kind": "keywords", "text": "diving"}, "hint": False, "id": 7}


def run(tmp_path: Path, capsys: Any, *lines: str | dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    cases = tmp_path / "cases.jsonl"
    cases.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    spec = spec_of(options.pop("preset", "strict"))
    verify_cases(cases, spec, **{"explain": False, "skip_bad": False} | options)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_written_with_its_verdict(tmp_path: Path, capsys: Any) -> None:
    rows = run(tmp_path, capsys, CASE, CASE | {"text": "Il ne plonge pas. 不跳水 \ud800"})
    assert rows[0] == CASE | {"keep": True, "reason": "contains_label", "score": 1.0, "extracted": "dives"}
    assert [row["keep"] for row in rows] == [True, False]


def test_explain_adds_the_matched_spans(tmp_path: Path, capsys: Any) -> None:
    (row,) = run(tmp_path, capsys, CASE, explain=True)
    assert row["places"] == [{"start": 3, "end": 8, "text": "dives"}]
    assert (row["preset"], row["similarity"]) == ("strict", "ROUGE-L")


def test_a_case_names_its_own_language(tmp_path: Path, capsys: Any) -> None:
    german = CASE | {"text": "Der Mann spielt Gitarre.", "label": {"kind": "keywords", "text": "Gitarre spielen"}}
    assert [row["keep"] for row in run(tmp_path, capsys, german, german | {"language": "de"})] == [False, True]
    with pytest.raises(ValueError, match="line 1"):
        run(tmp_path, capsys, german | {"language": "deutsch"})


def test_a_file_without_cases_is_no_silence(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "cases.jsonl").write_text("\n")
    verify_cases(tmp_path / "cases.jsonl", spec_of(), explain=False, skip_bad=False)
    assert capsys.readouterr().err == f"{tmp_path}/cases.jsonl has no cases; write one JSON object a line\n"


def test_what_was_judged_may_be_judged_again(tmp_path: Path, capsys: Any) -> None:
    (row,) = run(tmp_path, capsys, CASE, explain=True)
    assert run(tmp_path, capsys, row, explain=True) == [row]


def test_models_of_the_published_rules_are_refused_elsewhere() -> None:
    with pytest.raises(ValueError, match="are of the published rules; add --preset paper"):
        spec_of("strict", published=published_tools("a-model", "", "own"))
    with pytest.raises(ValueError, match="--stop-words nltk is no list of stop words; choose own or spacy"):
        published_tools("", "", "nltk")
    assert spec_of("paper", published=published_tools("", "", "own")).tools == ToolSpec()


def test_presets(tmp_path: Path, capsys: Any) -> None:
    driving = CASE | {"text": "He is driving."}
    assert [run(tmp_path, capsys, driving, preset=preset)[0]["keep"] for preset in ("strict", "paper", "code")] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "x", ', "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"text": "x"}', 'no "label"'),
        ('{"label": {"kind": "keywords", "text": "x"}}', "no 'text'"),
        ('{"text": 5, "label": {"kind": "keywords", "text": "x"}}', "text 5 is not a text"),
        ('{"text": "x", "hint": 1, "label": {"kind": "keywords", "text": "x"}}', "hint 1 is neither true nor false"),
        ('{"text": "x", "label": {"kind": "number", "value": NaN}}', "finite number"),
        ('{"text": "x", "label": {"kind": "time_range", "start_s": 5, "end_s": 2, "duration_s": 9}}', "swap them"),
        ("[" * 100_000, "nested too deeply"),
        ('{"txt": "x", "label": "y"}', "no key 'txt'; did you mean 'text'\\?"),
        ('{"text": "x", "label": "y", "Question": "z"}', "no key 'Question'; did you mean 'question'\\?"),
        (
            '{"text": "x", "label": "y", "clip": 7}',
            "no key 'clip'; known: text, question, label, hint, finished, language, and id and why, which may",
        ),
    ],
)
def test_a_bad_line_is_named_or_left_out_and_counted(tmp_path: Path, capsys: Any, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        run(tmp_path, capsys, CASE, line)
    assert str(error.value).startswith(f"{tmp_path}/cases.jsonl line 2: ")
    assert "\n" not in str(error.value)
    capsys.readouterr()
    assert len(run(tmp_path, capsys, CASE, line, CASE, skip_bad=True)) == 2


@pytest.mark.waits
def test_the_command_writes_jsonl_and_nothing_else() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "jobs", "verify", "-", "--skip-bad"],
        input=json.dumps(CASE) + "\nbroken\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [json.loads(line)["keep"] for line in process.stdout.splitlines()] == [True]
    assert process.stderr == "1 bad lines left out\n"
