"""Says what a step waits for while it lacks CPUs, GPUs or nodes, from its begin to its end, and for how long at most.

A thread of the driver looks at the cluster every LOOK_S. The step itself asks by `check`, which raises once the patience is over.
"""

import logging
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from engine.metrics import emit
from engine.metrics.table import GENERATOR_DEATHS
from engine.nodes.demand import Demand
from engine.nodes.inventory import Inventory, Node
from engine.nodes.look import take_inventory
from engine.nodes.shortage import Shortage, refusal, shortage

log = logging.getLogger(__name__)

LOOK_S, FIRST_S, THEN_S = 2.0, 4.0, 60.0
START_S = 15.0
"""What a step may take to begin without a word: its processes start, and import torch."""
"""Seconds between two looks; until a shortage is named, because processes come and go; between two lines about one shortage."""
IDLE_S = 20.0
"""A step that has done nothing for so long may lack decode tasks, too."""
RECENT_S = 300.0
"""How long the lines of what is waited for name a node that died."""


class Waiting:
    """with Waiting("cycle-000/generate", demands, patience_s=1800.0) as waiting: ... waiting.progress() ... waiting.check()"""

    def __init__(self, step: str, demands: Sequence[Demand], patience_s: float) -> None:
        """`patience_s`: how long nothing may get done for lack of resources; 0: without end."""
        self._step, self._demands, self._patience_s = step, demands, patience_s
        self._ended = threading.Event()
        self._began = self._progressed = time.monotonic()
        self._has_progress = False
        self._refusal = ""
        self._known_dead: set[str] | None = None
        """Dead nodes that were logged, or were dead when the step began."""
        self._died: dict[str, float] = {}
        """When a node was first seen dead, by its id: those of the last RECENT_S."""
        self._restarts: dict[str, int] | None = None
        """How often each generator was started anew, by its actor's id."""
        self._named: set[str] = set()
        """Nodes that were named because they do not answer."""
        self._left: set[str] = set()
        """Nodes that were seen to be drained."""
        self._silent: dict[str, float] = {}
        """When a node was first seen not to answer."""
        self._shortage: Shortage | None = None
        self._since = self._logged = self._last_seen = 0.0
        """Since when there is a shortage; when the last line was logged; when the shortage was last seen."""
        self._thread = threading.Thread(target=self._watch, name="waiting", daemon=True)

    def __enter__(self) -> "Waiting":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join(LOOK_S)  # it may be asking a cluster that does not answer

    def progress(self) -> None:
        """Something of the step is done."""
        self._progressed, self._has_progress = time.monotonic(), True

    def check(self) -> None:
        """Raises ValueError once the step has waited for as long as it may."""
        if self._refusal:
            raise ValueError(self._refusal)

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            try:
                inventory = take_inventory()
                if not self._ended.is_set():
                    self.look(inventory, time.monotonic())
            except Exception as error:  # Ray is being shut down, or its head does not answer: the step notices it itself
                log.debug("%s: the cluster could not be looked at: %s: %s", self._step, type(error).__name__, error)

    def look(self, inventory: Inventory, now: float) -> None:
        """Compare what the step asks for with what there is, and log what a reader should know."""
        self._note_nodes(inventory, now)
        self._count_deaths(inventory)
        gone_s = {node_id: now - died for node_id, died in self._died.items()}
        before = self._shortage
        current = shortage(self._demands, inventory, gone_s, is_idle=now - self._progressed > IDLE_S)
        if current is None and before is not None and now - self._last_seen < FIRST_S:
            return  # between a node's death and the new request for what it held, Ray knows of neither
        self._shortage = current
        if self._shortage is None:
            self._tell_none(before, now)
            return
        self._last_seen = now
        if before is None:
            self._since, self._logged = now, 0.0
        idle_s = max(0.0, now - max(self._since, self._progressed))
        emit.waiting(self._step, "GPU" if self._shortage.demand.each.get("GPU") else "CPU", idle_s)
        self._tell(self._shortage, before, now)
        if self._patience_s and idle_s > self._patience_s:
            self._refusal = (
                f"{self._step} did nothing for {idle_s:.0f} s (limits.resource_patience_s): {refusal(self._shortage, inventory)}; "
                "the same command goes on with the run"
            )

    def _tell(self, lack: Shortage, before: Shortage | None, now: float) -> None:
        is_other = before is None or (before.cause, before.demand) != (lack.cause, lack.demand)
        if now - self._since < FIRST_S or (self._logged and not is_other and now - self._logged < THEN_S):
            return
        self._logged = now
        log.warning("%s waits: %s (for %.0f s now)", self._step, lack, now - self._since)

    def _tell_none(self, before: Shortage | None, now: float) -> None:
        if before is not None and self._logged:
            log.info("%s goes on: all %s have their place after %.0f s", self._step, before.demand.what, now - self._since)
            self._logged = 0.0
        is_starting = not self._has_progress and now - self._began > FIRST_S
        emit.waiting(self._step, "start", now - self._began if is_starting else 0.0)
        if before is None and is_starting and now - self._began > START_S and now - self._logged > THEN_S:
            self._logged = now
            log.info(
                "%s: nothing is done after %.0f s; its processes start and load the model, or storage has not answered yet",
                self._step,
                now - self._began,
            )

    def _note_nodes(self, inventory: Inventory, now: float) -> None:
        """Log each node that has died or is drained, once; what the autoscaler gives back is no loss."""
        dead = {node.node_id: node for node in inventory.dead}
        if self._known_dead is None:
            self._known_dead = {*dead}
        self._died = {node_id: died for node_id, died in self._died.items() if now - died <= RECENT_S}
        for node_id in dead.keys() - self._known_dead:
            if dead[node_id].is_given_back:
                log.info("%s: node %s was idle, and the autoscaler gave it back", self._step, _labelled(dead[node_id]))
            else:
                self._died[node_id] = now
                log.warning("%s: node %s died", self._step, _labelled(dead[node_id]))
        self._known_dead |= dead.keys()
        for node in inventory.nodes:
            if not node.is_silent:
                self._silent.pop(node.node_id, None)
            elif now - self._silent.setdefault(node.node_id, now) >= LOOK_S and node.node_id not in self._named:
                self._named.add(node.node_id)
                log.warning(
                    "%s: node %s does not answer; it counts as lost, and Ray takes it for dead in less than a minute",
                    self._step,
                    node,
                )
            if node.is_leaving and node.node_id not in self._left:
                self._left.add(node.node_id)
                if node.free == node.total:
                    log.info("%s: node %s is being drained; nothing runs there", self._step, node)
                else:
                    log.warning("%s: node %s is being drained; what runs there is done again elsewhere", self._step, node)

    def _count_deaths(self, inventory: Inventory) -> None:
        """Count the generators that Ray has started anew: also those that die while they load their model, again and again."""
        actors = [process for demand in self._demands if demand.runs_as == "actors" for process in inventory.own(demand)]
        known = self._restarts if self._restarts is not None else {actor.actor_id: actor.restarts for actor in actors}
        deaths = sum(max(0, actor.restarts - known.get(actor.actor_id, 0)) for actor in actors)
        if deaths:
            emit.count(GENERATOR_DEATHS, self._step, deaths)
        self._restarts = known | {actor.actor_id: actor.restarts for actor in actors}


def _labelled(node: Node) -> str:
    return str(node).replace(", no CPU", "").replace(" (no CPU)", "")
