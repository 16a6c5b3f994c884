"""Pins that no JSON file of a run holds a number that is not finite, and that older files which do are read."""

import json
from dataclasses import replace

import pytest

from builders import a_seal
from engine.run.seals import Seal
from engine.run.summary import _mean
from engine.store.documents import to_json


def test_a_seal_with_nan_is_not_written() -> None:
    seal = a_seal("cycle-000/train", losses=[0.5, float("nan")])
    with pytest.raises(ValueError, match=r"^facts\.losses\[1\] is nan, which is no number of JSON$"):
        seal.to_json()
    with pytest.raises(ValueError, match=r"^seconds is inf"):
        replace(a_seal("cycle-000/train"), seconds=float("inf")).to_json()


def test_a_seal_of_an_older_run_may_hold_nan() -> None:
    data = (
        a_seal("cycle-000/train", losses=[0.5, 0.25], accuracy=0.5).to_json().replace(b"0.25", b"NaN").replace(b": 0.5", b": NaN")
    )
    facts = Seal.from_json(data).facts
    assert facts == {"losses": [0.5, None], "accuracy": None}
    assert _mean(facts["losses"]) is None
    assert json.loads(to_json(facts)) == facts


def test_text_of_any_kind_is_written() -> None:
    assert to_json({"é": "跳舞"}) == '{"é": "跳舞"}'.encode()
    assert json.loads(to_json(["\ud83d"])) == ["\ud83d"]
