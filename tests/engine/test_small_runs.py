"""Pins runs that used to end in a dead end: nothing direct to train on, a setting that has to change, a second evaluation set."""

import json
from pathlib import Path

import pytest

from command import options, starloop
from engine.ingest.pieces import span_of
from engine.presets import load_config
from engine.run import loop
from engine.run.status import status
from engine.run.work import Progress
from engine.store.files import Store
from loops import Finished, settings
from worlds.shapes import KNOWN_NAMES

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def a_manifest(folder: Path, world: Path, split_names: dict[str, tuple[bool, int]]) -> Path:
    """A part of the world's clips: of each split so many clips with names that the base knows, or does not know."""
    rows = [json.loads(line) for line in world.read_text().splitlines()]
    lines = []
    for split, (known, count) in split_names.items():
        chosen = [row for row in rows if row["split"] == split and (row["label"] in KNOWN_NAMES) is known][-count:]
        lines += [row | {"video": str(world.parent / row["video"])} for row in chosen]
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, world: Path, ray_cluster: None) -> Path:
    """A run whose base keeps nothing direct and learns nothing, so that its last finetune has no example."""
    folder = tmp_path_factory.mktemp("small")
    manifest = a_manifest(folder, world, {"train": (False, 6), "heldout": (True, 3)})
    arguments = [*settings(manifest, folder / "run"), "train.lr=1e-9", "train.epochs=1.0", "generate.piece_clips=6"]
    done = starloop("selftrain", *options(arguments), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_a_last_finetune_without_examples_is_skipped_and_the_run_ends_with_the_reason(small: Path) -> None:
    summary = json.loads((small / "summary.json").read_text())
    first, last = summary["cycles"]
    assert (first["direct_kept"], first["heldout_accuracy"]) == (0, summary["base_accuracy"])
    assert first["rationalized_kept"] >= 4
    assert (last["examples"], last["heldout_accuracy"]) == (0, None)
    assert (summary["best_cycle"], summary["best_model"], summary["stopped_because"]) == (-1, None, "no examples")
    assert summary["note"] == (
        "cycle 1's finetune on direct attempts alone was skipped: of 6 clips none has a kept attempt to train on, "
        "so the run ends on its best model so far"
    )
    assert summary["note"].replace("'", "&#39;") in (small / "report.html").read_text()
    assert not (small / "cycle-001" / "train").exists()
    assert status(Store(str(small))).next_step is None


def test_the_same_command_again_has_nothing_to_do(small: Path) -> None:
    done = starloop(
        "selftrain",
        *options(
            [*settings(small.parent / "manifest.jsonl", small), "train.lr=1e-9", "train.epochs=1.0", "generate.piece_clips=2"]
        ),
        cwd=small.parent,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert "was skipped: of 6 clips none has a kept attempt" in done.stdout


def test_pieces_that_are_written_keep_their_size_and_the_rest_is_cut_anew(
    undisturbed: Finished, tmp_path: Path, ray_cluster: None
) -> None:
    run = undisturbed.copy(tmp_path / "run", without=["cycle-001"])
    folder = run.folder / "cycle-000" / "generate"
    for step in ("cycle-000/evaluate", "cycle-000/train", "cycle-000/select"):
        (run.folder / step / "seal.json").unlink()
    (folder / "seal.json").unlink()
    pieces = sorted((folder / "pieces").iterdir())
    assert len(pieces) == 6
    written = {piece.name: piece.read_bytes() for piece in pieces[1:4]}
    for piece in (pieces[0], *pieces[4:]):
        piece.unlink()
    config = run.config.model_copy(update={"generate": run.config.generate.model_copy(update={"piece_clips": 4})})
    reports: list[Progress] = []
    loop.run(config, reports.append, until="cycle-000/generate")
    spans = [span for name in sorted(path.name for path in (folder / "pieces").iterdir()) if (span := span_of(name))]
    assert [(span.start, span.count) for span in spans] == [
        (0, 4), (4, 4), (8, 2), (10, 10), (20, 10), (30, 10), (40, 4), (44, 4), (48, 4), (52, 4), (56, 4),
    ]  # fmt: skip
    assert {name: (folder / "pieces" / name).read_bytes() for name in written} == written
    assert next(report.before for report in reports if report.unit == "clips") == 30
    assert json.loads((run.folder / "config.json").read_text())["generate"]["piece_clips"] == 4
    before = json.loads((undisturbed.folder / "cycle-000" / "generate" / "seal.json").read_text())["counts"]
    assert json.loads((folder / "seal.json").read_text())["counts"] == before


def test_another_evaluation_set_is_evaluated_beside_the_held_out_split(
    undisturbed: Finished, world: Path, tmp_path: Path, ray_cluster: None
) -> None:
    files = a_manifest(tmp_path, world, {"heldout": (True, 4), "train": (False, 2)})
    sets = f"[{{name='heldout'}}, {{name='mine', files='{files}', metrics=['accuracy_by_label', 'accuracy']}}]"
    config = load_config(None, [*settings(world, tmp_path / "run"), f"evaluate.sets={sets}", "generate.piece_clips=10"])
    reported: set[str] = set()

    def watch(progress: Progress) -> None:
        reported.update([progress.step] if (tmp_path / "run" / "report.html").exists() else [])

    summary = loop.run(config, watch, until="base/evaluate-mine")
    assert reported == {"base/evaluate-mine"}, "a report is written after each evaluation"
    assert summary["base_accuracy"] == undisturbed.summary["base_accuracy"]
    mine = summary["sets"]["mine"]
    assert (mine["metric"], mine["clips"]) == ("accuracy_by_label", 6)
    assert mine["metrics"]["base"]["accuracy"] == pytest.approx(4 / 6)
    assert 0 < mine["base"] < 1
    files.write_text(files.read_text() + files.read_text().splitlines()[0].replace('"label"', '"other"') + "\n")
    with pytest.raises(ValueError, match=r"manifest.jsonl has changed since .* read it; restore it or choose another run.uri"):
        loop.run(config, lambda progress: None)


def test_a_run_in_a_published_chat_with_prompts_of_its_own(tmp_path: Path, world: Path, ray_cluster: None) -> None:
    """Chat, prompt set, stop texts and frames by number hold in each step. The base does not know this chat: labels train it."""
    manifest = a_manifest(tmp_path, world, {"train": (True, 6), "heldout": (True, 3)})
    mine = {"system": "You watch shapes.", "answer": "{question}\nBe brief.", "answer_start": "The"}
    arguments = [
        *settings(manifest, tmp_path / "run"),
        "model.chat=pllava-vicuna",
        "model.frames=published",
        "generate.prompts=mine",
        "generate.rationalize=false",
        "generate.stop=['.']",
        "select.source=template",
        "loop.max_cycles=1",
        *(f"prompts.mine.{key}={json.dumps(value)}" for key, value in mine.items()),
    ]
    done = starloop("selftrain", *options(arguments), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    store = Store(str(tmp_path / "run"))
    assert (tmp_path / "run/cycle-000/train/model/adapter_model.safetensors").is_file()
    for step in ("base/evaluate", "cycle-000/evaluate"):
        rows = [row for name in store.names(f"{step}/pieces") for row in store.read_table(f"{step}/pieces/{name}").to_pylist()]
        assert len(rows) == 3
        for row in rows:
            assert row["text"].startswith("The"), row
            assert "." not in row["text"], row
            assert row["prompt"].endswith("\nBe brief.")
