"""Pins damage: status sees by listings what is gone or has another size, failures names it, and --retry makes it again."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pytest

from builders import a_clip, a_seal, an_attempt
from engine.generate.one_model import NOTE, Loaded, note_model, read_model
from engine.ingest.clips import path_of, write_parts
from engine.presets import load_config
from engine.rows import ATTEMPTS, Attempt
from engine.run.damage import Damage
from engine.run.failures import Failed, Retried, failures, retry
from engine.run.plan import BASE, INGEST
from engine.run.seals import Seal, write_seal
from engine.run.status import status
from engine.run.work import INDEX, pieces_of
from engine.store.files import FILES, RESTORE, Store
from engine.store.troubles import StorageError
from jobs.status import FailureOptions
from jobs.status import failures as print_failures
from jobs.status import status as print_status

GENERATE, SELECT = "cycle-000/generate", "cycle-000/select"
PIECE = f"{pieces_of(GENERATE)}/00000-00000-002-aa.parquet"
OTHER = f"{pieces_of(GENERATE)}/00000-00002-002-bb.parquet"
EXAMPLES = f"{SELECT}/examples.parquet"
ACCOUNTS = {"direct_kept": 3, "rationalized_kept": 0, "dropped": {}}


def seal(store: Store, step: str, files: list[str], **facts: object) -> None:
    write_seal(store, Seal(**asdict(a_seal(step, **facts)) | {"files": store.describe(files)}))


def write_piece(store: Store, path: str, attempts: list[Attempt]) -> None:
    store.write_table(path, pa.Table.from_pylist([attempt.to_row() for attempt in attempts], schema=ATTEMPTS))


@pytest.fixture
def run(tmp_path: Path) -> Store:
    """A run that has generated two pieces of two clips, of which one failed, and selected."""
    store = Store(str(tmp_path / "run"))
    store.write("config.json", load_config(None, [f"run.uri={tmp_path}/run", "data.manifest=m.csv"]).model_dump_json().encode())
    parts = write_parts(store, [a_clip(clip_id) for clip_id in "abcd"]) | {"heldout": [1]}
    seal(store, INGEST, [path_of("train", 0)], parts=parts)
    write_seal(store, a_seal(BASE, accuracy=0.5, clips=1, failed={}, **ACCOUNTS))
    write_piece(store, PIECE, [an_attempt("a"), an_attempt("b")])
    write_piece(store, OTHER, [an_attempt("c"), an_attempt("d", outcome="failed", reason="missing", detail="no such file")])
    index = [asdict(record) for record in store.describe([PIECE, OTHER])]
    store.write_table(f"{GENERATE}/{INDEX}", pa.Table.from_pylist(index, schema=FILES))
    note_model(store, GENERATE, Loaded(digest="a1b2", base="tiny", engine="builtin", dtype="float32"))
    model = read_model(store, GENERATE)
    seal(store, GENERATE, [f"{GENERATE}/{INDEX}"], clips=4, failed={"missing": 1}, model=model, **ACCOUNTS)
    store.write(EXAMPLES, b"examples")
    seal(store, SELECT, [EXAMPLES], direct_only=False, examples=3, episodes=0)
    return store


def cut(store: Store, path: str) -> None:
    store.write(path, (store.read(path) or b"")[:5])


def forge(store: Store, path: str) -> None:
    """Another content of the same size."""
    store.write(path, bytes(byte ^ 1 for byte in store.read(path) or b""))


def test_a_run_that_is_whole_has_no_damage(run: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(run).damage == []
    assert [row.kind for row in failures(run)] == ["missing"]
    assert retry(run, "damaged", rewind=True) is None
    print_status(run.uri, [], as_json=False)
    assert "damage" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "step", "pieces"),
    [(PIECE, GENERATE, 1), (f"{GENERATE}/{INDEX}", GENERATE, 0), (EXAMPLES, SELECT, 0), (path_of("train", 0), INGEST, 0)],
    ids=["piece", "index", "examples", "clips"],
)
@pytest.mark.parametrize("harm", [cut, Store.delete], ids=["cut", "gone"])
def test_a_file_that_is_gone_or_cut_is_seen_and_its_step_done_again(
    run: Store, harm: Callable[[Store, str], None], path: str, step: str, pieces: int
) -> None:
    harm(run, path)
    assert [(file.step, file.path) for file in status(run).damage] == [(step, path)]
    assert [(row.step, row.name) for row in failures(run) if row.kind == "damaged"] == [(step, path)]
    assert retry(run, "damaged", rewind=True) == Retried(step=step, failed=0, pieces=pieces, clips=0)
    now = status(run)
    assert step not in now.sealed
    assert now.damage == []


def test_the_damage_is_named(run: Store) -> None:
    size = len(run.read(PIECE) or b"")
    cut(run, PIECE)
    run.delete(OTHER)
    forge(run, f"{SELECT}/examples.parquet")  # of the same size: a listing does not show it
    assert status(run).damage == [Damage(GENERATE, PIECE, f"has 5 bytes instead of {size}"), Damage(GENERATE, OTHER, "is gone")]
    other = "it is not what was written: its sha256 is another"
    assert list(failures(run)) == [
        Failed(GENERATE, PIECE, "damaged", f"{other}; {RESTORE}"),
        Failed(GENERATE, OTHER, "damaged", f"it is gone; {RESTORE}"),
    ]


def test_contents_are_compared_where_files_are_read(run: Store) -> None:
    forge(run, PIECE)
    forge(run, EXAMPLES)
    assert status(run).damage == []
    assert [row.name for row in failures(run) if row.kind == "damaged"] == [PIECE]
    assert retry(run, "damaged", rewind=True) == Retried(step=GENERATE, failed=0, pieces=1, clips=0)
    assert run.names(pieces_of(GENERATE)) == [OTHER.rsplit("/", 1)[1]]
    assert run.read(EXAMPLES) is None


@pytest.mark.parametrize(
    ("harm", "detail"),
    [
        (
            lambda store, path: store.write(path, (store.read(path) or b"") + b"x\n"),
            "is not what was written: its sha256 is another",
        ),
        (forge, "is not what was written: its sha256 is another"),
        (Store.delete, "is gone"),
    ],
    ids=["longer", "forged", "gone"],
)
def test_a_note_of_the_model_is_compared_with_the_seal_and_written_again_from_it(
    run: Store, harm: Callable[[Store, str], None], detail: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"{GENERATE}/{NOTE}"
    whole = run.read(path)
    harm(run, path)
    assert status(run).damage == [Damage(GENERATE, path, detail)]
    assert [(row.name, row.detail) for row in failures(run) if row.kind == "damaged"] == [(path, f"it {detail}; {RESTORE}")]
    print_failures(run.uri, FailureOptions(retry="damaged", rewind=False, as_json=False), [])
    assert capsys.readouterr().out == f"written again from what the seals hold: {path}; nothing has to be done again\n"
    assert (run.read(path), list(status(run).sealed)) == (whole, [INGEST, BASE, GENERATE, SELECT])


def test_a_damaged_note_beside_a_damaged_piece_is_written_again_too(run: Store) -> None:
    whole = run.read(f"{GENERATE}/{NOTE}")
    cut(run, PIECE)
    cut(run, f"{GENERATE}/{NOTE}")
    assert [file.path for file in status(run).damage] == [PIECE, f"{GENERATE}/{NOTE}"]
    assert retry(run, "damaged", rewind=True) == Retried(step=GENERATE, failed=0, pieces=1, clips=0)
    assert run.read(f"{GENERATE}/{NOTE}") == whole
    cut(run, f"{GENERATE}/{NOTE}")
    assert retry(run, "damaged", rewind=True) is None, "the step is not sealed: nothing says what its note was"
    with pytest.raises(ValueError, match=r"generate/model.json is not what a step notes of its model .*restore it, or take"):
        read_model(run, GENERATE)


def test_a_step_without_pieces_is_done_again_as_a_whole(run: Store) -> None:
    forge(run, EXAMPLES)
    assert retry(run, "damaged", rewind=False) == Retried(step=SELECT, failed=0, pieces=0, clips=0)
    assert run.names(SELECT) == []
    assert len(run.names(pieces_of(GENERATE))) == 2


def test_what_follows_from_damage_is_deleted_only_if_allowed(run: Store) -> None:
    cut(run, PIECE)
    with pytest.raises(ValueError, match=rf"{GENERATE} has files that are damaged, and {SELECT} follows from it; --rewind undoes"):
        retry(run, "damaged", rewind=False)
    assert len(run.names(pieces_of(GENERATE))) == 2


def test_another_kind_is_not_tried_again_while_a_piece_is_damaged(run: Store) -> None:
    """Its step's index, which alone shows the damage, would be deleted."""
    forge(run, PIECE)
    with pytest.raises(StorageError, match=r"its sha256 is another; .* --retry damaged"):
        retry(run, "missing", rewind=True)


def test_a_piece_of_an_unsealed_step_that_cannot_be_read_is_no_end_of_status(run: Store) -> None:
    for name in (f"{SELECT}/seal.json", f"{GENERATE}/seal.json"):
        run.delete(name)
    cut(run, PIECE)
    now = status(run)
    assert [(begun.step, begun.written, begun.accounts.clips) for begun in now.begun] == [(GENERATE, 2, 2)]
    assert [(file.path, file.detail.partition(" (")[0]) for file in now.damage] == [(PIECE, "is damaged")]
    assert [row.kind for row in failures(run)] == ["damaged", "missing"]
    assert retry(run, "damaged", rewind=False) == Retried(step=GENERATE, failed=0, pieces=1, clips=0)


def test_a_piece_of_another_version_is_one_line(run: Store) -> None:
    run.delete(f"{GENERATE}/seal.json")
    run.delete(f"{SELECT}/seal.json")
    run.write_table(PIECE, pa.table({"clip_id": ["a"]}))
    with pytest.raises(ValueError, match=r"-aa.parquet has other columns than this version of Starloop writes .*run.uri"):
        status(run)


def test_the_commands_print_the_line_with_the_remedy(run: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run.delete(PIECE)
    run.delete(EXAMPLES)
    print_status(f"{run.uri}/", [], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == (
        f"2 files are damaged; the first, {PIECE}, is gone; restore what is damaged, or `starloop failures {run.uri} "
        "--retry damaged` deletes it, so that it is made again"
    )
    assert any(line.split()[:4] == [GENERATE, "sealed,", "1", "damaged"] for line in lines)
    print_failures(run.uri, FailureOptions(retry="damaged", rewind=True, as_json=False), [])
    assert capsys.readouterr().out == f"damaged pieces of {GENERATE}: 1; they will be made again: run the same command as before\n"


def test_a_seal_that_is_gone_under_a_sealed_step_is_named(run: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run.delete(f"{GENERATE}/seal.json")
    print_status(run.uri, [], as_json=False)
    assert f"{SELECT} is sealed, and {GENERATE}, which it was made from, is not; restore the seal" in capsys.readouterr().out


def test_status_as_json(run: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run.delete(PIECE)
    print_status(run.uri, [], as_json=True)
    value = json.loads(capsys.readouterr().out)
    steps, damage = value.pop("steps"), value.pop("damage")
    state = {"complete": False, "next_step": "cycle-000/train", "driver": None, "report": None, "logs": None, "gap": None}
    assert value == {"run": run.uri} | state
    assert damage == [{"step": GENERATE, "path": PIECE, "detail": "is gone"}]
    assert {step["step"]: step["state"] for step in steps} == {
        INGEST: "sealed", BASE: "sealed", GENERATE: "sealed", SELECT: "sealed", "cycle-000/train": "next",
    }  # fmt: skip
    assert steps[2] == {
        "step": GENERATE, "state": "sealed", "pieces": None, "planned_pieces": None, "clips": 4, "direct_kept": 3,
        "rationalized_kept": 0, "samples": None, "samples_kept": None, "dropped": {}, "failed": {"missing": 1}, "unused": None,
        "accuracy": None, "loss_first": None, "loss_last": None, "seconds": 1.0, "cost": None, "damaged": 1, "deleted": [],
    }  # fmt: skip
    assert steps[1]["accuracy"] == 0.5


def test_failures_as_json_lines(run: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run.delete(PIECE)
    print_failures(run.uri, FailureOptions(retry="", rewind=False, as_json=True), [])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"step": GENERATE, "id": PIECE, "kind": "damaged", "detail": f"it is gone; {RESTORE}"},
        {"step": GENERATE, "id": "d", "kind": "missing", "detail": "no such file"},
    ]
    with pytest.raises(ValueError, match="--json is for the list of failures, and does not go with --retry"):
        print_failures(run.uri, FailureOptions(retry="missing", rewind=False, as_json=True), [])
