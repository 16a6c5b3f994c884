"""Pins `starloop ask`: which model answers, which frames it looks at, what is printed, and one line for what cannot be used."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from command import ROOT, starloop
from engine.presets import load_config
from engine.rows import Window
from engine.run import question as questions
from jobs.commands.complete import complete_run
from lived import write_run
from models.base import Device, FinetuneSpec, ModelSpec
from models.registry import trainee, version
from talks import write_picture
from worlds import shapes

QUESTION = "What is the action in this video?"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rising blue square, and a sinking shape."""
    folder = tmp_path_factory.mktemp("videos")
    shapes.write_world(folder, 2, 0, seed=3)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose cycle 0 is promoted, with an adapter that changes the base."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    write_run(folder)
    student = trainee(ModelSpec(base="tiny"), FinetuneSpec(rank=2, alpha=8.0, dropout=0.0), 0, Device("cpu", "float32"))
    state = {name: value.detach() + 0.05 for name, value in student.module.named_parameters() if value.requires_grad}
    student.save(folder / "cycle-000" / "train" / "model", state)
    return folder


def asked_json(*arguments: str) -> dict[str, Any]:
    done = starloop("ask", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def test_the_answer_comes_first_and_then_what_was_looked_at(videos: Path) -> None:
    done = starloop("ask", "tiny", str(videos / "train-00000.mp4"), QUESTION)
    assert (done.returncode, done.stderr[:26]) == (0, 'warning: the model is "tin')
    lines = done.stdout.splitlines()
    assert lines[0] == "The blue square starts at the bottom and ends at the top, so the action is rising."
    assert lines[2] == "tokens  19"
    assert lines[3] == "frames  8 of the whole video, at 0.10, 0.40, 0.80, 1.10, 1.40, 1.70, 2.10, 2.40 s"
    assert lines[4] == f"model   tiny {version(ModelSpec(base='tiny'))}"
    assert lines[5].startswith("took    decoding ")


def test_a_window_and_the_frames_as_files(videos: Path, tmp_path: Path) -> None:
    """Seconds are those of the file, not of the window; a file holds what the model watched."""
    video, out = str(videos / "train-00000.mp4"), tmp_path / "frames"
    values = asked_json("tiny", video, QUESTION, "--start", "1", "--end", "2", "--frames-out", str(out))
    assert values["times_s"] == [1.0, 1.1, 1.3, 1.4, 1.5, 1.6, 1.8, 1.9]
    assert values["files"] == [str(path) for path in sorted(out.iterdir())]
    assert [Path(name).name for name in values["files"][:2]] == ["000-at-1.000s.png", "001-at-1.100s.png"]
    model = questions.respondent("tiny", load_config(None, []), [], "", "")
    watched = questions.decoded(model, Window(video=video, start_s=1.0, end_s=2.0, etag="")).frames
    with av.open(values["files"][3]) as picture:
        assert np.array_equal(next(picture.decode(video=0)).to_ndarray(format="rgb24"), watched[3])
    again = starloop("ask", "tiny", video, QUESTION, "--frames-out", str(out))
    assert (again.returncode, again.stderr) == (1, f"error: --frames-out {out} is no empty folder; name another one\n")


def test_frames_as_jpeg(videos: Path, tmp_path: Path) -> None:
    values = asked_json(
        "tiny", str(videos / "train-00000.mp4"), QUESTION, "--frames-out", str(tmp_path / "f"), "--frames-as", "jpeg"
    )
    assert {Path(name).read_bytes()[:3] for name in values["files"]} == {b"\xff\xd8\xff"}


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    write_picture(tmp_path / "p.jpg", shapes.scene(5, 1))
    values = asked_json("tiny", str(tmp_path / "p.jpg"), "What is shown?", "--frames-out", str(tmp_path / "f"))
    assert (values["times_s"], len(values["files"])) == ([0.0], 1)


def test_a_run_answers_with_its_promoted_model_as_it_was_trained(run: Path, videos: Path) -> None:
    values = asked_json(str(run), str(videos / "train-00000.mp4"), QUESTION)
    adapter = str(run / "cycle-000" / "train" / "model")
    assert values["model"]["of"] == f"cycle 0 of {run}"
    assert (values["model"]["base"], values["model"]["adapter"]) == ("tiny", adapter)
    assert values["model"]["digest"] == version(ModelSpec(base="tiny", adapter=adapter)) != version(ModelSpec(base="tiny"))
    assert values["prompts"] == "strict"
    assert values["prompt"] == f"{QUESTION}\nExplain step by step what you see, then give the answer."
    named = asked_json("tiny", str(videos / "train-00000.mp4"), QUESTION, "--adapter", adapter)
    assert named["model"]["digest"] == values["model"]["digest"]
    assert named["prompt"] == QUESTION


def test_a_run_without_a_promoted_cycle_answers_with_its_base(tmp_path: Path, videos: Path) -> None:
    write_run(tmp_path / "r", right={"h0": False})
    values = asked_json(str(tmp_path / "r"), str(videos / "train-00000.mp4"), QUESTION)
    assert (values["model"]["adapter"], values["model"]["digest"]) == (None, version(ModelSpec(base="tiny")))
    assert values["model"]["of"] == f"no promoted cycle, so the model before the first one of {tmp_path / 'r'}"


def test_prompt_sets_of_a_file(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[prompts.careful]\nanswer = "{question} Look twice."\nanswer_start = "The blue"\n')
    values = asked_json(
        "tiny", str(videos / "train-00000.mp4"), QUESTION, "--config", str(tmp_path / "c.toml"), "--prompts", "careful"
    )
    assert values["prompt"] == f"{QUESTION} Look twice."
    assert values["answer"].startswith("The blue")
    (tmp_path / "d.toml").write_text((tmp_path / "c.toml").read_text() + '[generate]\nprompts = "careful"\nrationalize = false\n')
    own = asked_json("tiny", str(videos / "train-00000.mp4"), QUESTION, "--config", str(tmp_path / "d.toml"))
    assert (own["prompts"], own["prompt"]) == ("careful", f"{QUESTION} Look twice.")


def test_an_answer_that_is_cut_off_says_so(videos: Path) -> None:
    lines = starloop("ask", "tiny", str(videos / "train-00000.mp4"), QUESTION, "--max-tokens", "3").stdout.splitlines()
    assert lines[0] == "The blue square"
    assert lines[2] == "tokens  3, cut off there: raise --max-tokens"


def test_temperature_draws_by_the_seed(videos: Path) -> None:
    """Hot enough that two seeds differ, and that one seed does not."""
    answers = [
        asked_json("tiny", str(videos / "train-00000.mp4"), QUESTION, "--temperature", "5", "--set", f"run.seed={seed}")["answer"]
        for seed in (1, 1, 2)
    ]
    assert answers[0] == answers[1] != answers[2]


WRONG: list[tuple[Sequence[str], str]] = [
    (("tiny", "no.mp4", QUESTION), "no such video: no.mp4; name a file, or a URI that this machine can read"),
    (("tiny", "{video}", QUESTION, "--start", "50", "--end", "60"), "none of them in 50 to 60 s; correct --start and --end"),
    (("tiny", "{video}", QUESTION, "--start", "2", "--end", "1"), "--start 2 --end 1 is no window: "),
    (("tiny", "{video}", QUESTION, "--start", "-1"), "--start -1 is no window: "),
    (("tiny", "docs/papers.md", QUESTION), "docs/papers.md is not a video file"),
    (("tiny", "{video}", " "), "the question is empty; "),
    (("tiny", "{video}", QUESTION, "--prompts", "mine"), "--prompts mine: known are strict, published; --config names"),
    (("tiny", "{video}", QUESTION, "--frames-as", "gif"), "--frames-as gif is not known; choose one of jpeg, png"),
    (("tiny", "{video}", QUESTION, "--max-tokens", "5000"), "; lower --max-tokens, or shorten it"),
    (("tiny", "{video}", QUESTION, "--gpu"), "; give the process a GPU, or compute on the CPU: "),
    (("{run}/cycle-000/train/model", "{video}", QUESTION), "/cycle-000/train/model is an adapter; name its run, or its base with "),
    (("{run}", "{video}", QUESTION, "--adapter", "a"), "is a run, whose promoted model is asked; name the adapter's base instead"),
    (
        ("{run}", "{video}", QUESTION, "--config", "jobs/configs/pllava-7b.toml"),
        " is a run, which has a configuration of its own; ",
    ),
    (("docs", "{video}", QUESTION), "docs has no config.json; is it a checkpoint's folder?"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[words for _, words in WRONG])
def test_what_cannot_be_used_is_one_line(arguments: Sequence[str], words: str, videos: Path, run: Path) -> None:
    filled = [word.format(video=videos / "train-00000.mp4", run=run) for word in arguments]
    done = starloop("ask", *filled, "--set", "model.allow_tiny=true")
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr)


def test_tiny_warns_about_videos_that_are_not_beside_its_manifest(run: Path, videos: Path, tmp_path: Path) -> None:
    video = str(videos / "train-00000.mp4")
    config = load_config(None, ["model.allow_tiny=true", f"data.manifest={videos}/m.csv"])
    own = questions.Respondent(config=config, spec=ModelSpec(base="tiny"), origin="cycle 0 of r", prompts="", wording="answer")
    assert questions.tiny_on_others(own, video) == ""
    assert questions.tiny_on_others(own, str(tmp_path / "holiday.mp4")).startswith('the model is "tiny", a toy')
    alone = questions.respondent("tiny", load_config(None, []), [], "", "")
    assert questions.tiny_on_others(alone, video).startswith('the model is "tiny", a toy')
    allowed = questions.respondent("tiny", load_config(None, ["model.allow_tiny=true"]), [], "", "")
    assert questions.tiny_on_others(allowed, video) == ""
    other = questions.Respondent(config=config, spec=ModelSpec(base="m"), origin="", prompts="", wording="answer")
    assert questions.tiny_on_others(other, "holiday.mp4") == ""


def test_the_page_has_each_key(videos: Path) -> None:
    page = (ROOT / "docs" / "scripts.md").read_text()
    section = page.partition("## `starloop ask MODEL VIDEO QUESTION --json`")[2].partition("\n## ")[0]
    documented = {key for line in section.splitlines() if line.startswith("| `") for key in re.findall(r"`(\w+)`", line)}
    values = asked_json("tiny", str(videos / "train-00000.mp4"), QUESTION)
    assert {*values, *values["model"], *values["seconds"]} <= documented


def test_runs_are_completed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent.parent)
    assert complete_run(None, f"{run.parent.name}/m") == [f"{run.parent.name}/mine"]  # type: ignore[arg-type]


def test_no_ray_is_imported(videos: Path) -> None:
    """An answer takes the model's own time: Ray would take seconds more, and a cluster that is away would not matter."""
    code = (
        "import sys; sys.argv = ['starloop', 'ask', 'tiny', sys.argv[1], 'What?', '--max-tokens', '1'];"
        "from jobs.commands.app import app; import jobs.cli\n"
        "try: app()\nfinally: assert 'ray' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(videos / "train-00000.mp4")], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
