"""Takes the inventory of the connected cluster. It asks Ray's GCS, which each driver reaches, and needs no dashboard."""

import socket
from collections.abc import Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from ray._private.state import state
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.core.generated import autoscaler_pb2, common_pb2, gcs_pb2

from engine.connection import RUN
from engine.nodes.demand import RunsAs, canonical
from engine.nodes.inventory import Growth, Inventory, Node, Pending, Process

ANSWER_S, CONNECT_S = 10.0, 2.0
CONNECTIONS = 64
"""So many nodes are asked at the same time."""
STATES = ("ALIVE", "PENDING_CREATION", "RESTARTING")
"""Of actors that have a place or want it."""
JOB_LETTERS = 8
SHOWN_COMMAND = 100
"""Letters of a job's command line, where its run is not known."""


def take_inventory() -> Inventory:
    """Raises an error of Ray's where its GCS does not answer."""
    client = GcsClient(address=ray.get_runtime_context().gcs_address)
    reply = autoscaler_pb2.GetClusterStatusReply.FromString(client.get_cluster_status(timeout_s=ANSWER_S))
    resources = reply.cluster_resource_state
    leaving = state.get_draining_nodes()
    processes, waiting = _actors()
    known = {node["NodeID"]: node for node in ray.nodes()}
    ports = {node_id: node["NodeManagerPort"] for node_id, node in known.items() if node["Alive"]}
    silent = _silent({node.node_id.hex(): node.node_ip_address for node in resources.node_states}, ports)
    states = [
        (_node(node, known.get(node.node_id.hex(), {}), leaving, silent), node.status == autoscaler_pb2.NodeStatus.DEAD)
        for node in resources.node_states
    ]
    return Inventory(
        job=ray.get_runtime_context().get_job_id(),
        nodes=tuple(node for node, is_dead in states if not is_dead),
        dead=tuple(node for node, is_dead in states if is_dead),
        processes=processes,
        pending=(*waiting, *_demanded(resources)),
        jobs=_jobs(),
        growth=_growth(reply.autoscaling_state),
        most=state.get_max_resources_from_cluster_config(),
    )


def _node(node: Any, known: Mapping[str, Any], leaving: Mapping[str, int], silent: Set[str]) -> Node:
    """`known`: the node as Ray's table of nodes has it, which keeps the labels of dead ones, and why they died."""
    total = dict(node.total_resources)
    return Node(
        node_id=node.node_id.hex(),
        address=node.node_ip_address,
        labels=dict(node.labels) or known.get("Labels", {}),
        total=total,
        free=dict(node.available_resources),
        is_head="node:__internal_head__" in total,
        is_leaving=node.node_id.hex() in leaving,
        is_silent=node.node_id.hex() in silent,
        is_given_back=known.get("DeathReason") == common_pb2.NodeDeathInfo.AUTOSCALER_DRAIN_IDLE,
    )


def _silent(addresses: Mapping[str, str], ports: Mapping[str, int]) -> set[str]:
    """Of the nodes in `ports` those whose Ray takes no connection; a lost rack costs no more time than a lost node."""
    candidates = [node_id for node_id in ports if node_id in addresses]
    with ThreadPoolExecutor(max(1, min(CONNECTIONS, len(candidates)))) as pool:
        answers = pool.map(_answers, [addresses[node_id] for node_id in candidates], [ports[node_id] for node_id in candidates])
    return {node_id for node_id, is_answer in zip(candidates, answers, strict=True) if not is_answer}


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=CONNECT_S).close()
    except OSError:
        return False
    return True


def _actors() -> tuple[tuple[Process, ...], tuple[Pending, ...]]:
    """Those that have a place, and those that wait for one: of these the address names no worker yet."""
    accessor = state._connect_and_get_accessor()
    processes, waiting = [], []
    for raw in (raw for name in STATES for raw in accessor.get_actor_table(None, name)):
        actor = gcs_pb2.ActorTableData.FromString(raw)
        # within a placement group GPUs are called GPU_group_...
        each = {kind.partition("_group_")[0]: amount for kind, amount in actor.required_resources.items()}
        runs_as: RunsAs = "ranks" if any("_group_" in kind for kind in actor.required_resources) else "actors"
        selector = {key: canonical(condition) for key, condition in actor.label_selector.items()}
        job, node_id = actor.job_id.hex(), actor.address.node_id.hex()
        if actor.address.worker_id:
            processes.append(
                Process(
                    name=actor.class_name,
                    job=job,
                    node_id=node_id,
                    each=each,
                    selector=selector,
                    runs_as=runs_as,
                    actor_id=actor.actor_id.hex(),
                    restarts=actor.num_restarts,
                )
            )
        else:
            waiting.append(Pending(each=each, selector=selector, job=job, runs_as="actors"))
    return tuple(processes), tuple(waiting)


def _demanded(resources: Any) -> list[Pending]:
    """Tasks, among which Ray counts the actors too, and ranks: the id of a placement group ends with the id of its job."""
    single = [
        Pending(
            each=dict(pending.request.resources_bundle), selector=_selector(pending.request.label_selectors), count=pending.count
        )
        for pending in resources.pending_resource_requests
    ]
    gangs = [
        Pending(
            each=dict(gang.requests[0].resources_bundle),
            count=len(gang.requests),
            job=gang.details.partition(":")[0][-JOB_LETTERS:],
            runs_as="ranks",
        )
        for gang in resources.pending_gang_resource_requests
        if gang.requests
    ]
    return [*single, *gangs]


def _selector(selectors: Any) -> dict[str, str]:
    """The first alternative, in the form that a configuration has it."""
    written = {}
    for constraint in selectors[0].label_constraints if selectors else ():
        no = "!" if constraint.operator == common_pb2.LabelSelectorOperator.LABEL_OPERATOR_NOT_IN else ""
        written[constraint.label_key] = canonical(f"{no}in({','.join(constraint.label_values)})")
    return written


def _jobs() -> dict[str, str]:
    accessor = state._connect_and_get_accessor()
    table = accessor.get_job_table(skip_submission_job_info_field=True, skip_is_running_tasks_field=True)
    jobs = [gcs_pb2.JobTableData.FromString(raw) for raw in table]
    return {job.job_id.hex(): job.config.metadata.get(RUN) or job.entrypoint[:SHOWN_COMMAND] for job in jobs if not job.is_dead}


def _growth(scaling: Any) -> Growth | None:
    if not scaling.autoscaler_state_version:
        return None
    coming = [f"{request.count} x {request.ray_node_type_name}" for request in scaling.pending_instance_requests]
    coming += [f"{instance.ray_node_type_name} ({instance.details})" for instance in scaling.pending_instances]
    refused = [f"{request.ray_node_type_name}: {request.reason}" for request in scaling.failed_instance_requests]
    return Growth(coming=tuple(coming), refused=tuple(dict.fromkeys(refused)))
