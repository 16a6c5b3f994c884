"""Pins the lease: one driver at a time, a dead one replaced at once, a silent one after a while, a woken one stopped."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.run import lease
from engine.run.lease import Fenced, Lease, is_dead, look, whoami
from engine.store.files import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def stranger(store: Store, epoch: int = 1) -> None:
    """A driver on another machine."""
    driver = {"host": "elsewhere", "pid": 7, "since": "noon", "boot": "b", "namespace": "n", "started": "1"}
    store.write(f"lease/{epoch:05d}.json", json.dumps(driver).encode())
    store.write(f"lease/{epoch:05d}.beat", b"1")


def test_epochs_follow_one_another_and_are_given_back(store: Store) -> None:
    for epoch in (1, 2, 3):
        with Lease(store) as held:
            assert held.epoch == epoch
            assert look(store).holder
        assert not look(store).holder


def test_the_step_is_known_while_it_runs_and_after(store: Store) -> None:
    assert look(store).step == ""
    with Lease(store) as held:
        held.begin("cycle-000/generate")
        assert look(store).step == "cycle-000/generate"
    assert look(store).step == "cycle-000/generate"


def test_a_living_driver_is_not_disturbed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.1)
    with (
        Lease(store),
        pytest.raises(ValueError, match=r"is being worked on by process \d+ on .*; wait for its end or stop it first"),
    ):
        Lease(store, stale_s=1.0).__enter__()


def test_a_driver_elsewhere_that_is_silent_is_replaced(store: Store) -> None:
    stranger(store)
    assert "elsewhere" in look(store).holder
    with Lease(store, stale_s=0.5) as held:
        assert held.epoch == 2


def test_a_dead_driver_of_this_machine_is_replaced_at_once(store: Store) -> None:
    code = "import os, sys; from engine.run.lease import *; Lease(Store(sys.argv[1])).__enter__(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, store.uri], cwd=Path(__file__).parents[2], timeout=60, check=False)
    assert not look(store).holder
    with Lease(store, stale_s=1000) as held:
        assert held.epoch == 2


def test_a_woken_driver_finds_itself_fenced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lease(store) as asleep:
        asleep.check()
        stranger(store, epoch=2)
        with pytest.raises(Fenced, match="was taken over by process 7 on elsewhere"):
            asleep.confirm()
        with pytest.raises(Fenced):
            asleep.check()
    assert not (store.read("lease/00001.beat") or b"").startswith(lease.RELEASED)


def test_of_many_at_once_one_begins(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    began, refused, over = [], [], threading.Event()

    def drive() -> None:
        try:
            with Lease(store, stale_s=2.0) as held:
                began.append(held.epoch)
                over.wait(20)
        except ValueError:
            refused.append(1)

    threads = [threading.Thread(target=drive) for _ in range(6)]
    for thread in threads:
        thread.start()
    while len(refused) < 5:
        over.wait(0.05)
    over.set()
    for thread in threads:
        thread.join(30)
    assert began == [1]


def test_who_is_dead() -> None:
    me = whoami()
    assert not is_dead(me)
    assert is_dead(me | {"started": "1"})
    assert not is_dead(me | {"host": "elsewhere", "started": "1"})
    assert not is_dead({})
