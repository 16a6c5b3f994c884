"""What a Ray cluster has at one moment, as values: nodes, what waits, who holds what, and what the autoscaler does. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.nodes.demand import Demand, Resources, RunsAs, amounts, canonical, matches, room

NAMED_NODES = 6
"""How many nodes a line lists one by one."""
STEP = 1e-3
OWN_LABELS = "ray.io/"
"""Prefix of the labels that Ray itself gives to nodes."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """Node(node_id="5b9b...", address="10.0.0.3", labels={"starloop/pool": "train"}, total={"CPU": 8}, free={"CPU": 2})"""

    node_id: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    total: Resources = field(default_factory=dict)
    """{} for a node that is dead."""
    free: Resources = field(default_factory=dict)
    is_head: bool = False
    is_leaving: bool = False
    """It is drained: what runs there may end, and nothing new starts."""
    is_silent: bool = False
    """Its Ray takes no connection. Ray takes it for dead after 15 s, or a minute.

    It counts as lost meanwhile: its processes have no place, and it offers none.
    """
    is_given_back: bool = False
    """It is dead because the autoscaler gave it back: nothing ran there."""

    def __str__(self) -> str:
        own = [f"{key}={value}" for key, value in self.labels.items() if not key.startswith(OWN_LABELS)]
        return f"{self.address} ({', '.join([*own, amounts(self.total)])})"


@dataclass(frozen=True, kw_only=True)
class Process:
    """An actor that has its place, and may still load its model.

    Process(name="MapWorker(MapBatches(generate))", job="02000000", node_id="5b9b...", each={"GPU": 1}, runs_as="actors")
    """

    name: str
    job: str
    node_id: str
    each: Resources
    selector: Mapping[str, str] = field(default_factory=dict)
    """Of canonical conditions; {} for ranks, whose placement group has it."""
    runs_as: RunsAs = "actors"
    actor_id: str = ""
    """It stays when the process is started anew."""
    restarts: int = 0
    """How often Ray started it anew."""


@dataclass(frozen=True, kw_only=True)
class Pending:
    """So many processes without a place: Pending(each={"CPU": 1}, selector={"pool": "train"}, count=2)"""

    each: Resources
    selector: Mapping[str, str] = field(default_factory=dict)
    """Of canonical conditions."""
    count: int = 1
    job: str = ""
    """"" for tasks, of which Ray does not tell."""
    runs_as: RunsAs = "tasks"


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What the autoscaler does: Growth(coming=("2 x generate",), refused=("generate: no capacity",))"""

    coming: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Inventory:
    job: str
    """This driver's."""
    nodes: tuple[Node, ...]
    dead: tuple[Node, ...] = ()
    processes: tuple[Process, ...] = ()
    pending: tuple[Pending, ...] = ()
    jobs: Mapping[str, str] = field(default_factory=dict)
    """Of each job that is at work, its run, or its command line."""
    growth: Growth | None = None
    """None: there is no autoscaler."""
    most: Resources | None = None
    """What the cluster may grow to; None: not known."""

    def matching(self, selector: Mapping[str, str]) -> list[Node]:
        return [node for node in self.nodes if matches(node.labels, selector) and not node.is_leaving and not node.is_silent]

    def capacity(self, demand: Demand) -> int:
        """How many of the demand's processes the present nodes hold when nothing else runs."""
        return sum(room(node.total, demand.each) for node in self.matching(demand.selector))

    def beside_actors(self, demand: Demand) -> int:
        """How many of the demand's tasks the present nodes hold beside the actors that are there: tasks take turns."""
        held: dict[str, Counter[str]] = {}
        for process in self.processes:
            held.setdefault(process.node_id, Counter()).update(process.each)  # type: ignore[arg-type]  # it adds floats too
        rooms = []
        for node in self.matching(demand.selector):
            own = held.get(node.node_id, Counter())
            rooms.append(room({kind: amount - own[kind] for kind, amount in node.total.items()}, demand.each))
        return sum(rooms)

    def waiting(self, demand: Demand) -> int:
        """How many of the demand's processes have no place. Tasks may run on each silent node: Ray does not tell where they are."""
        mine = [p for p in self.pending if p.runs_as == demand.runs_as and p.job in ("", self.job)]
        num_requested = sum(p.count for p in mine if demand.runs_as == "ranks" or _is_of(p, demand))
        present = {node.node_id for node in self.nodes if not node.is_silent}
        num_lost = sum(p.node_id not in present for p in self.own(demand))
        if demand.runs_as == "tasks":
            num_lost += sum(node.is_silent and matches(node.labels, demand.selector) for node in self.nodes)
        return min(num_requested + num_lost, demand.count)

    def own(self, demand: Demand) -> list[Process]:
        """This job's processes that ask for what the demand asks for."""
        return [p for p in self.processes if p.runs_as == demand.runs_as and p.job == self.job and _is_of(p, demand)]

    def described(self) -> str:
        """The nodes in one line: one by one where they are few, else counted by labels and size."""
        if len(self.nodes) <= NAMED_NODES:
            return ", ".join(str(node) for node in self.nodes) or "no node"
        kinds = Counter(str(node).partition(" ")[2] for node in self.nodes)
        return ", ".join(f"{count} x {kind}" for kind, count in kinds.items())

    def holders(self, demand: Demand) -> str:
        """Who holds what the demand asks for, on the nodes that match: the jobs with their runs, and their processes.

        GPUs where the demand asks for GPUs, and CPUs else.
        """
        kind = "GPU" if demand.each.get("GPU") else "CPU"
        nodes = {node.node_id: node for node in self.matching(demand.selector)}
        held: dict[str, Counter[str]] = {}
        for process in self.processes:
            if process.node_id in nodes and process.each.get(kind):
                held.setdefault(process.job, Counter())[process.name] += 1
        parts = []
        for job, names in sorted(held.items()):
            owner = "this run itself" if job == self.job else f"job {job} ({self.jobs.get(job) or 'its run is not known'})"
            parts.append(f"{owner}: {', '.join(f'{count} x {name}' for name, count in names.items())}")
        return "; ".join(parts) or "tasks, or processes that are ending"


def _is_of(process: Process | Pending, demand: Demand) -> bool:
    """Whether they ask for the same. Ray counts resources in steps of 1/10,000."""
    kinds = {kind for kind, amount in {**process.each, **demand.each}.items() if amount > 0}
    if any(abs(process.each.get(kind, 0) - demand.each.get(kind, 0)) > STEP for kind in kinds):
        return False
    if demand.runs_as == "ranks":
        return True
    return dict(process.selector) == {key: canonical(condition) for key, condition in demand.selector.items()}
