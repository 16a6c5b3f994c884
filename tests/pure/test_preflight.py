"""Pins that what stops a command before its first step is one line with a remedy: no cluster, an error without a text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from engine.connection import connect
from engine.presets import load_config
from engine.run.doctor import Finding, _guarded, examine


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionError("Could not find any running Ray instance.\nPlease name one."), "Could not find any running Ray instance."),
        (ValueError("Invalid address format: auto"), "Invalid address format: auto"),
    ],
)
def test_no_cluster_to_find_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str) -> None:
    """What ray.init raises for "auto", and for a name without a port; a real "auto" would find any other Ray of this machine."""

    def init(**_: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ValueError, match="no Ray cluster") as caught, connect("auto"):
        pass
    assert str(caught.value) == f"no Ray cluster at auto ({reason}); check cluster.address and RAY_ADDRESS"


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_error_without_a_text_is_a_finding(text: str) -> None:
    def check() -> Iterator[Finding]:
        raise RuntimeError(text)
        yield

    assert list(_guarded("model", "check model.base", check)) == [Finding("model", "RuntimeError", "check model.base")]


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        (ValueError("no folder x; name another"), Finding("model", "no folder x", "name another")),
        (ValueError("no folder x"), Finding("model", "no folder x", "check model.base")),
        (OSError("no folder; none"), Finding("model", "no folder; none", "check model.base")),
    ],
)
def test_an_error_that_names_its_remedy_gets_no_second_one(error: Exception, finding: Finding) -> None:
    def check() -> Iterator[Finding]:
        raise error
        yield

    assert list(_guarded("model", "check model.base", check)) == [finding]


def test_the_doctor_says_that_a_run_of_one_cycle_does_not_rationalize(tmp_path: Path) -> None:
    config = load_config(None, ["loop.max_cycles=1", f"run.uri={tmp_path}/r", f"data.manifest={tmp_path}/none.csv"])
    finding = next(finding for finding in examine(config, model=False) if finding.what == "loop")
    assert finding.detail.startswith("loop.max_cycles is 1: the only cycle is the last one")
    assert finding.remedy == ""  # it may be meant
