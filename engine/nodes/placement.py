"""How many generators a cluster holds, and which of its nodes decode: decided when a step begins. Pure."""

from dataclasses import replace

from engine.config import Cluster
from engine.nodes.demand import Demand, amounts, room
from engine.nodes.inventory import Inventory

ACCELERATOR = "ray.io/accelerator-type"
"""Label that Ray gives to nodes with GPUs: "H100"."""


def placed(cluster: Cluster, inventory: Inventory) -> tuple[Cluster, list[str]]:
    """The section with a number for generator_actors = "auto", and a selector that keeps decode off GPUs; lines that say so."""
    lines: list[str] = []
    selector, line = _decode_selector(cluster, inventory)
    if line:
        lines.append(line)
    update: dict[str, object] = {"decode_selector": selector}
    if cluster.generator_actors == "auto":
        count = generators_that_fit(cluster, inventory)
        each = amounts(generator_needs(cluster))
        lines.append(f'generator_actors = "auto" is {count}, of {each} each: the cluster has {inventory.described()}')
        update["generator_actors"] = count
    return cluster.model_copy(update=update), lines


def generator_needs(cluster: Cluster) -> dict[str, float]:
    """
    >>> generator_needs(Cluster(generator_gpus=0.5))
    {'CPU': 1.0, 'GPU': 0.5}
    """
    return {"CPU": cluster.generator_cpus, "GPU": cluster.generator_gpus}


def generators_that_fit(cluster: Cluster, inventory: Inventory) -> int:
    """As many as the matching nodes hold when nothing else runs, with room left for one decode task; 1 at least.

    A node that has not answered once may be busy, and counts.

    Of a cluster whose bounds Ray knows, as many as it may grow to. They are known without labels, so only where there is no
    selector.
    """
    each = generator_needs(cluster)
    inventory = replace(inventory, nodes=tuple(replace(node, is_silent=False) for node in inventory.nodes))
    if inventory.most and not cluster.generator_selector:
        most = dict(inventory.most)
        return max(1, room(most | {"CPU": most.get("CPU", 0) - cluster.decode_cpus}, each))
    matching = inventory.matching(cluster.generator_selector)
    decoding = {node.node_id for node in inventory.matching(cluster.decode_selector)}
    own = {node.node_id for node in matching}
    elsewhere = any(node.node_id in decoding - own and node.total.get("CPU", 0) >= cluster.decode_cpus for node in inventory.nodes)
    rooms = [room(node.total, each) for node in matching]
    lacking = [
        fits - room(dict(node.total) | {"CPU": node.total.get("CPU", 0) - cluster.decode_cpus}, each)
        for node, fits in zip(matching, rooms, strict=True)
        if node.node_id in decoding and node.total.get("CPU", 0) >= cluster.decode_cpus
    ]
    return max(1, sum(rooms) - (0 if elsewhere else min(lacking, default=0)))


def _decode_selector(cluster: Cluster, inventory: Inventory) -> tuple[dict[str, str], str]:
    """Off the nodes with GPUs where worker nodes without GPUs are there: by the names that Ray gives to the GPUs' types."""
    own = dict(cluster.decode_selector)
    with_gpus = [node for node in inventory.nodes if node.total.get("GPU")]
    types = sorted({node.labels[ACCELERATOR] for node in with_gpus if ACCELERATOR in node.labels})
    others = [
        node
        for node in inventory.nodes
        if not node.total.get("GPU") and not node.is_head and node.total.get("CPU", 0) >= cluster.decode_cpus
    ]
    if own or cluster.decode_on_gpu_nodes or not types or not others:
        return own, ""
    cpus, kept_off = (sum(node.total.get("CPU", 0) for node in nodes) for nodes in (others, with_gpus))
    return {ACCELERATOR: f"!in({','.join(types)})"}, (
        f"decode stays off the nodes with GPUs: it has {cpus:g} CPUs of others; cluster.decode_on_gpu_nodes = true gives it the "
        f"{kept_off:g} CPUs there too"
    )


def demands(cluster: Cluster, kind: str, workers: int) -> list[Demand]:
    """What a step of this kind needs at once, or it would wait for ever: its processes, and one task of each kind beside them."""
    decode = Demand(
        what="decode tasks",
        count=1,
        each={"CPU": cluster.decode_cpus},
        selector=cluster.decode_selector,
        keys="cluster.decode_cpus or decode_selector",
        runs_as="tasks",
    )
    if kind == "train":
        processes = Demand(
            what="training workers",
            count=workers,
            each={"CPU": cluster.train_cpus, "GPU": cluster.train_gpus},
            selector=cluster.train_selector,
            keys="train.num_workers, cluster.train_cpus, train_gpus or train_selector",
            runs_as="ranks",
        )
        return [processes, decode]
    processes = Demand(
        what="generators",
        count=cluster.num_generators,
        each=generator_needs(cluster),
        selector=cluster.generator_selector,
        keys="cluster.generator_actors, generator_cpus, generator_gpus or generator_selector",
        runs_as="actors",
    )
    write = Demand(  # what remains once all generators have ended
        what="write tasks",
        count=1,
        each={},
        selector=cluster.generator_selector,
        keys="cluster.generator_selector",
        runs_as="tasks",
    )
    return [processes, decode, write]
