"""Pins convert and export as a user runs them, from and to folders and an object store, and what they say where it cannot be."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from transformers import LlavaForConditionalGeneration

from command import starloop
from engine.store.files import Store
from engine.store.filesystems import Storage
from engine.store.weights import local, publish
from jobs import convert as jobs_convert
from llavas import stock_tensors, write_released, write_stock
from models.base import Device, FinetuneSpec, ModelSpec
from models.pllava.convert import export
from models.registry import trainee
from object_store import BUCKET

if TYPE_CHECKING:
    from object_store import Swift


def test_released_to_stock_and_back(tmp_path: Path) -> None:
    write_released(tmp_path / "released")
    done = starloop("convert", "released", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "adapter: LoRA on 6 weights, alpha 32" in done.stdout
    assert json.loads((tmp_path / "out" / "adapter" / "adapter_config.json").read_text())["lora_alpha"] == 32
    done = starloop("export", "out/base", "--adapter", "out/adapter", "--alpha", "4", "--out", "stock", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    _, report = LlavaForConditionalGeneration.from_pretrained(tmp_path / "stock", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    again = starloop("export", "out/base", "--out", "stock", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (1, "error: stock is not empty; name another folder\n")


def test_from_and_to_an_object_store(swift: "Swift", tmp_path: Path) -> None:
    write_released(tmp_path / "released")
    swift.filesystem().put(str(tmp_path / "released"), f"{BUCKET}/released", recursive=True)
    endpoint = ["--set", f"storage.s3.endpoint_url={swift.endpoint}"]
    for arguments in (
        ["convert", f"s3://{BUCKET}/released", "--out", f"s3://{BUCKET}/converted"],
        [
            "export",
            f"s3://{BUCKET}/converted/base",
            "--adapter",
            f"s3://{BUCKET}/converted/adapter",
            "--out",
            str(tmp_path / "stock"),
        ],
    ):
        done = starloop(*arguments, *endpoint)
        assert done.returncode == 0, done.stderr
    export(ModelSpec(base=str(tmp_path / "released")), tmp_path / "direct", lambda line: None)
    tensors, reference = stock_tensors(tmp_path / "stock"), stock_tensors(tmp_path / "direct")
    assert tensors.keys() == reference.keys()
    assert all(tensors[name].equal(reference[name]) for name in tensors)
    done = starloop("convert", f"s3://{BUCKET}/released", "--out", f"s3://{BUCKET}/converted", *endpoint)
    assert done.stderr == f"error: s3://{BUCKET}/converted is not empty; name another place\n"


def test_cards_and_adapters_name_what_the_user_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: other URIs than those of a server are its memory's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_released(tmp_path / "released")
    publish(tmp_path / "released", "memory://named/released", Storage())
    jobs_convert.convert("memory://named/released", "memory://named/out", [])
    written = json.loads(Store("memory://named/out/adapter").read("adapter_config.json") or b"")
    assert written["base_model_name_or_path"] == "memory://named/out/base"
    jobs_convert.export("memory://named/out/base", str(tmp_path / "stock"), "memory://named/out/adapter", 4.0, [])
    card = (tmp_path / "stock" / "README.md").read_text()
    assert "| base | `memory://named/out/base` |" in card
    assert "| adapter | `memory://named/out/adapter` |" in card
    assert ("# base, finetuned" in card, str(tmp_path) in card) == (True, False)
    spec = local(ModelSpec(base="memory://named/out/base"), Storage())
    student = trainee(spec, FinetuneSpec(rank=4, alpha=4.0, dropout=0.0), 0, Device("cpu", "float32"))
    trained = {name: value for name, value in student.module.named_parameters() if value.requires_grad}
    student.save(tmp_path / "adapter", trained)
    saved = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == "memory://named/out/base"


def test_a_hub_id_is_fetched_as_the_hub_s_own_library_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, from its cache, laid out as the library lays it out."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))  # HF_HOME is read when it is imported
    cached = tmp_path / "hub" / "models--owner--name"
    write_released(cached / "snapshots" / "0123abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0123abc")
    done = starloop("convert", "owner/name", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "adapter").is_dir()
    done = starloop("convert", "owner/other", "--out", "other", cwd=tmp_path)
    assert done.stderr.startswith("error: no folder 'owner/other' is here, and the hub does not give it: ")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "nowhere/at/all", "--out", "o"], "error: no checkpoint folder 'nowhere/at/all'"),
        (["convert", "empty", "--out", "o"], "error: empty has no config.json; is it a checkpoint's folder?"),
        (["export", "stock", "--adapter", "empty", "--out", "o"], "error: empty has no adapter_config.json"),
        (["export", "stock", "--adapter", "gone", "--out", "o"], "error: no checkpoint folder 'gone'"),
        (["alpha-sweep", "empty"], "error: no run at empty: it has no config.json"),
        (["alpha-sweep", "empty", "--alpha", "-1"], "error: --alpha -1: an alpha is a number of at least 0"),
        (["export", "stock", "--alpha", "nan", "--out", "o"], "error: a LoRA alpha of nan is not a number of at least 0"),
        (
            ["export", "stock", "--out", "empty/../stock/config.json"],
            "error: cannot write empty/../stock/config.json: Not a directory",
        ),
        (["export", "stock", "--out", "/proc/o"], "error: cannot write /proc/o"),
        (["convert", "stock", "--out", "stock"], "error: stock is not empty; name another folder"),
        (["convert", "stock", "--out", "frob://x/y"], "error: "),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    write_stock(tmp_path / "stock")
    (tmp_path / "empty").mkdir()
    done = starloop(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    notes = "stock has no chat template; Vicuna's is used"
    assert len([line for line in done.stderr.strip().splitlines() if line != notes]) == 1
    assert not (tmp_path / "o").exists()
