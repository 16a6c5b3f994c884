"""Pins the library: what `from engine import ...` gives, with which defaults and errors, and that docs/library.md is true."""

import ast
import contextlib
import io
import pickle
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import engine
from command import starloop
from engine import Rows, load_attempts, load_clips, load_examples, load_summary, verify
from engine.labels import Number
from engine.run.collected import note_collected
from engine.run.plan import name_of
from engine.run.seals import SEAL, Seal, write_seal
from engine.run.work import INDEX, OLD_INDEX, pieces_of
from engine.store.files import Store
from kept_runs import a_run, answers_to, clips_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "library.md"


@pytest.fixture
def run(tmp_path: Path) -> str:
    """docs/library.md calls it runs/demo."""
    clips, store = clips_of(6), Store(str(tmp_path / "runs" / "demo"))
    a_run(store, clips, answers_to(clips))
    return store.url()


def test_answers_that_gc_has_deleted_are_refused(run: str) -> None:
    step = name_of(0, "evaluate")
    note_collected(Store(run), step, [pieces_of(step)])
    Store(run).delete(pieces_of(step))
    with pytest.raises(ValueError, match=r"the answers of cycle-000/evaluate in .* were deleted by `starloop gc`"):
        load_attempts(run, split="heldout")
    assert len(list(load_attempts(run))) > 0


@pytest.mark.waits
def test_importing_the_package_imports_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import engine; engine.__version__; "
        "print(*sorted({name for name in set(sys.modules) - before if name.split('.')[0] not in sys.stdlib_module_names})); "
        "engine.verify('It rises.', 'What?', 'rising'); engine.load_attempts; "
        "print(*({'torch', 'ray', 'transformers', 'av', 'huggingface_hub', 'peft'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["engine", ""]


def test_the_command_line_tells_the_version() -> None:
    assert starloop("--version").stdout == f"starloop {engine.__version__}\n"


def test_verify_is_called_whatever_was_imported_before() -> None:
    import engine.verify.verdict as module

    assert module.VerifySpec().preset == "strict"
    assert engine.verify("He dives.", "What does he do?", "diving").outcome == "kept"
    assert engine.verify.verdict is module  # type: ignore[attr-defined]  # it is the package, too


@pytest.mark.parametrize(
    ("text", "label", "options", "expected"),
    [
        ("He dives.", "diving", {}, ("kept", "contains_label", "dives")),
        ("He swims.", "diving", {}, ("rejected", "label_missing", "")),
        ("It is 75.", {"kind": "number", "value": 76.5}, {}, ("kept", "contains_label", "75")),
        ("It is 75.", Number(value=76.5), {}, ("kept", "contains_label", "75")),
        ("As the label says, he dives.", "diving", {"mode": "rationalized"}, ("rejected", "gives_away_hint", "the label says")),
        ("He dives", "diving", {"finished": False}, ("rejected", "cut_off", "He dives")),
        ("He is not diving.", "diving", {"preset": "code"}, ("kept", "contains_label", "diving")),
    ],
)
def test_a_verdict_has_outcome_reason_and_detail(
    text: str, label: object, options: dict[str, object], expected: tuple[str, ...]
) -> None:
    verdict = verify(text, "What does he do?", label, **options)  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.reason, verdict.detail) == expected


@pytest.mark.parametrize(
    ("label", "options", "message"),
    [
        ("", {}, "has no word"),
        ({"kind": "number"}, {}, "label of kind number: value is missing"),
        ("diving", {"preset": "loose"}, "preset 'loose' is not one; choose strict, paper or code"),
        ("diving", {"language": "xx"}, "xx"),
    ],
)
def test_what_is_no_label_or_rule_is_said_in_a_line(label: object, options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        verify("He dives.", "What?", label, **options)  # type: ignore[arg-type]


def test_attempts_are_read_as_often_as_they_are_asked_for(run: str) -> None:
    attempts = load_attempts(run)
    assert Counter((attempt.mode, attempt.outcome) for attempt in attempts) == {
        ("direct", "kept"): 2,
        ("direct", "rejected"): 4,
        ("rationalized", "kept"): 2,
        ("rationalized", "rejected"): 2,
    }
    assert [attempt.clip_id for attempt in attempts][:3] == ["a0", "a1", "a1"]
    assert (attempts.table().num_rows, sum(table.num_rows for table in attempts.batches())) == (10, 10)
    assert {attempt.outcome for attempt in load_attempts(run, outcome="kept")} == {"kept"}
    assert load_attempts(run, cycle=-1, split="heldout").table()["clip_id"].to_pylist() == ["h0", "h1"]
    assert load_attempts(run, outcome="failed").table().num_rows == 0


def test_a_step_that_is_not_there_is_named_with_those_that_are(run: str) -> None:
    with pytest.raises(ValueError, match=r"has no complete step cycle-007/generate; it has .*cycle-000/generate"):
        load_attempts(run, cycle=7)
    with pytest.raises(ValueError, match="outcome 'good' is not one; choose kept, rejected or failed"):
        load_attempts(run, outcome="good")


def test_examples_have_the_columns_of_an_export(run: str) -> None:
    examples: Rows[object] = load_examples(run)
    assert examples.table().column("label").to_pylist() == ["rising"] * 4
    assert [example.example_id for example in load_examples(run, cycle=1)] == ["a0/0/direct"]


def test_clips_are_those_of_a_split(run: str) -> None:
    assert [clip.clip_id for clip in load_clips(run, "heldout")] == ["h0", "h1"]
    assert next(iter(load_clips(run))).label.text == "rising"
    with pytest.raises(ValueError, match="has no clips of split 'val'; it has heldout, train"):
        load_clips(run, "val")


def test_a_summary_is_made_of_seals(run: str) -> None:
    summary = load_summary(run)
    assert (summary["base_accuracy"], summary["best_accuracy"], summary["best_cycle"]) == (0.4, 0.9, 0)
    with pytest.raises(ValueError, match=r"no run at .*it has no config.json"):
        load_summary(f"{run}-other")


def test_runs_lie_anywhere(run: str) -> None:
    there, here = Store("memory://bucket/runs/demo"), Path(run)
    for path in here.rglob("*"):
        if path.is_file():
            there.write(path.relative_to(here).as_posix(), path.read_bytes())
    assert load_attempts("memory://bucket/runs/demo/", storage={"memory": {}}).table().equals(load_attempts(run).table())


def test_a_run_with_the_index_of_an_older_version_is_read(run: str) -> None:
    store, step = Store(run), name_of(0, "generate")
    before = load_attempts(run).table()
    seal = Seal.from_json(store.read(f"{step}/{SEAL}") or b"")
    store.write(f"{step}/{OLD_INDEX}", store.read(f"{step}/{INDEX}") or b"")
    for name in (INDEX, SEAL):
        store.delete(f"{step}/{name}")
    write_seal(
        store, Seal(**{name: getattr(seal, name) for name in Seal.__slots__} | {"files": store.describe([f"{step}/{OLD_INDEX}"])})
    )
    assert load_attempts(run).table().equals(before)
    assert load_examples(run).table()["reason"].to_pylist() == ["contains_label"] * 4


def test_every_example_of_the_page_runs(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block is run as it stands, in the folder with runs/demo; a comment `# -> ...` says what the line before prints."""
    monkeypatch.chdir(Path(run).parents[1])
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        wanted, printed = re.findall(r"# -> (.*)", block), io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(ast.parse(block), str(PAGE), "exec"), {})
        assert printed.getvalue().splitlines() == wanted, block


def test_the_page_names_all_of_it() -> None:
    assert [name for name in engine.__all__ if f"`{name}" not in PAGE.read_text()] == []


def test_verify_goes_to_processes_of_its_own() -> None:
    assert pickle.loads(pickle.dumps(verify)) is verify
