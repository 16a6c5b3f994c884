"""Pins the cards of a run and of its models: a hub's reader takes them, no split is missing, the same seals make the same bytes."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard, ModelCard

from engine.config import RunConfig
from engine.export.model_card import model_card
from engine.export.run_card import cards
from engine.run.collected import note_collected
from engine.run.plan import name_of
from engine.run.refresh import refresh
from engine.run.work import pieces_of, read_seals
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.weights import version
from kept_runs import a_run, answers_to, clips_of

pytestmark = pytest.mark.waits


def a_finished(folder: Path) -> tuple[Store, RunConfig]:
    store, clips = Store(str(folder / "run")), clips_of(6)
    return store, a_run(store, clips, answers_to(clips))


def test_the_card_of_a_run_names_all_tables_and_splits(tmp_path: Path) -> None:
    store, config = a_finished(tmp_path)
    for path, data in cards(config, read_seals(store), store.url()).items():
        store.write(path, data)
    configs = DatasetCard.load(tmp_path / "run" / "README.md").data.to_dict()["configs"]
    rows = {
        config["config_name"]: {
            entry["split"]: sum(pq.read_metadata(path).num_rows for path in (tmp_path / "run").glob(entry["path"]))
            for entry in config["data_files"]
        }
        for config in configs
    }
    assert rows == {
        "examples-000": {"train": 4},
        "examples-001": {"train": 1},  # and no preferences: those tables have no row
        "clips": {"train": 6, "heldout": 2},
        "attempts-base": {"heldout": 2},
        "attempts-000": {"train": 10, "heldout": 2},
        "attempts-001": {"train": 10, "heldout": 2},
    }
    assert [config["config_name"] for config in configs if config.get("default")] == ["examples-000"]
    [clips] = DatasetCard.load(tmp_path / "run" / "ingest" / "README.md").data.to_dict()["configs"]
    assert clips["data_files"] == [{"split": "train", "path": "train/*.parquet"}, {"split": "heldout", "path": "heldout/*.parquet"}]


def test_what_has_the_suffix_of_tables_in_a_step_that_asks_is_data(tmp_path: Path) -> None:
    a_finished(tmp_path)
    schemas = {tuple(pq.read_schema(path).names) for path in (tmp_path / "run").glob("cycle-000/generate/**/*.parquet")}
    assert len(schemas) == 1
    assert "text" in next(iter(schemas))


def test_a_model_has_a_card_with_what_it_reached(tmp_path: Path) -> None:
    store, config = a_finished(tmp_path)
    refresh(store, config, read_seals(store))
    promoted, other = (ModelCard.load(tmp_path / "run" / name_of(cycle, "train") / "model" / "README.md") for cycle in (0, 1))
    [result] = promoted.data.eval_results or []
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("accuracy", 0.9, "heldout, 2 clips")
    assert (promoted.data.library_name, promoted.data.model_name, promoted.data.base_model) == ("peft", "run-cycle-000", None)
    assert "It is the promoted model of its run." in promoted.content
    assert "It is not the promoted model of its run, which is that of cycle 0." in other.content
    assert "| cycle 0 | 0.900 | 0.800 to 1.000 |" in promoted.content
    assert "the loss of the last was\n0.5000." in promoted.content
    assert str(tmp_path) not in promoted.content


def test_a_base_of_the_hub_is_named_as_hubs_do(tmp_path: Path) -> None:
    store, config = a_finished(tmp_path)
    of_a_hub = config.model_copy(update={"model": config.model.model_copy(update={"base": "Qwen/Qwen3-VL-8B-Instruct"})})
    data = ModelCard(model_card(of_a_hub, read_seals(store), 0, store.url()).decode()).data
    assert (data.base_model, data.to_dict()["base_model_relation"]) == ("Qwen/Qwen3-VL-8B-Instruct", "adapter")


def test_cards_are_written_once_and_not_into_what_gc_has_deleted(tmp_path: Path) -> None:
    store, config = a_finished(tmp_path)
    model = f"{name_of(0, 'train')}/model"
    before = version(store.url(model), Storage())
    refresh(store, config, read_seals(store))
    assert version(store.url(model), Storage()) == before, "a card is no part of the model that is fetched"
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("README.md")}
    assert len(times) == 4
    trained = name_of(1, "train")
    note_collected(store, trained, [f"{trained}/model"])
    store.delete(f"{trained}/model")
    refresh(store, config, read_seals(store))
    left = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("README.md")}
    assert left.items() < times.items()
    evaluated = name_of(1, "evaluate")
    note_collected(store, evaluated, [pieces_of(evaluated)])
    refresh(store, config, read_seals(store))
    card = DatasetCard.load(tmp_path / "run" / "README.md")
    [answers] = [own["data_files"] for own in card.data.to_dict()["configs"] if own["config_name"] == "attempts-001"]
    assert answers == [{"split": "train", "path": "cycle-001/generate/pieces/*.parquet"}]
    assert "Answers that were deleted by `starloop gc`: cycle-001/evaluate/pieces." in card.content
    assert not store.names(f"{trained}/model")
