"""Pins `starloop plan`: it needs no video, no weights and no Ray; a mistake is one line; a run stands beside its plan."""

import json
from pathlib import Path
from typing import Any

import pytest

from command import options, starloop
from loops import SETTINGS, Finished

DEMO = "jobs/configs/demo.toml"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's 300 and 200 clips, of videos that do not exist; ten of them have a window of 6 s."""
    path = tmp_path_factory.mktemp("plan") / "manifest.jsonl"
    rows = [{"video": f"{number}.mp4", "label": "rising", "split": "train" if number < 300 else "heldout"} for number in range(500)]
    windows = [row | {"start_s": 1.0, "end_s": 7.0} for row in rows[:10]]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*windows, *rows[10:]]))
    return path


def planned(*arguments: str) -> dict[str, Any]:
    done = starloop("plan", *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def test_a_gpu_with_less_memory_than_a_process_takes_is_told() -> None:
    told = starloop("plan", "jobs/configs/pllava-7b.toml", "--clips", "1e3", "--gpu", "A100-40GB").stdout
    assert "a run would be refused: generate: 69.8 GiB a GPU" in told
    assert "and cluster.gpu_memory_gib is 39.5" in told
    assert "refused" not in starloop("plan", "jobs/configs/pllava-7b.toml", "--clips", "1e3", "--gpu", "H100").stdout


def test_the_demo_is_planned_by_shipped_measurements(manifest: Path, tmp_path: Path) -> None:
    value = planned(DEMO, *options([f"data.manifest={manifest}", f"run.uri={tmp_path / 'r'}"]), "--assume", "clip_s=2")
    assert value["workload"]["clips"] == {"train": 300, "heldout": 200}
    assert value["hours"]["expected"] == pytest.approx((10 * 6 + 490 * 2) / 3600, abs=0.001)
    steps = {step["step"]: step for step in value["steps"]}
    assert steps["cycle-000/generate"]["questions_at_most"] == 600
    assert steps["cycle-000/generate"]["questions"]["expected"] == 300 + 180
    assert steps["cycle-000/generate"]["pieces"] == 12
    assert steps["cycle-000/generate"]["basis"] == "shipped measurement: the demo on two CPU cores"
    assert [name for name, step in steps.items() if not step["is_sure"]] == [name for name in steps if name.startswith("cycle-002")]
    assert value["eta_s"]["low"] < 300 < value["eta_s"]["high"], "the demo takes some three minutes"
    assert value["gpu_hours"]["high"] == 0
    assert not (tmp_path / "r").exists(), "nothing is written"


def test_the_bytes_of_files_on_this_machine_are_known(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.mp4").write_bytes(b"x" * 1000)
    rows = "".join(f"{number}.mp4,x,{'train' if number < 15 else 'heldout'}\n" for number in range(20))
    (tmp_path / "m.csv").write_text(f"video,label,split\n{rows}")
    sets = options([f"data.manifest={tmp_path}/m.csv", f"run.uri={tmp_path}/r", "model.allow_tiny=true"])
    evaluated = next(step for step in planned(*sets)["steps"] if step["step"] == "base/evaluate")
    assert evaluated["bytes_read"] == {"low": 5000.0, "expected": 5000.0, "high": 5000.0}
    (tmp_path / "0.mp4").unlink()
    evaluated = next(step for step in planned(*sets)["steps"] if step["step"] == "base/evaluate")
    assert evaluated["bytes_read"]["high"] > 5000, "one size is not known"


def test_a_published_recipe_is_planned_without_the_hub(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('currency = "EUR"\ngb_month = 0.02\n[gpu_hour]\nH100 = 2.5\n')
    done = starloop("plan", "jobs/configs/pllava-7b.toml", "--clips", "100000000", "--gpu", "H100", "--prices", str(prices))
    assert (done.returncode, done.stderr) == (0, "")
    assert "90,000,000 train, 10,000,000 heldout  (--clips: on paper" in done.stdout
    assert "12,208 parts, by 2,176 at 12, 19,666 at 122, 194,407 at 1,221" in " ".join(done.stdout.split())
    assert "EUR: GPUs while they work, H100 at 2.5 an hour" in done.stdout
    assert "no price: requests that write" in done.stdout


def test_without_a_table_no_price_is_known() -> None:
    assert "no price is known: --prices FILE" in starloop("plan", DEMO, "--clips", "1000").stdout


def test_bad_rows_are_counted(manifest: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(manifest.read_text() + '{"video": "x.mp4", "label": "", "split": "train"}\n')
    value = planned(DEMO, *options([f"data.manifest={bad}", f"run.uri={tmp_path / 'r'}"]))
    assert value["workload"]["clips"]["train"] == 300
    assert "1 of 501 rows of the manifest are bad: a run stops at them; `starloop ingest` names them" in value["notes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no manifest: set data.manifest=FILE, or plan on paper with --clips NUMBER"),
        (["--set", "data.manifest=gone.csv"], "gone.csv"),
        (["--clips", "0"], "--clips 0: give a number of clips above 0"),
        (["--clips", "9", "--gpu", "B300"], "--gpu B300: known are A100-40GB, A100-80GB, H100, H200"),
        (["--clips", "9", "--prices", "gone.toml"], "--prices gone.toml: no such file; jobs/prices.toml is a template"),
        (["--clips", "9", "--prices", "{wrong}"], "no key 'gpu_hourly'; did you mean 'gpu_hour'?"),
        (["--clips", "9", "--set", "cluster.generator_gpus=1", "--prices", "{other}"], "no GPU 'A100-80GB' in [gpu_hour], only T4"),
        (
            ["--clips", "9", "--assume", "direct=1"],
            "--assume direct=1: there is no assumption 'direct'; did you mean 'direct_share'?",
        ),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("gpu_hourly = 1")
    (tmp_path / "other.toml").write_text("[gpu_hour]\nT4 = 0.5")
    files = {name: str(tmp_path / f"{name}.toml") for name in ("wrong", "other")}
    done = starloop("plan", *(argument.format(**files) for argument in arguments), cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_the_template_of_prices_has_no_numbers(tmp_path: Path) -> None:
    assert planned(DEMO, "--clips", "1000", "--prices", "jobs/prices.toml")["costs"][0]["amount"] is None


def test_a_run_stands_beside_its_plan_and_is_planned_by_itself(undisturbed: Finished, tmp_path: Path) -> None:
    half = undisturbed.copy(tmp_path / "half", without=["cycle-001/evaluate"])
    config = tmp_path / "c.toml"
    settings = options([*SETTINGS, f"data.manifest={undisturbed.config.data.manifest}", f"run.uri={half.folder}"])
    config.write_text("")
    value = planned(str(config), *settings)
    assert value["remaining"] == ["cycle-001/evaluate"]
    (left,) = (step for step in value["steps"] if step["step"] == "cycle-001/evaluate")
    assert left["basis"] == "measured in this run: base/evaluate, cycle-000/evaluate"
    assert value["questions"]["expected"] == 20
    beside = {row["step"]: row for row in value["beside"]}
    generated = beside["cycle-000/generate"]
    facts = undisturbed.summary["cycles"][0]
    assert generated["actual_questions"] == 57 + 57 - facts["direct_kept"], "three of sixty clips have no usable video"
    assert generated["actual_s"] == pytest.approx(facts["seconds"]["generate"], abs=0.1)
    assert generated["actual_bytes"] > 6 * 7_000
    assert "measured: cycle-000/generate" in value["assumed"]["direct_share"]["source"]
    done = starloop("plan", str(config), *settings, *options(["generate.max_tokens=47"]))
    assert "was begun with another configuration (generate.max_tokens: 48 -> 47)" in done.stderr
