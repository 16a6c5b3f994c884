"""What a step asks of a cluster: so many processes, each with CPUs and GPUs, on nodes with certain labels. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Resources = Mapping[str, float]
"""{"CPU": 4.0, "GPU": 1.0}"""
SELECTED = re.compile(r"(?P<no>!?)(?:in\((?P<values>[^()]+)\)|(?P<value>[^!()]*))")
"""A value of Ray's label selectors: "a", "!a", "in(a, b)" or "!in(a, b)"."""
EPSILON = 1e-6
RunsAs = Literal["actors", "ranks", "tasks"]
"""actors: each starts as soon as it has a place. ranks: all start together. tasks: one place is enough to go on."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """Demand(what="generators", count=8, each={"CPU": 2, "GPU": 1}, selector={"starloop/pool": "generate"}, keys="...", ...)"""

    what: str
    """Plural."""
    count: int
    each: Resources
    selector: Mapping[str, str] = field(default_factory=dict)
    keys: str
    """Keys of the configuration that change it."""
    runs_as: RunsAs


def matches(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether a node with these labels is selected: every condition holds; a label that is absent differs from each value.

    >>> matches({"pool": "train"}, {"pool": "in(train, generate)"}), matches({"pool": "train"}, {"pool": "!train"})
    (True, False)
    >>> matches({}, {"pool": "!in(train,generate)"}), matches({}, {"pool": "train"})
    (True, False)
    """
    for key, condition in selector.items():
        is_excluded, values = _parsed(condition)
        if (labels.get(key) in values) == is_excluded:
            return False
    return True


def share_nodes(first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    """Whether there may be a node that both selectors select.

    >>> share_nodes({"pool": "in(generate, one)"}, {"pool": "in(train, one)"}), share_nodes({}, {"pool": "train"})
    (True, True)
    >>> share_nodes({"pool": "generate"}, {"pool": "train"}), share_nodes({"pool": "!train"}, {"pool": "train"})
    (False, False)
    """
    for key in first.keys() & second.keys():
        (first_excludes, ours), (second_excludes, theirs) = _parsed(first[key]), _parsed(second[key])
        if first_excludes and second_excludes:
            continue
        left = (
            set(theirs) - set(ours) if first_excludes else set(ours) - set(theirs) if second_excludes else set(ours) & set(theirs)
        )
        if not left:
            return False
    return True


def _parsed(condition: str) -> tuple[bool, list[str]]:
    """Whether the values are excluded, and the values, in order."""
    parsed = SELECTED.fullmatch(condition)
    assert parsed is not None, f"{condition} is not a condition on a label"
    values = parsed["values"].replace(" ", "").split(",") if parsed["values"] else [parsed["value"]]
    return bool(parsed["no"]), sorted(values)


def canonical(condition: str) -> str:
    """One form of conditions that say the same.

    >>> canonical("in(b, a)"), canonical("!in(a)"), canonical("a")
    ('in(a,b)', '!a', 'a')
    """
    is_excluded, values = _parsed(condition)
    return "!" * is_excluded + (values[0] if len(values) == 1 else f"in({','.join(values)})")


def room(resources: Resources, each: Resources) -> int:
    """How many processes a node with these resources holds; a share of a GPU does not reach over to the next GPU.

    >>> room({"CPU": 8, "GPU": 2}, {"CPU": 2, "GPU": 0.6}), room({"CPU": 3}, {"CPU": 2}), room({"CPU": 1}, {"CPU": 1, "GPU": 1})
    (2, 1, 0)
    """
    rooms = []
    for kind, amount in each.items():
        if amount <= 0:
            continue
        has = resources.get(kind, 0.0)
        if kind == "GPU" and amount < 1:
            shared = int(1 / amount + EPSILON)
            rooms.append(int(has + EPSILON) * shared + int(has % 1 / amount + EPSILON))
        else:
            rooms.append(int(has / amount + EPSILON))
    return min(rooms, default=1_000_000)


def a_place(demand: Demand) -> str:
    """
    >>> a_place(Demand(what="", count=1, each={"CPU": 1, "GPU": 1}, selector={"pool": "train"}, keys="", runs_as="ranks"))
    '1 GPU and 1 CPU on a node with pool=train'
    >>> a_place(Demand(what="", count=1, each={}, selector={"pool": "generate"}, keys="", runs_as="tasks"))
    'a node with pool=generate'
    """
    node = f"a node with {conditions(demand.selector)}" if demand.selector else ""
    if not any(demand.each.values()):
        return node or "a node"
    return amounts(demand.each) + (f" on {node}" if node else "")


def amounts(resources: Resources) -> str:
    """
    >>> amounts({"CPU": 2.0, "GPU": 0.5, "memory": 1e9}), amounts({"CPU": 0.0})
    ('0.5 GPU and 2 CPUs', 'no CPU')
    """
    kinds = [(kind, resources[kind]) for kind in ("GPU", "CPU") if resources.get(kind)]
    return " and ".join(f"{amount:g} {kind}{'s' if amount > 1 else ''}" for kind, amount in kinds) or "no CPU"


def conditions(selector: Mapping[str, str]) -> str:
    """
    >>> conditions({"pool": "train", "zone": "!in(a, b)"})
    'pool=train and zone=!in(a, b)'
    """
    return " and ".join(f"{key}={value}" for key, value in selector.items())
