"""Which of a step's demands has no place, why, and in which words. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.nodes.demand import Demand, a_place, amounts, conditions
from engine.nodes.inventory import NAMED_NODES, Growth, Inventory, Node

Cause = Literal["labels", "nodes", "others"]
"""labels: no node has them. nodes: there are too few, or they are too small. others: other work holds them."""


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """Shortage(demand=Demand(what="generators", ...), missing=2, cause="nodes", reason="the nodes that match hold 1")"""

    demand: Demand
    missing: int
    cause: Cause
    reason: str
    growth: str
    """What the autoscaler does."""

    def __str__(self) -> str:
        demand = self.demand
        who = f"{self.missing} of {demand.count} {demand.what}" if demand.runs_as != "tasks" else demand.what
        verb = "has" if self.missing == 1 and demand.runs_as != "tasks" else "have"
        return f"{who} {verb} no place: {self.reason}; each waits for {a_place(demand)}; {self.growth}"


def shortage(
    demands: Sequence[Demand], inventory: Inventory, gone_s: Mapping[str, float] | None = None, is_idle: bool = True
) -> Shortage | None:
    """The first demand that has no place, or None. Tasks take turns: those that wait are short where no node holds one, or where
    actors hold all of it while the step `is_idle`.

    `gone_s`: seconds since the death of each node, by its id, for those that died while the step was at work.
    """
    for demand in demands:
        missing = inventory.waiting(demand)
        takes_turns = demand.runs_as == "tasks" and inventory.capacity(demand)
        if missing and not (takes_turns and (not is_idle or inventory.beside_actors(demand))):
            return _described(demand, inventory, missing, gone_s or {})
    return None


def too_small(demands: Sequence[Demand], inventory: Inventory) -> Shortage | None:
    """The first demand that the present nodes do not hold even when nothing else runs, or None."""
    for demand in demands:
        if (fits := inventory.capacity(demand)) < demand.count:
            return _described(demand, inventory, demand.count - fits, {})
    return None


def _described(demand: Demand, inventory: Inventory, missing: int, gone_s: Mapping[str, float]) -> Shortage:
    cause, reason = _reason(demand, inventory, gone_s)
    return Shortage(demand=demand, missing=missing, cause=cause, reason=reason, growth=_of_the_autoscaler(inventory.growth))


def _reason(demand: Demand, inventory: Inventory, gone_s: Mapping[str, float]) -> tuple[Cause, str]:
    fits = inventory.capacity(demand)
    died = sorted((node for node in inventory.dead if node.node_id in gone_s), key=lambda node: gone_s[node.node_id])
    gone = [f"node {_named(node)} died {gone_s[node.node_id]:.0f} s ago" for node in died]
    silent = [f"node {_named(node)} does not answer" for node in inventory.nodes if node.is_silent]
    leaving = [f"node {_named(node)} is being drained" for node in inventory.nodes if node.is_leaving]
    events = ", ".join(bounded([*gone, *silent, *leaving]))
    if demand.selector and not inventory.matching(demand.selector):
        return "labels", f"{f'{events}, and ' if events else ''}no node has {conditions(demand.selector)}"
    if fits < demand.count:
        return "nodes", f"{f'{events}, and ' if events else ''}the nodes {_that_match(demand)}hold {fits} at most"
    return "others", f"what they need is held by {inventory.holders(demand)}"


def bounded(events: Sequence[str]) -> list[str]:
    """
    >>> bounded([str(number) for number in range(8)])
    ['0', '1', '2', '3', '4', '5', '2 more']
    """
    rest = len(events) - NAMED_NODES
    return [*events[:NAMED_NODES], *([f"{rest} more"] if rest > 0 else [])]


def _named(node: Node) -> str:
    own = [f"{key}={value}" for key, value in node.labels.items() if not key.startswith("ray.io/")]
    return f"{node.address} ({', '.join(own)})" if own else node.address


def _that_match(demand: Demand) -> str:
    return f"with {conditions(demand.selector)} " if demand.selector else ""


def _of_the_autoscaler(growth: Growth | None) -> str:
    if growth is None:
        return "no autoscaler adds nodes to this cluster"
    if growth.coming:
        return f"the autoscaler starts {', '.join(growth.coming)}"
    if growth.refused:
        return f"the autoscaler could not start {', '.join(growth.refused)}"
    return "the autoscaler has not started a node for it"


def refusal(shortage: Shortage, inventory: Inventory) -> str:
    """What was asked, what exists, and what to change."""
    demand = shortage.demand
    number = "" if demand.runs_as == "tasks" else f"{demand.count} "
    request = f"{number}{demand.what} {'of' if any(demand.each.values()) else 'on'} {a_place(demand)}"
    changes = {
        "labels": f"give a node these labels (ray start --labels), or correct {demand.keys}",
        "nodes": f"add nodes, or lower {demand.keys}",
        "others": f"let the other work end, add nodes, or lower {demand.keys}",
    }
    most = f", which may grow to {amounts(inventory.most)}" if inventory.most else ""
    return (
        f"it asks for {request}, and {shortage.reason}; the cluster has {inventory.described()}{most}; {shortage.growth}; "
        f"{changes[shortage.cause]}"
    )
