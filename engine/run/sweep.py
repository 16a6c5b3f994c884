"""One trained adapter, evaluated at many LoRA alphas without training anew (PLLaVA section 3.3: "post-optimization").

Each alpha is a step of its own below alpha-sweep/, with pieces and a seal: a killed sweep goes on, a finished one is read. The
folder is named after the adapter's contents, so that one which was trained anew shares nothing with the one before.
"""

from collections.abc import Callable, Sequence
from typing import Any

from engine.config import HELDOUT
from engine.run.lease import Lease
from engine.run.logs import RunLogs
from engine.run.loop import Driver
from engine.run.plan import BASE, INGEST, Step, history, name_of
from engine.run.seals import read_seal
from engine.run.trackers import TrackedRun, tracked
from engine.run.work import Progress, read_seals, run_config
from engine.store.documents import to_json
from engine.store.files import Store

SWEEP = "alpha-sweep"


def sweep(store: Store, cycle: int | None, alphas: Sequence[float], report: Callable[[Progress], None]) -> dict[str, Any]:
    """{"cycle", "trained_alpha", "base_accuracy", "alphas": [{"alpha", "accuracy", "clips", "failed"}]}; the run folder has it too.

    The run's best cycle unless one is named. Raises ValueError where that cycle has no adapter, or another driver is at work.
    """
    config = run_config(store)
    # the lease holds to the last file: another driver may be training this adapter anew, or sweeping too
    run = TrackedRun.of(config, store)
    with Lease(store) as lease, RunLogs(store, lease.epoch, config, SWEEP) as logs, tracked([], run, report) as trackers:
        sealed = read_seals(store)
        cycle = history(sealed).best_cycle if cycle is None else cycle
        trained = name_of(cycle, "train") if cycle >= 0 else ""
        if trained not in sealed:
            which = f"cycle {cycle}" if cycle >= 0 else "a cycle better than the base"
            raise ValueError(f"{store.url()} has no adapter of {which}; train it first")
        folder, rows = f"{SWEEP}/cycle-{cycle:03d}-{sealed[trained].output[:8]}", []
        with Driver(config, store, lease, logs, trackers) as driver:
            for alpha in sorted(set(alphas)):
                name = f"{folder}/{alpha:g}/evaluate"
                seal = read_seal(store, name)
                if seal is None:
                    step = Step(name=name, kind="evaluate", cycle=cycle, inputs=(INGEST, trained), model=trained, split=HELDOUT)
                    at_alpha = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"lora_alpha": alpha})})
                    seal = driver.do(step, sealed, at_alpha)
                facts = seal.facts
                rows.append({"alpha": alpha, "accuracy": facts["accuracy"], "clips": facts["clips"], "failed": facts["failed"]})
        base = sealed[BASE].facts["accuracy"] if BASE in sealed else None
        result = {"cycle": cycle, "trained_alpha": config.train.lora_alpha, "base_accuracy": base, "alphas": rows}
        lease.confirm()
        store.write(f"{SWEEP}/cycle-{cycle:03d}.json", to_json(result, indent=1))
    return result
