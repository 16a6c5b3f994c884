"""One trained adapter, evaluated at many LoRA alphas without training anew (PLLaVA section 3.3: "post-optimization").

Each alpha is a step of its own below alpha-sweep/, with pieces and a seal: a killed sweep goes on, a finished one is read. The
folder is named after the adapter's contents, so that one which was trained anew shares nothing with the one before.
"""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from engine import flow
from engine.config import Evaluate
from engine.run import plan, steps
from engine.run.plan import BASE, INGEST, Step
from engine.run.resources import needs
from engine.run.seals import Seal, read_seal, write_seal
from engine.run.work import Progress, Work, read_seals, run_config
from engine.store.files import Store, digest

SWEEP = "alpha-sweep"


def sweep(store: Store, cycle: int | None, alphas: Sequence[float], report: Callable[[Progress], None]) -> dict[str, Any]:
    """{"cycle", "trained_alpha", "base_accuracy", "alphas": [{"alpha", "accuracy", "clips", "failed"}]}; the run folder has it too.

    The run's best cycle unless one is named. Raises ValueError where that cycle has no adapter.
    """
    config, sealed = run_config(store), read_seals(store)
    cycle = plan.history(sealed).best_cycle if cycle is None else cycle
    trained = plan.name_of(cycle, "train")
    if trained not in sealed:
        raise ValueError(
            f"{store.url()} has no adapter of {f'cycle {cycle}' if cycle >= 0 else 'a cycle better than the base'}; train it first"
        )
    folder, rows = f"{SWEEP}/cycle-{cycle:03d}-{sealed[trained].output[:8]}", []
    with flow.cluster(config.cluster.address, *needs(config)):
        for alpha in sorted(set(alphas)):
            name = f"{folder}/{alpha:g}/evaluate"
            step = Step(name=name, kind="evaluate", cycle=cycle, inputs=(INGEST, trained), model=trained)
            asked = config.model_copy(update={"evaluate": Evaluate(lora_alpha=alpha)})
            identity = digest([name, asked.identity(), [sealed[one].output for one in step.inputs]])
            seal = read_seal(store, name)
            if seal is None:
                start = time.monotonic()
                made = steps.DO["evaluate"](Work(step=step, identity=identity, config=asked, store=store, report=report))
                files = store.describe(made.files)
                spent = round(time.monotonic() - start, 3)
                seal = write_seal(
                    store,
                    Seal(step=name, identity=identity, files=files, counts=made.counts, facts=made.facts, seconds=spent, epoch=0),
                )
            facts = seal.facts
            rows.append({"alpha": alpha, "accuracy": facts["accuracy"], "clips": facts["clips"], "failed": facts["failed"]})
    base = sealed[BASE].facts["accuracy"] if BASE in sealed else None
    found = {"cycle": cycle, "trained_alpha": config.train.lora_alpha, "base_accuracy": base, "alphas": rows}
    store.write(f"{SWEEP}/cycle-{cycle:03d}.json", json.dumps(found, indent=1).encode())
    return found
