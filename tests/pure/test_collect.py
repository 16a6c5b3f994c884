"""Pins gc and runs: what is taken of finished runs and what never is, that this is no damage, and which folders are runs."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from builders import a_seal
from engine.presets import load_config
from engine.run import collect as collecting
from engine.run.catalog import row_of, runs_below
from engine.run.children import note_child
from engine.run.collect import collectable, delete
from engine.run.damage import damage_by_contents, damage_by_sizes
from engine.run.lease import Lease, Occupied
from engine.run.plan import BASE, INGEST, name_of
from engine.run.seals import Seal, write_seal
from engine.run.work import read_seals
from engine.store.files import Store
from engine.store.troubles import StorageError
from jobs.runs import collect, list_runs
from jobs.status import status

ACCOUNTS = {"clips": 1, "direct_kept": 1, "rationalized_kept": 0, "dropped": {}, "failed": {}}


def seal(store: Store, step: str, files: Sequence[str], **facts: object) -> None:
    for file in files:
        store.write(f"{step}/{file}", b"12345")
    records = store.describe([f"{step}/{file}" for file in files])
    write_seal(store, Seal(**asdict(a_seal(step, **facts)) | {"files": records}))


def a_run(folder: Path, accuracies: Sequence[float], settings: Sequence[str] = (), cycles: int = 0) -> Store:
    """A run with a cycle for each accuracy; it is finished unless it is to have more `cycles`."""
    store = Store(str(folder))
    config = load_config(None, [f"run.uri={folder}", f"loop.max_cycles={cycles or len(accuracies)}", "loop.patience=99", *settings])
    store.write("config.json", config.model_dump_json().encode())
    seal(store, INGEST, [], parts={"train": [1], "heldout": [1]}, inputs={})
    seal(store, BASE, ["pieces/a.parquet"], accuracy=0.1, **ACCOUNTS)
    for cycle, accuracy in enumerate(accuracies):
        seal(store, name_of(cycle, "generate"), ["pieces/a.parquet"], **ACCOUNTS)
        seal(store, name_of(cycle, "select"), ["examples.parquet"], direct_only=False, examples=1, episodes=0)
        seal(store, name_of(cycle, "train"), ["model/adapter.safetensors", "losses.json"], losses=[])
        seal(store, name_of(cycle, "evaluate"), ["pieces/a.parquet"], accuracy=accuracy, **ACCOUNTS)
    return store


def paths(store: Store) -> list[str]:
    return [folder.path for folder in collectable(store).folders]


TAKEN = [
    "cycle-000/train/model",
    "cycle-000/evaluate/pieces",
    "cycle-002/train/model",
    "cycle-002/evaluate/pieces",
    "cycle-003/train/model",
    "cycle-003/evaluate/pieces",
    "cycle-001/generate/pieces",
    "cycle-002/generate/pieces",
]


def test_the_best_model_and_what_the_report_and_a_continuation_read_stay(tmp_path: Path) -> None:
    assert paths(a_run(tmp_path / "run", [0.2, 0.5, 0.3, 0.4])) == TAKEN


def test_a_taken_file_is_no_damage_and_the_seals_stay(tmp_path: Path) -> None:
    store = a_run(tmp_path / "run", [0.2, 0.5, 0.3, 0.4])
    sealed = read_seals(store)
    assert [folder.path for folder in delete(store).folders] == TAKEN
    assert not (tmp_path / "run/cycle-000/train/model").exists()
    assert read_seals(store) == sealed
    card = (tmp_path / "run/README.md").read_text()
    assert "cycle-001/generate/pieces/*.parquet" not in card
    assert "deleted by `starloop gc`: cycle-000/evaluate/pieces, cycle-001/generate/pieces," in card
    assert damage_by_sizes(store, sealed.values()) == []
    assert [damage for seal in sealed.values() for damage in damage_by_contents(store, seal)] == []
    assert paths(store) == []
    store.delete("cycle-001/train/model")  # the best one's
    assert [damage.path for damage in damage_by_sizes(store, sealed.values())] == ["cycle-001/train/model/adapter.safetensors"]


def a_child(parent: Store, uri: Path, *settings: str) -> Store:
    child = a_run(uri, [0.5], [f"parent.run={parent.url()}", *settings])
    note_child(parent, child.url())
    return child


def test_what_a_continuation_names_stays_also_that_of_a_later_one(tmp_path: Path) -> None:
    parent = a_run(tmp_path / "run", [0.2, 0.5, 0.3, 0.4])
    child = a_child(parent, tmp_path / "a", "parent.step=cycle-002/generate")
    a_child(child, tmp_path / "b", f"parent.model={parent.url('cycle-000/train/model')}", "parent.step=cycle-001/generate")
    kept = {"cycle-000/train/model", "cycle-002/generate/pieces"}  # the grandchild's step is its own parent's
    assert set(TAKEN) - set(paths(parent)) == kept


def test_a_continuation_that_cannot_be_read_stops_gc(tmp_path: Path) -> None:
    parent = a_run(tmp_path / "run", [0.2, 0.5, 0.3, 0.4])
    a_child(parent, tmp_path / "a").write("config.json", b"{")
    with pytest.raises(ValueError, match=r"a/config.json is not what a run writes"):
        collect(str(tmp_path), [], is_deleting=True)
    assert (tmp_path / "run/cycle-000/train/model").exists()


def test_a_run_under_way_or_held_is_not_touched(tmp_path: Path) -> None:
    unfinished = collectable(a_run(tmp_path / "a", [0.2, 0.5], cycles=3))
    assert (unfinished.folders, unfinished.kept) == ([], "it is not finished, its next step is cycle-002/generate")
    store = a_run(tmp_path / "b", [0.2, 0.5])
    with Lease(store):
        held = delete(store)
    assert held.folders == []
    assert held.kept.endswith("holds its lease")
    assert (tmp_path / "b/cycle-000/train/model").exists()
    store.delete("cycle-000/train/seal.json")
    assert "is sealed, and cycle-000/train, which it was made from, is not" in collectable(store).kept


def test_gc_lists_and_deletes_only_when_it_is_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run(tmp_path / "runs/a", [0.2, 0.5])
    collect(str(tmp_path), [], is_deleting=False)
    shown = capsys.readouterr().out
    assert f"{tmp_path}/runs/a/cycle-000/train/model  5 B  cycle 0 is not the best one" in shown
    assert "10 B could be deleted; add --delete to do it" in shown
    assert (tmp_path / "runs/a/cycle-000/train/model").exists()
    collect(str(tmp_path), [], is_deleting=True)
    assert "10 B deleted" in capsys.readouterr().out
    assert not (tmp_path / "runs/a/cycle-000/train/model").exists()
    status(f"{tmp_path}/runs/a", [], as_json=True)
    steps = {step["step"]: step["deleted"] for step in json.loads(capsys.readouterr().out)["steps"]}
    assert {name: folders for name, folders in steps.items() if folders} == {
        "cycle-000/train": ["cycle-000/train/model"],
        "cycle-000/evaluate": ["cycle-000/evaluate/pieces"],
    }
    status(f"{tmp_path}/runs/a", [], as_json=False)
    assert "deleted by starloop gc: cycle-000/train/model, cycle-000/evaluate/pieces" in " ".join(capsys.readouterr().out.split())


def test_gc_says_of_each_run_what_it_deleted_and_goes_on_after_one_that_a_driver_has_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        a_run(tmp_path / name, [0.2, 0.5])

    def held(store: Store) -> Lease:
        if store.uri.endswith("/b"):
            raise Occupied("b is being worked on")
        return Lease(store)

    monkeypatch.setattr(collecting, "Lease", held)
    collect(str(tmp_path), [], is_deleting=True, as_json=True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(Path(row["run"]).name, row["kept"], len(row["folders"])) for row in rows] == [
        ("a", "", 2), ("b", "b is being worked on", 0), ("c", "", 2)
    ]  # fmt: skip


def test_what_storage_refuses_is_told_and_the_other_runs_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("first", "lost", "locked/run"):
        a_run(tmp_path / name, [0.2]).write("lease/00001.json", b"{}")

    def refusing(call: Callable[..., Any], part: str) -> Callable[..., Any]:
        def refused(store: Store, *given: Any, **options: Any) -> Any:
            if store.uri.endswith(part):
                raise StorageError("denied", f"{store.uri} is denied")
            return call(store, *given, **options)

        return refused

    monkeypatch.setattr(Store, "names", refusing(Store.names, "locked"))
    for name in ("read", "total_bytes"):
        monkeypatch.setattr(Store, name, refusing(getattr(Store, name), "lost"))
    list_runs(str(tmp_path), [], as_json=True)
    rows = {Path(row["run"]).name: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert {name: row["state"] for name, row in rows.items()} == {"first": "complete", "lost": "unreadable"}
    assert (rows["lost"]["note"], rows["lost"]["bytes"]) == (f"{tmp_path}/lost is denied", 0)
    assert caplog.messages == [f"left out: {tmp_path}/locked is denied"]
    with pytest.raises(StorageError, match="locked is denied"):
        collect(str(tmp_path), [], is_deleting=True)


def test_runs_are_listed_with_their_state_and_other_folders_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = a_run(tmp_path / "team/first", [0.2, 0.5])
    a_run(tmp_path / "second", [0.3], [f"parent.run={first.url()}"], cycles=2)
    broken = Store(str(tmp_path / "third"))
    broken.write("config.json", b"{")
    broken.write("lease/00001.json", b"{}")
    Store(str(tmp_path / "model")).write("config.json", json.dumps({"model_type": "llava"}).encode())
    list_runs(str(tmp_path), [], as_json=True)
    rows = {Path(row["run"]).name: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert list(rows) == ["second", "third", "first"]
    row = rows["first"]
    assert (row["state"], row["next_step"], row["cycles"], row["base_accuracy"]) == ("complete", None, 2, 0.1)
    assert (row["best_accuracy"], row["best_cycle"], row["parent"]) == (0.5, 1, None)
    assert row["bytes"] == sum(file.stat().st_size for file in (tmp_path / "team/first").rglob("*") if file.is_file())
    row = rows["second"]
    assert (row["state"], row["next_step"], row["parent"]) == ("not finished", "cycle-001/generate", first.url())
    assert rows["third"]["state"] == "unreadable"
    assert "is not what a run writes" in rows["third"]["note"]
    with Lease(Store(str(tmp_path / "second"))):
        assert row_of(Store(str(tmp_path / "second"))).state == "running"


def test_a_run_itself_is_listed_and_an_empty_place_is_refused(tmp_path: Path) -> None:
    store = a_run(tmp_path / "run", [0.2])
    assert list(runs_below(store)) == [store]
    with pytest.raises(ValueError, match=r"no run below .*none: no folder has a run's config\.json"):
        list_runs(str(tmp_path / "none"), [], as_json=False)


def test_the_logs_of_the_first_and_the_last_commands_stay(tmp_path: Path) -> None:
    store = a_run(tmp_path / "run", [0.5])
    for epoch in range(1, 14):
        store.write(f"logs/{epoch:05d}/driver.log", b"12345")
    assert paths(store) == ["logs/00002", "logs/00003"]
    delete(store)
    assert store.folders("logs") == [f"{epoch:05d}" for epoch in (1, *range(4, 14))]
    assert not (tmp_path / "run/collected.json").exists()
