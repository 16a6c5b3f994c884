"""Pins that lmms-eval itself finds our model, runs a task of videos on it, and comes to the score of `starloop benchmark`."""

import json
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.lmms, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
MAX_TOKENS = 48
TASK = """
task: starloop_shapes
dataset_path: json
dataset_kwargs: {data_files: {test: "FOLDER/rows.jsonl"}}
test_split: test
output_type: generate_until
doc_to_visual: !function shapes.visual
doc_to_text: !function shapes.text
doc_to_target: label
generation_kwargs: {max_new_tokens: 48, temperature: 0, do_sample: false}
process_results: !function shapes.results
metric_list:
  - metric: accuracy
    aggregation: mean
    higher_is_better: true
"""
FUNCTIONS = """
def visual(doc):
    return [doc["video"]]

def text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]

def results(doc, answers):
    return {"accuracy": float(doc["label"] in answers[0])}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows, the task, and what pip writes about our entry point."""
    from worlds import shapes

    folder = tmp_path_factory.mktemp("lmms")
    clips = [clip for clip in shapes.write_world(folder, 1, 8, seed=3) if clip.split == "heldout"]
    rows = [{"video": clip.video, "clip_id": clip.clip_id, "question": clip.question, "label": clip.label.text} for clip in clips]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "starloop_shapes.yaml").write_text(TASK.replace("FOLDER", str(folder)))
    (folder / "shapes.py").write_text(FUNCTIONS)
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["lmms_eval.models"]
    written = folder / "site" / "starloop-0.dist-info"
    written.mkdir(parents=True)
    (written / "METADATA").write_text("Metadata-Version: 2.1\nName: starloop\nVersion: 0\n")
    (written / "entry_points.txt").write_text("[lmms_eval.models]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))
    return folder


@pytest.fixture
def registered(folder: Path) -> Iterator[None]:
    """lmms-eval reads entry points when it is imported."""
    sys.path.insert(0, str(folder / "site"))
    assert [point.value for point in entry_points(group="lmms_eval.models")] == ["jobs.lmms_eval_plugin:manifest"]
    yield
    sys.path.remove(str(folder / "site"))


def test_a_task_has_the_score_of_our_own_benchmark(folder: Path, registered: None, ray_cluster: None) -> None:
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    from engine.store.files import Store
    from engine.store.filesystems import Storage
    from jobs import benchmark as job
    from loops import attempts_of

    options = job.Benchmark(model="tiny", files=str(folder / "rows.jsonl"), prompts="bare", name="shapes", out=str(folder / "out"))
    settings = ['prompts.bare.answer="{question}"', "generate.rationalize=false", f"generate.max_tokens={MAX_TOKENS}"]
    subject, config = job.subject_of(options, Storage(), settings)
    [result] = job.benchmark([job.configured(config, subject, job.chosen(config, options)[0], options.out)], lambda progress: None)
    tasks = TaskManager(include_path=str(folder), include_defaults=False)
    theirs: dict[str, Any] = simple_evaluate(
        model="starloop", model_args="pretrained=tiny", tasks=["starloop_shapes"], task_manager=tasks, device="cpu", batch_size=1
    )
    accuracy = next(value for name, value in theirs["results"]["starloop_shapes"].items() if name.startswith("accuracy,"))
    assert 0 < accuracy < 1
    assert accuracy == result["metrics"]["accuracy"]["value"]
    rows = {json.loads(line)["video"]: json.loads(line)["clip_id"] for line in (folder / "rows.jsonl").read_text().splitlines()}
    answers = {rows[sample["doc"]["video"]]: sample["filtered_resps"][0] for sample in theirs["samples"]["starloop_shapes"]}
    ours = {row["clip_id"]: row["text"] for row in attempts_of(Store(f"{folder}/out/shapes"), "base/evaluate-shapes")}
    assert answers == ours
