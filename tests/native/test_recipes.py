"""Pins that the recipes of models of transformers are rehearsed as they are shipped, and say what their budget says."""

import pytest

from engine.presets import load_config
from engine.run.rehearsal import rehearse
from engine.run.resources import afford
from recipes import CONFIGS, NATIVE, assert_head_is_true

TOKENS = {
    "internvl3.5-8b": 16 * (256 + 2),  # <img> and </img>
    "llava-onevision-7b": 32 * 196 + 1,  # a newline
    "qwen3-vl-8b": 8 * (39 * 39 + 2),  # two frames together, 39 x 39 tokens of 32 pixels a side, and what stands around them
    "smolvlm2-2.2b": 28 * (81 + 3),  # three tokens around a frame
}
"""Visual tokens of a video without its text."""


@pytest.mark.parametrize("recipe", NATIVE)
def test_the_head_of_a_recipe_is_true(recipe: str) -> None:
    assert_head_is_true(recipe)


@pytest.mark.parametrize("recipe", NATIVE)
def test_a_recipe_s_budget_counts_frames_and_the_text_between_them(recipe: str) -> None:
    (line,) = [line for line in afford(load_config(CONFIGS / f"{recipe}.toml", [])) if "frames become" in line]
    tokens = int(line.split(" visual tokens")[0].rpartition(" ")[2])
    assert TOKENS[recipe] <= tokens <= TOKENS[recipe] * 1.2


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param("internvl3.5-8b", marks=pytest.mark.slow),
        pytest.param("llava-onevision-7b", marks=pytest.mark.slow),
        "qwen3-vl-8b",
        pytest.param("smolvlm2-2.2b", marks=pytest.mark.slow),
    ],
)
def test_a_shipped_recipe_is_rehearsed(recipe: str) -> None:
    outcomes = list(rehearse(load_config(CONFIGS / f"{recipe}.toml", [])))
    assert [(outcome.problem, len(outcome.losses)) for outcome in outcomes] == [("", 3), ("", 3)]


def test_a_number_of_frames_that_smolvlm_cannot_merge_is_refused() -> None:
    with pytest.raises(ValueError, match="in blocks of 14; give a multiple of 14"):
        list(rehearse(load_config(CONFIGS / "smolvlm2-2.2b.toml", ["model.num_frames=16"]), world_sizes=[1]))
