"""Pins what the shipped base can do and cannot: it sees and follows hints, but knows four of ten names."""

from pathlib import Path

from jobs.make_base import GERUNDS, NAMELESS, Recipe, corpus, examine, make_base
from models.base import ModelSpec
from models.pllava import loading
from worlds import shapes


def test_the_base_sees_and_follows_hints_but_lacks_names() -> None:
    model, processor = loading.load_base(ModelSpec(base="tiny"))
    seen = examine(model.eval(), processor, seed=991, num_clips=100)
    assert seen["motion_right"] >= 0.9
    assert seen["hint_followed"] >= 0.9
    assert 0.3 <= seen["name_right"] <= 0.5


def test_the_base_never_read_the_names_that_it_lacks() -> None:
    unknown = [name for name in shapes.ACTIONS if name not in shapes.KNOWN_NAMES]
    assert len(unknown) == 6
    text = " ".join(corpus()) + " ".join(GERUNDS) + NAMELESS
    assert [name for name in unknown if name in text] == []


def test_no_description_holds_a_label() -> None:
    assert [name for name, (_, seen) in shapes.ACTIONS.items() if any(other in seen for other in shapes.ACTIONS)] == []


def test_the_same_recipe_makes_the_same_weights(tmp_path: Path) -> None:
    recipe = Recipe(num_clips=24, tower_steps=3, tower_batch=16, llm_steps=3, llm_batch=4, examined_clips=4)
    make_base(tmp_path / "a", recipe)
    make_base(tmp_path / "b", recipe)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    assert loading.load_base(ModelSpec(base=str(tmp_path / "a")))
