"""Pins what is checked before a run's folder is claimed: what cannot work is one line, and nothing large is fetched for it."""

import json
from pathlib import Path

import pytest

from engine.presets import load_config, with_settings
from engine.run import checks
from engine.run.checks import check_manifest, claim
from engine.run.work import run_config
from engine.store.files import Store
from models.base import ModelSpec

TINY = "model.allow_tiny=true"


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    path = tmp_path / "clips.csv"
    path.write_text("video,label,split\na.mp4,rising,train\nb.mp4,rising,heldout\n")
    return f"data.manifest={path}"


def test_an_engine_that_is_not_there_is_refused(manifest: str) -> None:
    with pytest.raises(ValueError, match=r"generate.engine = 'warp': known are builtin"):
        checks.check_inputs(load_config(None, [manifest, "generate.engine=warp"]), "")


@pytest.mark.parametrize(("base", "opened"), [("tiny", ["tiny"]), ("owner/name", []), ("s3://bucket/model", [])])
def test_the_driver_opens_only_weights_that_are_here(
    base: str, opened: list[str], manifest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def check(spec: ModelSpec) -> None:
        checked.append(spec.base)

    monkeypatch.setattr(checks, "check", check)
    monkeypatch.setattr(checks, "afford", lambda config, trains: [])
    checks.check_inputs(load_config(None, [manifest, f"model.base={base}", TINY]), "")
    assert checked == opened


@pytest.mark.parametrize("until", ["", "base/evaluate", "cycle-000/evaluate", "cycle-001/generate", "cycle-001/train"])
def test_what_follows_from_an_evaluation_needs_held_out_clips(until: str, tmp_path: Path) -> None:
    path = tmp_path / "clips.csv"
    path.write_text("video,label\na.mp4,rising\n")
    config = load_config(None, [f"data.manifest={path}", TINY])
    with pytest.raises(ValueError, match="no clips in split 'heldout'"):
        checks.check_inputs(config, until)
    checks.check_inputs(config, "cycle-000/train")


SERVER = ["generate.engine=openai", "generate.openai.url=http://h/v1", "generate.openai.model=m"]
NEVER, FIXED = "generate.grounding=0", "select.min_grounding=2.5"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["mixture.direct=0"], "^mixture.direct = 0 leaves the last finetune nothing"),
        (["mixture.episodes=1", "train.augment=published"], r"^train.augment = \"published\" has ImageNet's means in a finetune"),
        (["select.min_grounding=fdr 0.0"], r"^select.min_grounding = 'fdr 0.0': write .* above 0 and below 1"),
        ([NEVER, FIXED], "^select.min_grounding = 2.5 rejects nothing, since with generate.grounding = 0 no answer"),
        ([NEVER, "select.min_grounding=fdr 0.1"], "^select.min_grounding = 'fdr 0.1' rejects nothing"),
        ([*SERVER, FIXED, "loop.max_cycles=1"], "since with generate.engine = 'openai' no answer has a grounding"),
        ([FIXED, "generate.piece_clips=2"], "^select.min_grounding = 2.5 rejects nothing, since a piece of 2 clips has not the 2"),
        (["verify.judge.sample=0.1"], "^verify.judge.sample is of a judge that is never asked; add --set verify.stages"),
    ],
)
def test_keys_that_contradict_each_other_are_refused_of_a_run_that_begins(
    settings: list[str], message: str, manifest: str, tmp_path: Path
) -> None:
    """A run that an earlier version began with them is read, and goes on."""
    config = load_config(None, [manifest, TINY, *settings])
    with pytest.raises(ValueError, match=message):
        checks.check_inputs(config, "")
    store = Store(str(tmp_path / "run"))
    claim(store, config)
    assert claim(store, run_config(store)) == config == with_settings(run_config(store), [])


def test_a_parser_is_of_the_preset_strict(manifest: str) -> None:
    with pytest.raises(ValueError, match=r"^verify.parser is of the preset strict, and verify.preset is paper; leave it out"):
        checks.refuse_contradictions(load_config(None, [manifest, TINY, "verify.preset=paper", "verify.parser=spacy:x"]))


@pytest.mark.parametrize(
    "settings",
    [
        [NEVER],
        [NEVER, "select.min_grounding=off"],
        [*SERVER, FIXED],
        ["mixture.direct=0", "loop.final_direct_only=false"],
        ["mixture.episodes=1"],
    ],
)
def test_keys_that_contradict_none_are_not_refused(settings: list[str]) -> None:
    """The default threshold where nothing is scored; one that the run's own models from cycle 1 on have answers for."""
    checks.refuse_contradictions(load_config(None, settings))


def test_the_toy_is_refused_unless_it_is_allowed(manifest: str) -> None:
    """On real videos it fills in a pattern, and what it writes is kept."""
    with pytest.raises(
        ValueError, match=r'^model.base is "tiny", a toy .* name a video LLM, .* or .* --set model.allow_tiny=true$'
    ):
        checks.check_inputs(load_config(None, [manifest]), "")
    checks.check_inputs(load_config(None, [manifest, TINY]), "")


def test_an_evaluation_set_that_cannot_be_read_is_named(manifest: str) -> None:
    sets = "evaluate.sets=[{name='heldout'}, {name='kitchen', files='gone.csv'}]"
    with pytest.raises(ValueError, match=r"evaluation set 'kitchen' \(evaluate.sets\): no such file: gone.csv"):
        checks.check_inputs(load_config(None, [manifest, sets]), "")


def a_free_answer(tmp_path: Path, split: str) -> list[str]:
    label = {"kind": "reference", "text": "a man rides a horse"}
    rows = [{"video": f"{split}.mp4", "label": label, "split": split}]
    rows += [{"video": f"{name}.mp4", "label": "riding", "split": name} for name in ("train", "heldout") if name != split]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [f"data.manifest={tmp_path / 'm.jsonl'}"]


def test_free_answers_are_neither_trained_on_nor_held_out_without_somebody_who_decides(tmp_path: Path) -> None:
    train = a_free_answer(tmp_path, "train")
    with pytest.raises(ValueError, match=r"clip 'train': no rule decides about a label of kind reference, .*; name a judge, "):
        check_manifest(load_config(None, train), "")
    judge = ["verify.judge.url=http://h:1/v1", "verify.judge.model=m", 'verify.stages=["rules", "judge"]']
    check_manifest(load_config(None, [*train, *judge]), "")
    check_manifest(load_config(None, [*train, "select.source=template"]), "")
    heldout = a_free_answer(tmp_path, "heldout")
    with pytest.raises(
        ValueError, match=r"clip 'heldout' is held out, and no rule decides about a label of kind reference; measure"
    ):
        check_manifest(load_config(None, heldout), "")
    check_manifest(load_config(None, [*heldout, "evaluate.sets=[{name='heldout', metrics=['rouge_l']}]"]), "")
