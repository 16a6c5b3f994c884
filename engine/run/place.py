"""Gives a step its place on the connected cluster: what it may use, what it asks for, and that the step before has let go."""

import logging
import time

from engine.config import Cluster, RunConfig
from engine.connection import is_local
from engine.nodes.demand import Demand
from engine.nodes.inventory import Inventory
from engine.nodes.look import take_inventory
from engine.nodes.placement import demands, placed
from engine.nodes.probe import troubles
from engine.nodes.shortage import refusal, too_small
from engine.run.plan import Step, asks_elsewhere

log = logging.getLogger(__name__)

HAND_OVER_S, LOOK_S = 120.0, 0.5
"""How long the processes of an earlier step may hold GPUs: Ray ends them without waiting. Between two looks."""


def place(step: Step, config: RunConfig) -> tuple[Cluster, list[Demand]]:
    """The [cluster] section with the numbers that the cluster decides, and what the step asks for.

    Raises ValueError where a Ray of this machine alone cannot hold it, or where an earlier step does not give its GPUs back.
    """
    inventory = take_inventory()
    cluster, lines = placed(config.cluster, inventory)
    for line in lines:
        log.info("%s: %s", step.name, line)
    here = cluster.model_copy(update={"generator_gpus": 0.0}) if asks_elsewhere(config, step) else cluster
    needed = demands(here, step.kind, config.train.num_workers)
    if is_local(cluster.address) and (lack := too_small(needed, inventory)) is not None:
        raise ValueError(f"{step.name}: {refusal(lack, inventory)}")
    if any(demand.each.get("GPU") for demand in needed):
        hand_over(step.name, HAND_OVER_S)
    return cluster, needed


def refuse_other_nodes(config: RunConfig) -> None:
    """Raises ValueError for the first node of a cluster that cannot do what its labels let it do. Later nodes are not asked."""
    if is_local(config.cluster.address):
        return
    for line in troubles(take_inventory(), config.cluster):
        raise ValueError(line)


def hand_over(step: str, deadline_s: float) -> None:
    """Return once no process of this job holds a GPU any more. Raises ValueError with their names after `deadline_s`."""
    began, is_logged = time.monotonic(), False
    while holders := _holders(take_inventory()):
        waited_s = time.monotonic() - began
        if waited_s > deadline_s:
            raise ValueError(
                f"{step}: processes of an earlier step still hold GPUs after {deadline_s:.0f} s: {'; '.join(holders)}; end them on "
                "their nodes and run the same command again"
            )
        if waited_s > 5 and not is_logged:
            is_logged = True
            log.info("%s: waits for GPUs that an earlier step has not given back: %s", step, "; ".join(holders))
        time.sleep(LOOK_S)


def _holders(inventory: Inventory) -> list[str]:
    addresses = {node.node_id: node.address for node in inventory.nodes}
    return [
        f"{process.name} with {process.each['GPU']:g} GPU on {addresses[process.node_id]}"
        for process in inventory.processes
        if process.job == inventory.job and process.each.get("GPU") and process.node_id in addresses
    ]
