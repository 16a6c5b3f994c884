"""Pins what a user's configuration may say, and the one line that they get when it is wrong."""

from pathlib import Path

import pytest

from engine.config import load_config


def test_presets_are_defaults_that_a_file_overrides(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('preset = "paper"\n[generate]\nmax_tokens = 77\n')
    config = load_config(path, ["loop.max_cycles=5", "run.uri=runs/x"])
    assert (config.verify.preset, config.generate.prompts, config.generate.temperature) == ("paper", "published", 0.2)
    assert (config.generate.max_tokens, config.loop.max_cycles, config.run.uri) == (77, 5, "runs/x")


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
        ("run.uri.x=1", "run.uri"),
    ],
)
def test_a_wrong_setting_is_one_line(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        load_config(None, [setting])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


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


def test_where_it_runs_is_not_part_of_what_runs() -> None:
    here, there = load_config(None, []), load_config(None, ["cluster.generator_actors=64", "run.uri=s3://b/r"])
    assert here.identity() == there.identity()
    assert here.identity() != load_config(None, ["run.seed=1"]).identity()


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "jobs" / "configs").glob("*.toml")), ids=lambda p: p.name)
def test_every_shipped_config_parses(path: Path) -> None:
    load_config(path, [])
