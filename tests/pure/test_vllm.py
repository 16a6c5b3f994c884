"""Pins how vLLM is started, and what is refused before: arguments, heads, contexts, another Python, a step of another engine."""

import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.generate.one_model import Loaded, note_model, refuse_other_engine
from engine.generate.watch import Door
from engine.presets import load_config
from engine.run import engines
from engine.store.files import Store
from models.base import Device, EngineDied, EngineSpec, ModelSpec, Reply, Sampling
from models.folders import FINETUNED, has_lora
from models.registry import check_engine
from models.vllm import installed
from models.vllm.arguments import arguments
from models.vllm.client import Answer, Client, refuse_given_up
from models.vllm.served import Prompt, Served
from models.vllm.video_llm import VllmVideoLLM

TINY = ModelSpec(base="tiny")


def an_engine(gpus: float = 0.0, **options: Any) -> EngineSpec:
    return EngineSpec(name="vllm", gpus=gpus, in_flight=2, clips=64, options=options)


def test_the_configuration_becomes_vllms_arguments() -> None:
    config = load_config(
        None, ["generate.engine=vllm", "generate.piece_clips=8", "generate.vllm.engine_args.max_num_batched_tokens=4096"]
    )
    spec = config.generate.engine_spec(4.0)
    assert (spec.in_flight, spec.clips) == (2, 16)
    values = arguments("/folder", TINY, Device("cuda", "bfloat16"), spec)
    assert (values["tensor_parallel_size"], values["distributed_executor_backend"]) == (4, "mp")
    assert (values["max_num_seqs"], values["max_model_len"], values["gpu_memory_utilization"]) == (16, -1, 0.9)
    assert (values["max_num_batched_tokens"], values["block_size"], values["dtype"]) == (4096, None, "bfloat16")


def test_an_engine_takes_no_more_than_its_actors_share_of_a_gpu_and_little_of_a_cpus_memory() -> None:
    shared = arguments("/folder", TINY, Device("cuda", "bfloat16"), an_engine(0.5))
    assert (shared["gpu_memory_utilization"], shared["tensor_parallel_size"]) == (0.4, 1)
    on_cpu = arguments("/folder", TINY, Device("cpu", "float32"), an_engine())
    assert "gpu_memory_utilization" not in on_cpu
    assert (on_cpu["kv_cache_memory_bytes"], on_cpu["block_size"]) == (2 << 30, 32)


def test_an_argument_that_another_key_decides_is_refused() -> None:
    with pytest.raises(ValueError, match=r"generate.vllm.engine_args.*: set cluster.generator_gpus instead"):
        load_config(None, ["generate.vllm.engine_args.tensor_parallel_size=2"])


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (an_engine(3.0), "cluster.generator_gpus = 3: tiny has 4 attention heads in its LLM, which vLLM .* give one of 1, 2, 4"),
        (an_engine(max_model_len=4096), "max_model_len = 4096 is more than the context of tiny, which is 1024; lower it"),
        (an_engine(max_model_len=36), "max_model_len = 36 does not hold a video of 36 tokens with a question and an answer"),
    ],
)
def test_what_vllm_cannot_do_with_a_model_is_one_line(engine: EngineSpec, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_engine(TINY, engine)
    check_engine(TINY, an_engine(2.0, max_model_len=512))


def test_an_architecture_that_vllm_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from models.vllm import engine

    monkeypatch.setattr(engine, "architectures", lambda: frozenset({"MistralForCausalLM"}))
    with pytest.raises(
        ValueError, match=r"tiny: vllm.* does not know the architecture LlamaForCausalLM; use generate.engine = 'built"
    ):
        check_engine(TINY, an_engine())


def test_architectures_are_read_off_vllms_own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "vllm" / "model_executor" / "models" / "registry.py"
    table.parent.mkdir(parents=True)
    table.write_text('_TEXT = {\n    "LlamaForCausalLM": ("llama", "LlamaForCausalLM"),\n    # "Old": 1\n}\n')
    (tmp_path / "vllm" / "__init__.py").write_text("raise AssertionError('vLLM is not imported for this')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    installed.architectures.cache_clear()
    assert installed.architectures() == {"LlamaForCausalLM"}
    installed.architectures.cache_clear()


def test_a_python_without_ray_and_a_file_that_is_no_python_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(ValueError, match=r"cluster.generator_python = '.*/python' has no Ray; install ray=="):
        engines.refuse_missing_engine(load_config(None, [f"cluster.generator_python={bare}"]))
    with pytest.raises(ValueError, match=r"generator_python = '/nowhere/python' is no Python on this machine: No such file"):
        engines.refuse_missing_engine(load_config(None, ["cluster.generator_python=/nowhere/python"]))
    engines.refuse_missing_engine(load_config(None, ["cluster.generator_python=/nowhere/python", "cluster.address=head:6379"]))


def test_doctor_says_which_engine_answers_and_how_much_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert engines.describe(load_config(None, [])) == "builtin, a generator holds 1 piece at once, 32 clips"
    away = ["generate.engine=vllm", "cluster.generator_python=/nowhere/python", "generate.piece_clips=8"]
    assert engines.describe(load_config(None, away)) == (
        "vllm in /nowhere/python, which is not on this machine; a generator holds 2 pieces at once, 16 clips"
    )
    monkeypatch.setattr(engines, "engine_version", lambda engine: engine)
    with pytest.raises(
        ValueError, match=r"generate.engine = 'vllm', and .* has no vLLM; pip install .*\[vllm\]', or name a Python"
    ):
        engines.describe(load_config(None, ["generate.engine=vllm"]))


def test_a_step_under_way_keeps_its_engine_and_a_later_one_may_have_another() -> None:
    store, vllm, builtin = Store("memory://engines"), an_engine(), EngineSpec()
    note_model(store, "cycle-000/generate", Loaded(digest="d+vllm-0.1", base="tiny", engine="vllm-0.1", dtype="float32"))
    with pytest.raises(
        ValueError, match=r"cycle-000/generate was begun with the engine vllm-0.1, and generate.engine is builtin now"
    ):
        refuse_other_engine(store, "cycle-000/generate", builtin)
    refuse_other_engine(store, "cycle-001/generate", builtin)
    note_model(store, "cycle-001/generate", Loaded(digest="d", base="tiny", engine="builtin", dtype="float32"))
    refuse_other_engine(store, "cycle-001/generate", builtin)
    with pytest.raises(ValueError, match=r"was begun with the engine builtin, and generate.engine is vllm"):
        refuse_other_engine(store, "cycle-001/generate", vllm)


def test_a_step_under_way_keeps_its_precision_which_follows_from_the_gpus() -> None:
    store, half = Store("memory://precisions"), Loaded(digest="d", base="tiny", engine="builtin", dtype="bfloat16")
    note_model(store, "s", half)
    note_model(store, "s", half)
    with pytest.raises(
        ValueError, match=r"s was begun in bfloat16, and tiny computes in float32 now, .* \(cluster.generator_gpus\)"
    ):
        note_model(store, "s", replace(half, dtype="float32"))
    store.write("older/model.json", b'{"digest": "d", "base": "tiny", "revision": "", "engine": "builtin"}')
    note_model(store, "older", half)
    note_model(store, "older", replace(half, dtype="float32"), has_lora=True)
    with pytest.raises(ValueError, match=r"older was begun by an earlier version of Starloop, .* in bfloat16 otherwise; finish it"):
        note_model(store, "older", half, has_lora=True)


def test_a_lora_is_an_adapters_or_that_of_a_released_pllava(tmp_path: Path) -> None:
    adapter, released = tmp_path / "adapter", tmp_path / "released"
    for folder in (adapter, released):
        folder.mkdir()
    save_file({"layers.0.q_proj.lora_A.default.weight": np.zeros((2, 4), np.float32)}, released / "model.safetensors")
    assert [has_lora("tiny", None), has_lora(str(released), None), has_lora("tiny", str(adapter))] == [False, True, True]
    (adapter / FINETUNED).write_text("{}")
    assert not has_lora(str(released), str(adapter)), "a whole model takes the place of both"


def test_a_version_that_differs_is_refused_and_one_that_is_not_known_here_is_left_to_the_actors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from models.vllm import engine

    store = Store("memory://versions")
    note_model(store, "s", Loaded(digest="d+vllm-0.32.0", base="tiny", engine="vllm-0.32.0", dtype="float32"))
    for number, is_refused in (("", False), ("0.32.0", False), ("0.32.1", True)):
        monkeypatch.setattr(engine, "installed_version", lambda number=number: number)
        if is_refused:
            with pytest.raises(ValueError, match=r"begun with the engine vllm-0.32.0, and generate.engine is vllm-0.32.1 now"):
                refuse_other_engine(store, "s", an_engine())
        else:
            refuse_other_engine(store, "s", an_engine())


def test_a_piece_that_is_let_in_alone_waits_for_the_others_and_holds_them_up() -> None:
    door, log = Door(), list[str]()
    first_is_in, let_go = threading.Event(), threading.Event()

    def piece(name: str, alone: bool, until: threading.Event | None = None) -> None:
        with door.enter(alone):
            log.append(f"{name} in")
            first_is_in.set()
            if until is not None:
                until.wait(10)
            log.append(f"{name} out")

    threads = [threading.Thread(target=piece, args=("a", False, let_go))]
    threads[0].start()
    first_is_in.wait(10)
    threads += [threading.Thread(target=piece, args=("alone", True))]
    threads[1].start()
    while not door._alone:
        time.sleep(0.001)
    threads += [threading.Thread(target=piece, args=("b", False))]
    threads[2].start()
    let_go.set()
    for thread in threads:
        thread.join(10)
    assert log == ["a in", "a out", "alone in", "alone out", "b in", "b out"]


@pytest.mark.parametrize("reason", ["abort", "error", None])
def test_what_vllm_gives_up_is_no_answer(reason: str | None) -> None:
    for whole in ("stop", "length"):
        refuse_given_up(SimpleNamespace(outputs=[SimpleNamespace(finish_reason=whole)]))
    with pytest.raises(EngineDied, match="given a request up"):
        refuse_given_up(SimpleNamespace(outputs=[SimpleNamespace(finish_reason=reason)]))


@pytest.mark.parametrize("error", [None, EngineDied("gone")])
def test_an_error_on_the_way_to_a_reply_reaches_who_waits_for_it(error: EngineDied | None) -> None:
    answered = Future[Answer]()

    def reply(ids: list[int], sampling: Sampling) -> Reply:
        raise ValueError("no text for these ids")

    served = cast(Served, SimpleNamespace(end_ids=frozenset({2}), reply=reply))
    client = cast(Client, SimpleNamespace(submit=lambda *arguments: answered))
    llm = VllmVideoLLM(served, client, "digest", 100)
    waiting = llm.answer(Prompt([1]), 0, Sampling(temperature=0.0, max_tokens=4))
    if error:
        answered.set_exception(error)
    else:
        answered.set_result(Answer([4, 2], finished=True))
    with pytest.raises(EngineDied if error else ValueError, match="gone" if error else "no text for these ids"):
        waiting.result(timeout=5)
