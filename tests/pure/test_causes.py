"""Pins the error of a first cycle that leaves nothing to train on: the settings behind it, and how its answers are used again."""

import pytest

from engine.config import Parent
from engine.presets import load_config
from engine.rows import Unused
from engine.select.causes import nothing_left

TOO_LONG = [Unused(example_id=f"e{number}", reason="too_long", detail="9 tokens") for number in range(2)]


@pytest.mark.parametrize(
    ("counts", "copies", "unused", "message"),
    [
        ({}, 0, [], "nothing is left to train on: nothing survived verification; see the reasons"),
        ({"ungrounded": 0}, 0, TOO_LONG, "nothing is left to train on: 2 left out as too_long; see the reasons"),
        (
            {"ungrounded": 40, "pass_rate_dropped": 3},
            0,
            [],
            "40 answers fit other videos as well as their own (select.min_grounding), 3 clips have another pass rate "
            "(select.pass_rate); another setting can use the same answers: `starloop extend runs/a m.csv --set "
            "select.min_grounding=...`",
        ),
        ({"pass_rate_dropped": 3}, 0, [], "--set select.pass_rate=...`"),
        ({}, 5, [], "5 clips show nearly the same as others (select.near_copies); another"),
    ],
)
def test_the_settings_that_left_something_out_are_named(
    counts: dict[str, int], copies: int, unused: list[Unused], message: str
) -> None:
    config = load_config(None, ["run.uri=runs/a", "data.manifest=m.csv"])
    assert message in nothing_left(config, "cycle-000/select", counts, copies, unused)


@pytest.mark.parametrize(
    ("uri", "parent", "run"),
    [
        ("s3://b/a-002", "s3://b/a-001", "s3://b/a"),
        ("runs/a-001", "/home/me/runs/a", "runs/a"),
        ("runs/a-001", "runs/b", "runs/a-001"),
    ],
)
def test_the_command_names_the_run_that_all_continue(uri: str, parent: str, run: str) -> None:
    config = load_config(None, [f"run.uri={uri}", f"data.manifest={uri}/manifest.parquet"])
    config = config.model_copy(update={"parent": Parent(run=parent, manifest="m.csv")})
    assert f"`starloop extend {run} m.csv --set" in nothing_left(config, "cycle-000/select", {"ungrounded": 4}, 0, [])
