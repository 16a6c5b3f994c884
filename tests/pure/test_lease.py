"""Pins the lease: one driver at a time, a dead one replaced at once, a silent one after a while, a woken one stopped."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from engine.run import lease
from engine.run.lease import Fenced, Lease, is_dead, lease_state, whoami
from engine.store.files import Store

pytestmark = pytest.mark.waits


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
            assert lease_state(store).holder
        assert not lease_state(store).holder


def test_the_step_is_known_while_it_runs_and_after(store: Store) -> None:
    assert lease_state(store).step == ""
    with Lease(store) as held:
        held.begin("cycle-000/generate")
        assert lease_state(store).step == "cycle-000/generate"
    assert lease_state(store).step == "cycle-000/generate"


def test_a_living_driver_is_not_disturbed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.1)
    with (
        Lease(store),
        pytest.raises(ValueError, match=r"is being worked on by process \d+ on .*; wait for its end or stop it first"),
    ):
        Lease(store, stale_s=1.0).__enter__()


def test_a_driver_elsewhere_that_is_silent_is_replaced(store: Store) -> None:
    stranger(store)
    assert "elsewhere" in lease_state(store).holder
    with Lease(store, stale_s=0.5) as held:
        assert held.epoch == 2


def test_who_only_looks_takes_a_driver_elsewhere_for_dead_by_its_last_heartbeat(store: Store) -> None:
    stranger(store)
    store.write("lease/00001.beat", f"8a1f@{time.time() - 500:.0f} ingest".encode())
    assert "elsewhere" in lease_state(store).holder
    store.write("lease/00001.beat", f"8a1f@{time.time() - 700:.0f} ingest".encode())
    assert (lease_state(store).holder, lease_state(store).step) == ("", "ingest")


def test_a_dead_driver_of_this_machine_is_replaced_at_once(store: Store) -> None:
    code = "import os, sys; from engine.run.lease import *; Lease(Store(sys.argv[1])).__enter__(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, store.uri], cwd=Path(__file__).parents[2], timeout=60, check=False)
    assert not lease_state(store).holder
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


def test_the_heartbeat_goes_on_after_an_error_of_any_kind(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    replace, errors = os.replace, [RuntimeError("cannot schedule new futures")]

    def fails_once(*paths: Any) -> None:
        if errors and threading.current_thread() is not threading.main_thread():
            raise errors.pop()
        replace(*paths)

    with caplog.at_level(logging.WARNING), Lease(store):
        monkeypatch.setattr(os, "replace", fails_once)
        while errors:
            time.sleep(0.01)
        beat, deadline = store.read("lease/00001.beat"), time.monotonic() + 10
        while store.read("lease/00001.beat") == beat and time.monotonic() < deadline:
            time.sleep(0.01)
        assert store.read("lease/00001.beat") != beat
    assert caplog.messages == ["the lease cannot be renewed: RuntimeError: cannot schedule new futures"]


def test_a_heartbeat_that_takes_long_does_not_undo_the_release(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.02)
    replace, is_slow, goes_on = os.replace, threading.Event(), threading.Event()

    def slow(*paths: Any) -> None:
        if threading.current_thread().name == "lease":
            is_slow.set()
            goes_on.wait(10)
        replace(*paths)

    with Lease(store) as held:
        monkeypatch.setattr(os, "replace", slow)
        assert is_slow.wait(10)
        threading.Timer(0.3, goes_on.set).start()
    assert held._renewer is not None
    held._renewer.join(10)
    assert not held._renewer.is_alive(), "no thread remains"
    assert lease_state(store).holder == ""
    assert (store.read("lease/00001.beat") or b"").startswith(b"released")


@pytest.mark.parametrize("name", ["notes.json", "00001 (copy).json", "1.json", "0000001.json", "٠٠٠٠٧.json"])
def test_other_files_in_the_folder_are_no_epochs(store: Store, name: str) -> None:
    with Lease(store) as held:
        store.write(f"lease/{name}", b"{}")
        held.confirm()
    assert lease.newest(store) == 1


@pytest.mark.parametrize("record", [b"", b'{"pid": 7, "ho', b"[7]", b"\xff", b'{"pid": "7"}'])
def test_a_damaged_record_is_a_driver_that_only_its_heartbeat_shows(store: Store, record: bytes) -> None:
    stranger(store)
    store.write("lease/00001.json", record)
    assert lease_state(store).holder == "process ? on ? (since ?)"
    with Lease(store, stale_s=0.5) as held:
        assert held.epoch == 2
        store.write("lease/00002.json", record)
        with pytest.raises(Fenced, match=r"taken over by process \? on \?"):
            held.confirm()


def test_who_is_dead() -> None:
    me = whoami()
    assert not is_dead(me)
    assert is_dead(me | {"started": "1"})
    assert not is_dead(me | {"host": "elsewhere", "started": "1"})
    assert not is_dead({})
