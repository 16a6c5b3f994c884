"""Pins `starloop extend` on a real run: unchanged clips keep their attempts, the promoted model is asked about the others."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from command import options, starloop
from engine.generate.one_model import read_model
from engine.run.plan import INGEST
from engine.run.seals import read_seal
from engine.run.work import run_config
from engine.store.files import Store
from loops import SETTINGS, attempts_of
from worlds.shapes import KNOWN_NAMES

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
GENERATE, EVALUATE, BASE = "cycle-000/generate", "cycle-000/evaluate", "base/evaluate"


def write(manifest: Path, rows: Iterable[dict[str, Any]]) -> None:
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_run_is_extended_night_after_night(world: Path, tmp_path: Path, ray_cluster: None) -> None:
    rows = [json.loads(line) for line in world.read_text().splitlines()]
    rows = [row | {"video": str(world.parent / row["video"])} for row in rows]
    # three labels that the base does not know: its accuracy is 0, and a cycle that learns a word of them is promoted
    usable = [row for row in rows if row["clip_id"] not in ("train-00003", "train-00004", "train-00005")]
    names = Counter(row["label"] for row in usable if row["split"] == "train" and row["label"] not in KNOWN_NAMES)
    labels = [label for label, _ in names.most_common(3)]
    train = [row for row in usable if row["split"] == "train" and row["label"] in labels][:15]
    heldout = [row for row in usable if row["split"] == "heldout" and row["label"] in labels]
    replaced = tmp_path / "replaced.mp4"
    shutil.copy(train[5]["video"], replaced)
    train[5]["video"] = str(replaced)
    manifest, run = tmp_path / "manifest.jsonl", tmp_path / "run"
    write(manifest, [*train[:12], *heldout])
    settings = [*SETTINGS, "loop.max_cycles=1", "loop.final_direct_only=false", "train.epochs=12.0", "generate.piece_clips=4"]
    done = starloop("selftrain", *options([*settings, f"data.manifest={manifest}", f"run.uri={run}"]), cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    done = starloop("extend", str(run), str(manifest), cwd=tmp_path)
    assert (done.returncode, "changes no clip of" in done.stdout) == (0, True), done.stderr
    assert not (tmp_path / "run-001").exists()

    # three are added, two removed, one has another label, and the video of one is another file
    relabelled = train[0] | {"label": next(label for label in labels if label != train[0]["label"])}
    shutil.copy(train[6]["video"], replaced)
    write(manifest, [relabelled, *train[3:], *heldout])
    done = starloop("extend", str(run), str(manifest), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    parent, child = Store(str(run)), Store(f"{run}-001")
    before, after = ({(row["clip_id"], row["mode"]): row for row in attempts_of(store, GENERATE)} for store in (parent, child))
    unchanged = {row["clip_id"] for row in train[3:12]} - {train[5]["clip_id"]}
    own = ("piece_id", "origin")
    for key, row in after.items():
        if key[0] in unchanged:
            assert {name: row[name] for name in row if name not in own} == {
                name: before[key][name] for name in row if name not in own
            }
            assert row["origin"] == parent.url(GENERATE)
        else:
            assert row["origin"] == ""
    assert {key for key in before if key[0] in unchanged} == {key for key in after if key[0] in unchanged}
    assert {clip_id for clip_id, _ in after} == {row["clip_id"] for row in [relabelled, *train[3:]]}
    sealed, summary = read_seal(child, GENERATE), json.loads((tmp_path / "run-001/summary.json").read_text())
    assert sealed is not None
    counts = {"clips": 13, "reused": 8, "new": 3, "changed": 1, "asked_again": 1, "removed": 2}
    assert {name: sealed.counts[name] for name in counts} == counts
    assert "answers of 8 clips are those of" in done.stdout
    assert (summary["parent"], summary["heldout_clips"]) == (parent.url(), len(heldout))
    # new clips are asked of the promoted model, with which the child's cycles are compared, too: its answers are known
    assert run_config(child).parent.model == parent.url("cycle-000/train/model")
    generated = {row["model"] for row in after.values() if not row["origin"]}
    assert generated == {read_model(child, GENERATE)["digest"]} == {read_model(parent, EVALUATE)["digest"]}
    evaluated, based = read_seal(parent, EVALUATE), read_seal(child, BASE)
    assert evaluated is not None
    assert based is not None
    assert based.counts["reused"] == len(heldout)
    assert based.facts["accuracy"] == evaluated.facts["accuracy"]
    assert {(row["origin"], row["cycle"]) for row in attempts_of(child, BASE)} == {(parent.url(EVALUATE), -1)}
    assert read_seal(parent, INGEST) is not None

    done = starloop("extend", str(run), str(manifest), cwd=tmp_path)
    assert (done.returncode, "changes no clip of" in done.stdout) == (0, True), done.stderr
    assert not (tmp_path / "run-002").exists()

    # one is removed, so nothing is generated; and the night before was stopped before its end: it is ended first
    unfinished = tmp_path / "run-001/cycle-000/evaluate/seal.json"
    unfinished.unlink()
    write(manifest, [*train[3:], *heldout])
    done = starloop("extend", str(run), str(manifest), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert unfinished.exists()
    last = read_seal(Store(f"{run}-002"), GENERATE)
    assert last is not None
    assert {name: last.counts[name] for name in counts} == {
        "clips": 12, "reused": 12, "new": 0, "changed": 0, "asked_again": 0, "removed": 1,
    }  # fmt: skip
    assert {row["origin"] for row in attempts_of(Store(f"{run}-002"), GENERATE)} == {parent.url(GENERATE), child.url(GENERATE)}
