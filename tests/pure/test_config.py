"""Pins what a user's configuration may say, and the one line that they get when it is wrong."""

from pathlib import Path

import pytest

from engine.config import BUILT_IN_PROMPTS, Cluster, Limits, RunConfig, Section
from engine.generate.prompts import BY_NAME
from engine.presets import load_config
from engine.run.plan import Step
from engine.run.work import Work
from engine.store.files import Store
from jobs.submit import Submission, submit
from models.base import ChatSpec, Device


def test_presets_are_defaults_that_a_file_overrides(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('preset = "paper"\n[generate]\nmax_tokens = 77\n')
    config = load_config(path, ["loop.max_cycles=5", "run.uri=runs/x"])
    assert (config.verify.preset, config.generate.prompts, config.generate.temperature) == ("paper", "published", 0.2)
    assert (config.generate.max_tokens, config.loop.max_cycles, config.run.uri) == (77, 5, "runs/x")


def test_a_submitted_configuration_is_read_from_the_folder_that_is_sent(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("[train]\nlr = -1\n")
    with pytest.raises(ValueError, match=r"train\.lr = -1"):
        submit(Submission(config=Path("run.toml"), address="http://127.0.0.1:9", settings=[], working_dir=tmp_path))
    for outside in (tmp_path / "run.toml", Path("../run.toml")):
        with pytest.raises(ValueError, match=r"run\.toml is not a path inside .*; only that folder is sent"):
            submit(Submission(config=outside, address="http://127.0.0.1:9", settings=[], working_dir=tmp_path))


def test_the_published_presets_differ_where_paper_and_code_do() -> None:
    paper, code = (load_config(None, [f"preset={name}"]) for name in ("paper", "code"))
    assert (paper.loop.max_cycles, code.loop.max_cycles) == (3, 10)
    assert (paper.loop.final_direct_only, code.loop.final_direct_only) == (True, False)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.learning_rate=1", "no key 'train.learning_rate'"),
        ("trian.lr=1", "did you mean 'train'"),
        ("train.lr=fast", "train.lr = 'fast'"),
        ("train.batch_rows=6", "batch_rows 6 is not a multiple of micro_batch_rows x num_workers = 4"),
        ("verify.preset=lenient", "verify.preset = 'lenient'"),
        ("train.lr=inf", "train.lr = inf"),
        ("run.uri=", "run.uri = ''"),
        ("nonsense", "expected section.key=value"),
        ("verify.stages=rules", "verify.stages = 'rules': is no list; write one, such as --set 'verify.stages=[...]'"),
        ("train=5", "train = 5: is a section, not a value; set one of its keys, train.NAME"),
        ('generate.openai.body={"a":1}', "generate.openai.body = '{\"a\":1}': is no table; write one as TOML does, {name = 1}"),
        ("generate.engine=foo", "generate.engine = 'foo': known are builtin, openai, vllm"),
        (
            "generate.prompts=mine",
            "generate.prompts = 'mine': known are strict, published; add [prompts.mine] or choose one of them",
        ),
        ("prompts.mine.answr=x", "no key 'prompts.mine.answr'; did you mean 'prompts.mine.answer'?"),
        ("prompts.mine.answer=What?", "prompts.mine.answer = 'What?': mark the place of the question with {question}"),
        ("prompts.mine.rationalize={question}", "mark the place of the hint with {label}"),
        ("prompts.mine.opening=Watch this:", "mark the place of the video with {video}, once"),
        ("prompts.mine.answer_start='It is '", "prompts.mine.answer_start = 'It is ': leave out the blank at its end"),
        ("prompts.strict.system=Watch.", "[prompts.strict] has the name of a built-in prompt set; choose another name"),
        ("generate.stop=['']", "an empty text stands everywhere; leave it out"),
        ("model.frames=all", "model.frames = 'all'"),
        ("run.uri.x=1", "run.uri"),
    ],
)
def test_a_wrong_setting_is_one_line(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        load_config(None, [setting])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model.frame_tolerance_s=-1"], "model.frame_tolerance_s"),
        (["model.frame_tolerance_s=0.5", "model.frames=published"], "frame_tolerance_s = 0.5 shows other ones"),
        (["model.frame_tolerance_s=0.5", "episodes.frames=published"], "frame_tolerance_s = 0.5 shows other ones"),
        (["episodes.frames=published", "model.frames=published"], "are EILEV's and PLLaVA's; leave one of the two out"),
        (['episodes.sentence="it does"'], "mark the place of the phrase with {phrase}, once"),
        (["model.frame_tolerance_s=0.5", "generate.decoder=decord"], "set generate.decoder = 'pyav'"),
    ],
)
def test_a_tolerance_that_cannot_be(settings: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_config(None, settings)


def test_a_missing_and_a_broken_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such config"):
        load_config(tmp_path / "none.toml", [])
    with pytest.raises(ValueError, match="cannot be read as a config: Is a directory"):
        load_config(tmp_path, [])
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not TOML"):
        load_config(tmp_path / "binary.toml", [])
    (tmp_path / "bad.toml").write_text("[run\n")
    with pytest.raises(ValueError, match="is not TOML"):
        load_config(tmp_path / "bad.toml", [])


COSTS = {
    "parent": ["manifest"],
    "data": ["license", "source"],
    "model": ["allow_tiny"],
    "run": ["uri", "trackers"],
    "generate": ["engine", "piece_clips", "pieces_in_flight", "decoder", "vllm", "openai"],
    "few_shot": ["bleu", "cross_encoder", "bert_model", "bert_baseline", "verbs", "nouns", "gains"],
    "train": [
        "micro_batch_rows",
        "num_workers",
        "zero_stage",
        "offload",
        "gradient_checkpointing",
        "checkpoint_every_steps",
        "checkpoint_every_s",
    ],
}
"""Fields that decide no result, beside all of cluster, limits and storage: they may change within a run."""


def test_a_wrong_key_is_named_with_where_it_came_from(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[[evaluate.sets]]\nname = "heldout"\n[[evaluate.sets]]\nname = "a"\nfiles = "a.csv"\nmetric = ["accuracy"]\n')
    with pytest.raises(ValueError, match=r"run.toml: no key 'evaluate.sets.1.metric'; did you mean 'evaluate.sets.1.metrics'\?"):
        load_config(path, [])
    path.write_text("[train]\nlr = 1e-4\n")
    with pytest.raises(ValueError, match=r"^--set: no key 'train.momments'; did you mean 'train.moments'\?"):
        load_config(path, ["train.momments=middle"])


def test_only_what_decides_a_result_is_part_of_the_identity() -> None:
    identity = load_config(None, []).identity()
    left_out = {
        section: names
        for section, field in RunConfig.model_fields.items()
        if isinstance(field.default, Section)
        if (names := [name for name in type(field.default).model_fields if name not in identity.get(section, {})])
    }
    assert {"storage", "cluster", "limits"} & identity.keys() == set()
    assert left_out == COSTS | {"cluster": list(Cluster.model_fields), "limits": list(Limits.model_fields)}


@pytest.mark.parametrize(
    ("setting", "is_same"),
    [
        ("generate.piece_clips=1", True),
        ("generate.decoder=decord", True),
        ("train.micro_batch_rows=1", True),
        ("train.zero_stage=3", True),
        ("train.gradient_checkpointing=true", True),
        ("cluster.generator_actors=64", True),
        ("limits.failure_rate=0.5", True),
        ("generate.engine=vllm", True),
        ("generate.vllm.engine_args.max_num_batched_tokens=4096", True),
        ("cluster.generator_python=/opt/vllm/bin/python", True),
        ("generate.openai.model=other", True),
        ("run.uri=s3://b/r", True),
        ("storage.s3.endpoint_url=http://a", True),
        ("run.seed=1", False),
        ("train.batch_rows=256", False),
        ("model.dtype=bfloat16", False),
        ("model.frame_tolerance_s=0.5", False),
        ("verify.stages=['rules','opinion']", False),
    ],
)
def test_what_may_change_within_a_run(setting: str, is_same: bool) -> None:
    assert (load_config(None, [setting]).identity() == load_config(None, []).identity()) is is_same


def test_the_configuration_decides_the_device() -> None:
    auto, exact = load_config(None, []).model, load_config(None, ["model.dtype=bfloat16"]).model
    assert (auto.device(0), auto.device(0.5)) == (Device("cpu", "float32"), Device("cuda", "bfloat16"))
    assert (exact.device(0), exact.device(1)) == (Device("cpu", "bfloat16"), Device("cuda", "bfloat16"))


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ("[{name = 'mine', files = 'a.csv'}, {name = 'heldout'}]", "heldout is the first of evaluate.sets"),
        ("[{name = 'heldout', when = 'end'}]", "the set heldout decides about each cycle"),
        ("[{name = 'heldout'}, {name = 'heldout'}]", "no name stands twice"),
        ("[{name = 'heldout'}, {name = 'mine'}]", "'mine' names no files"),
        ("[{name = 'heldout', files = 'a.csv'}]", "'heldout' names files"),
        ("[{name = 'heldout'}, {name = 'train', files = 'a.csv'}]", "cannot be named 'train'"),
        ("[{name = 'heldout'}, {name = 'My Set', files = 'a.csv'}]", "evaluate.sets.1.name"),
        ("[]", "evaluate.sets"),
    ],
)
def test_a_wrong_evaluation_set_is_one_line(sets: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        load_config(None, [f"evaluate.sets={sets}"])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "jobs" / "configs").glob("*.toml")), ids=lambda p: p.name)
def test_every_shipped_config_parses(path: Path) -> None:
    load_config(path, [])


def test_a_prompt_set_without_a_hint_cannot_rationalize() -> None:
    mine = ["generate.prompts=mine", "prompts.mine.answer='{question} Why?'"]
    with pytest.raises(
        ValueError, match=r"\[prompts.mine\] has no `rationalize`; give it, with {label}, or set generate.rationali"
    ):
        load_config(None, mine)
    assert load_config(None, [*mine, "generate.rationalize=false"]).prompts["mine"].answer == "{question} Why?"


def test_the_built_in_prompt_sets_are_those_that_there_are() -> None:
    assert tuple(BY_NAME) == BUILT_IN_PROMPTS


SETS = [{"name": "heldout"}, {"name": "mine", "files": "m.jsonl", "prompts": "choice"}]


@pytest.mark.parametrize(
    ("step", "alpha", "answer_start", "base"),
    [
        (Step(name="cycle-000/generate", kind="generate", cycle=0, inputs=()), 4.0, "", "released"),
        (Step(name="cycle-001/generate", kind="generate", cycle=1, inputs=(), model="cycle-000/train"), 4.0, "", "tiny"),
        (Step(name="base/evaluate", kind="evaluate", cycle=-1, inputs=(), split="heldout"), 20.0, "", "released"),
        (Step(name="base/evaluate-mine", kind="evaluate", cycle=-1, inputs=(), split="mine"), 20.0, "Best option:(", "released"),
    ],
    ids=lambda value: value.name if isinstance(value, Step) else "",
)
def test_each_step_answers_at_its_own_alpha_and_with_its_own_prompts(
    tmp_path: Path, step: Step, alpha: float, answer_start: str, base: str
) -> None:
    config = RunConfig.model_validate(
        {
            "model": {"base": "tiny", "instruct": "released", "chat": "pllava-vicuna", "frames": "published"},
            "generate": {"lora_alpha": 4.0},
            "evaluate": {"lora_alpha": 20.0, "sets": SETS},
            "prompts": {"choice": {"answer_start": "Best option:("}},
        }
    )
    work = Work(step=step, identity="x", config=config, store=Store(str(tmp_path)), report=lambda _: None)
    spec = work.model()
    assert (spec.base, spec.alpha, spec.choose) == (base, alpha, "published")
    assert spec.chat == ChatSpec(form="pllava-vicuna", answer_start=answer_start)
    assert config.spec(config.model.base).alpha is None, "a finetune starts from what was trained"


def test_a_finetune_in_full_has_no_lora_alpha() -> None:
    with pytest.raises(ValueError, match="makes no LoRA: take lora_alpha out of"):
        load_config(None, ["train.method=full", "generate.lora_alpha=4.0"])
