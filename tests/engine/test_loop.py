"""Pins the loop on a real Ray, real files and a real model: accounts that add up, runs that resume, prompts that hold no label."""

import json
import os
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

import chaos
from command import options, starloop
from engine.generate import prompts
from engine.generate.prompts import answer_prompt, train_prompt
from engine.ingest.clips import from_table, path_of
from engine.presets import load_config
from engine.run import loop
from engine.run.failures import Retried, failures, retry
from engine.run.plan import Step
from engine.run.seals import SEAL, read_seal
from engine.run.status import status
from engine.run.work import INDEX, Progress, Work
from engine.select.step import select_examples
from engine.store.files import Store
from engine.store.troubles import StorageError
from loops import Finished, attempts_of, examples_of, outcome, settings
from models.base import Device, ModelSpec, Video
from models.registry import load

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_every_clip_is_accounted_for(undisturbed: Finished) -> None:
    summary = undisturbed.summary
    first, last = summary["cycles"]
    for cycle in (first, last):
        kept = cycle["direct_kept"] + cycle["rationalized_kept"]
        assert kept + sum(cycle["dropped"].values()) + sum(cycle["failed"].values()) == cycle["clips"] == 60
        assert cycle["failed"] == {"missing": 1, "not_video": 2}
        assert cycle["examples"] <= kept
        assert cycle["loss_last"] < cycle["loss_first"]
        assert set(cycle["seconds"]) == {"generate", "select", "train", "evaluate"}
    assert first["direct_kept"] == 23  # of 57 usable clips, those with the four names that the base knows
    assert first["rationalized_kept"] >= 25
    assert last["rationalized_kept"] == 0
    assert (summary["heldout_clips"], summary["base_accuracy"], summary["stopped_because"]) == (20, 0.4, "max_cycles")
    assert summary["best_accuracy"] > summary["base_accuracy"]
    comparison = first["comparison"]
    assert (comparison["step"], comparison["clips"], comparison["level"]) == ("base/evaluate", 20, None)  # loop.promote = "best"
    assert comparison["won"] - comparison["lost"] == round(20 * (first["heldout_accuracy"] - summary["base_accuracy"]))
    low, high = first["heldout_interval"]
    assert low < first["heldout_accuracy"] <= high
    assert json.loads((undisturbed.folder / "summary.json").read_text()) == summary


def test_a_failed_clip_names_itself_and_the_remedy(undisturbed: Finished) -> None:
    failed = [row for row in attempts_of(undisturbed.store, "cycle-000/generate") if row["outcome"] == "failed"]
    assert [(row["clip_id"], row["reason"]) for row in failed] == [
        ("train-00003", "missing"),
        ("train-00004", "not_video"),
        ("train-00005", "not_video"),
    ]
    assert all(row["clip_id"] in row["detail"] for row in failed)
    assert "check the manifest" in failed[0]["detail"]


def test_the_label_is_in_no_direct_and_no_evaluation_prompt(undisturbed: Finished) -> None:
    store = undisturbed.store
    llm = load(ModelSpec(base="tiny"), Device("cpu", "float32"))
    video = Video(np.zeros((8, 48, 48, 3), np.uint8), (0.0,) * 8)
    clips = [clip for split in ("train", "heldout") for clip in from_table(store.read_table(path_of(split, 0)))]
    label_of = {clip.clip_id: clip.label.text for clip in clips}
    attempts = [row for step in ("base/evaluate", "cycle-000/generate", "cycle-001/evaluate") for row in attempts_of(store, step)]
    direct = [row for row in attempts if row["mode"] == "direct" and row["outcome"] != "failed"]
    hinted = [row for row in attempts if row["mode"] == "rationalized"]
    decode = llm.processor.tokenizer.decode  # type: ignore[attr-defined]
    assert len(direct) == 20 + 57 + 20
    assert [row for row in direct if label_of[row["clip_id"]] in decode(llm.prompt_token_ids(row["prompt"], video))] == []
    assert [row for row in hinted if label_of[row["clip_id"]] not in decode(llm.prompt_token_ids(row["prompt"], video))] == []
    for wording in prompts.BY_NAME.values():
        for clip in clips:
            for prompt in (answer_prompt(wording, clip.question), train_prompt(wording, clip.question)):
                assert clip.label.text not in decode(llm.prompt_token_ids(prompt, video))


def test_lineage_and_seals(undisturbed: Finished) -> None:
    rows = examples_of(undisturbed.store, 0)
    assert {row["mode"] for row in rows} == {"direct", "rationalized"}
    assert all(row["model"] and row["seed"] and row["cycle"] == 0 for row in rows)
    seal = json.loads((undisturbed.folder / "cycle-000" / "train" / "seal.json").read_text())
    names = {Path(record["path"]).name for record in seal["files"]}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "unused.parquet"}


def test_examples_are_capped_balanced_and_carried_over(undisturbed: Finished, tmp_path: Path) -> None:
    copy = undisturbed.copy(tmp_path / "copy")
    store = copy.store

    def select(inputs: tuple[str, ...], **section: Any) -> tuple[dict[str, int], list[dict[str, Any]]]:
        config = copy.config.model_copy(update={"select": copy.config.select.model_copy(update=section)})
        step = Step(name="cycle-009/select", kind="select", cycle=9, inputs=("ingest", *inputs))
        counts = select_examples(Work(step=step, identity="x", config=config, store=store, report=lambda _: None)).counts
        return counts, store.read_table("cycle-009/select/examples.parquet").to_pylist()

    everything, rows = select(("cycle-000/generate",))
    assert everything["examples"] == undisturbed.summary["cycles"][0]["examples"] == len(rows)
    assert (everything["over_limit"], 0 <= everything["near_duplicates_noted"] < len(rows)) == (0, True)
    label_of = {clip.clip_id: clip.label.text for clip in from_table(store.read_table(path_of("train", 0)))}
    capped, rows = select(("cycle-000/generate",), max_per_label=2)
    assert max(Counter(label_of[row["clip_id"]] for row in rows).values()) == 2
    assert capped["examples"] + capped["over_limit"] == everything["examples"]
    _, again = select(("cycle-000/generate",), max_per_label=2)
    assert again == rows, "drawn by the seed"
    kept = {cycle: kept_in(store, f"cycle-00{cycle}/generate") for cycle in (0, 1)}
    forgotten = sorted(kept[0] & kept[1])[::5]
    reject(store, "cycle-001/generate", forgotten)
    _, carried = select(("cycle-000/generate", "cycle-001/generate"), carry_over=True)
    assert {row["clip_id"] for row in carried} == kept[0] | kept[1]
    assert {row["clip_id"] for row in carried if row["cycle"] == 0} == (kept[0] - kept[1]) | {*forgotten}
    facts = json.loads((undisturbed.folder / "cycle-000" / "generate" / "seal.json").read_text())["facts"]
    assert facts["similarity"] == "ROUGE-L"


def kept_in(store: Store, step: str) -> set[str]:
    return {row["clip_id"] for row in attempts_of(store, step) if row["outcome"] == "kept"}


def reject(store: Store, step: str, clip_ids: list[str]) -> None:
    """Rewrite a sealed step as if nothing of some clips had been kept."""
    paths = [f"{step}/pieces/{name}" for name in store.names(f"{step}/pieces")]
    for path in paths:
        table = store.read_table(path)
        rows = [row | ({"outcome": "rejected"} if row["clip_id"] in clip_ids else {}) for row in table.to_pylist()]
        store.write_table(path, pa.Table.from_pylist(rows, schema=table.schema))
    index = f"{step}/{INDEX}"
    store.write_table(index, pa.Table.from_pylist([asdict(record) for record in store.describe(paths)]))
    sealed = read_seal(store, step)
    assert sealed is not None
    store.write(f"{step}/{SEAL}", replace(sealed, files=store.describe([index])).to_json())


def test_a_finished_run_does_nothing(undisturbed: Finished, caplog: pytest.LogCaptureFixture) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.folder.rglob("*") if path.is_file()}
    reports: list[Progress] = []
    with caplog.at_level("INFO", logger="engine"):
        assert loop.run(undisturbed.config, reports.append) == undisturbed.summary
    assert "nothing to do: the run is complete" in caplog.text
    assert reports == []
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_another_configuration_for_the_same_run_is_refused(undisturbed: Finished, world: Path) -> None:
    changed = load_config(None, [*settings(world, undisturbed.folder), "train.lr=1e-4", "cluster.decode_cpus=0.5"])
    with pytest.raises(ValueError, match=r"begun with another configuration \(train.lr: 0.006 -> 0.0001\)"):
        loop.run(changed, lambda progress: None)


def test_no_held_out_clips_is_said_before_anything_is_paid_for(world: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in world.read_text().splitlines()]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows if row["split"] == "train"))
    config = load_config(None, [f"data.manifest={manifest}", f"run.uri={tmp_path / 'r'}", "model.allow_tiny=true"])
    with pytest.raises(ValueError, match="no clips in split 'heldout'"):
        loop.run(config, lambda progress: None)


def test_what_failed_can_be_tried_again_and_what_came_after_is_undone_only_if_asked(undisturbed: Finished, tmp_path: Path) -> None:
    copy = undisturbed.copy(tmp_path / "r")
    run, store = copy.folder, copy.store
    with pytest.raises(ValueError, match="--rewind undoes the steps that follow from it too"):
        retry(store, "not_video", rewind=False)
    assert status(store).next_step is None
    assert retry(store, "timeout", rewind=True) is None
    assert status(store).next_step is None
    assert retry(store, "not_video", rewind=True) == Retried(step="cycle-000/generate", failed=2, pieces=1, clips=10)
    now = status(store)
    assert now.next_step is not None
    assert now.next_step.name == "cycle-000/generate"
    assert [(begun.step, begun.written, begun.planned) for begun in now.begun] == [("cycle-000/generate", 5, 6)]
    assert set(now.sealed) == {"ingest", "base/evaluate"}
    assert not (run / "cycle-000" / "train").exists()
    assert not [path for path in (run / "cycle-001").rglob("*") if path.is_file()]


def test_a_piece_that_is_not_what_was_written_is_never_trained_on(undisturbed: Finished, tmp_path: Path) -> None:
    copy = undisturbed.copy(tmp_path / "r", ["cycle-000/select", "cycle-000/train", "cycle-000/evaluate", "cycle-001"])
    store = copy.store
    forged, gone, *_ = store.names("cycle-000/generate/pieces")
    rows = store.read_table(f"cycle-000/generate/pieces/{forged}")
    store.write_table(f"cycle-000/generate/pieces/{forged}", rows.slice(1))
    with pytest.raises(StorageError, match=rf"{forged} is not what was written: its sha256 is another; .* --retry damaged"):
        loop.run(copy.config, lambda progress: None, until="cycle-000/select")
    store.delete(f"cycle-000/generate/pieces/{gone}")
    assert [file.path for file in status(store).damage] == [f"cycle-000/generate/pieces/{name}" for name in (forged, gone)]
    damaged = {row.name.rsplit("/", 1)[1]: row.detail for row in failures(store) if row.kind == "damaged"}
    assert damaged.keys() == {forged, gone}
    assert damaged[forged].startswith("it is not what was written: its sha256 is another; restore it, or let `starloop failures")
    assert damaged[gone].startswith("it is gone; ")
    assert retry(store, "damaged", rewind=False) == Retried(step="cycle-000/generate", failed=0, pieces=2, clips=0)
    now = status(store)
    assert now.next_step is not None
    assert now.next_step.name == "cycle-000/generate"
    assert [begun.written for begun in now.begun] == [4]


def test_a_killed_driver_goes_on_where_it_was(undisturbed: Finished, world: Path, tmp_path: Path) -> None:
    """SIGKILL while pieces are written, then the same command again. `make chaos` kills the driver at every other moment."""
    copy = undisturbed.copy(tmp_path / "r", without=["cycle-001"])
    arguments = ["generate", "--cycle", "1", *options(settings(world, copy.folder))]
    watcher = chaos.Watcher(copy.store)
    with chaos.driver([sys.executable, "-m", "jobs", *arguments], tmp_path / "log") as driver:
        while not copy.store.names("cycle-001/generate/pieces"):
            assert driver.poll() is None, (tmp_path / "log").read_text()[-2000:]
            time.sleep(0.02)
        driver.kill()
    watcher.look()
    assert read_seal(copy.store, "cycle-001/generate") is None
    done = starloop(*arguments)
    assert done.returncode == 0, done.stderr
    assert " from before" in done.stdout
    undone = tuple(f"cycle-001/{kind}" for kind in ("select", "train", "evaluate"))
    reference = {path: data for path, data in outcome(undisturbed.store).items() if not path.startswith(undone)}
    row = chaos.judge("driver killed", copy.store, reference, 1, watcher, 0.0)
    assert row.is_good, str(row)


def test_a_killed_train_worker_is_made_up_for(undisturbed: Finished, tmp_path: Path) -> None:
    """SIGKILL after the first checkpoint; the loop goes on from it by itself. `make chaos` kills every kind of process."""
    copy = undisturbed.copy(tmp_path / "r", without=["cycle-001/train", "cycle-001/evaluate"])
    killed: list[int] = []

    def kill_once(progress: Progress) -> None:
        if not killed and copy.store.read("cycle-001/train/resume.json") is not None:
            worker, *_ = chaos.find(psutil.Process(), chaos.WORKERS["train workers"])
            worker.kill()
            killed.append(worker.pid)

    loop.run(copy.config, kill_once)
    assert len(killed) == 1
    row = chaos.judge("worker killed", copy.store, outcome(undisturbed.store), 1, chaos.Watcher(copy.store), 0.0)
    assert row.is_good, str(row)


@pytest.mark.skipif("STARLOOP_TEST_VIDEOS" not in os.environ, reason="set STARLOOP_TEST_VIDEOS to a folder of real clips")
def test_real_clips_are_all_accounted_for(tmp_path: Path, ray_cluster: None) -> None:
    labels = Path(os.environ["STARLOOP_TEST_VIDEOS"]) / "labels.csv"
    config = load_config(None, [*settings(labels, tmp_path), "data.heldout=0.0"])
    cycle = loop.run(config, lambda progress: None, until="cycle-000/generate")["cycles"][0]
    assert cycle["clips"] == 12
    assert cycle["failed"] == {}
    assert cycle["direct_kept"] + cycle["rationalized_kept"] + sum(cycle["dropped"].values()) == 12
