"""Pins what is read of a real Ray, a flow that is ended while it waits, GPUs that are handed over, and the probe of nodes."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from command import ROOT
from engine import flow
from engine.config import Cluster
from engine.nodes.demand import Demand
from engine.nodes.look import take_inventory
from engine.nodes.probe import troubles
from engine.nodes.shortage import shortage
from engine.presets import load_config
from engine.run.place import place
from engine.run.plan import Step

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
NOWHERE = {"starloop/pool": "in(nowhere)"}


def as_it_is(row: dict[str, Any]) -> dict[str, Any]:
    return row


class Idle:
    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return row


def test_a_flow_that_waits_for_a_node_is_ended_by_its_check(ray_cluster: None) -> None:
    """Its actors wait for a node with a label that none has: the inventory names them, and the check's error comes out as it is."""
    stages = [flow.Stage(name="generate", work=Idle, actors=2, cpus=0.5, node_labels=NOWHERE)]
    demand = Demand(what="generators", count=2, each={"CPU": 0.5}, selector=NOWHERE, keys="", runs_as="actors")
    lines = []

    def check() -> None:
        if (lack := shortage([demand], take_inventory())) is not None and lack.missing == 2:
            lines.append(str(lack))
            raise ValueError("the patience is over")

    with pytest.raises(ValueError, match=r"^the patience is over$"):
        list(flow.run([{"row": 1}], stages, flow.Manner(check=check)))
    assert lines == [
        "2 of 2 generators have no place: no node has starloop/pool=in(nowhere); each waits for 0.5 CPU on a node with "
        "starloop/pool=in(nowhere); no autoscaler adds nodes to this cluster"
    ]
    assert flow.CHECKS == []


def test_a_task_that_asks_for_no_resource_and_waits_for_a_label_is_read_of_ray(ray_cluster: None) -> None:
    """As the writes of a generate step, once Ray Data has given the generators back."""
    demand = Demand(what="write tasks", count=1, each={}, selector=NOWHERE, keys="", runs_as="tasks")

    def check() -> None:
        if (lack := shortage([demand], take_inventory())) is not None:
            raise ValueError(str(lack))

    stage = flow.Stage(name="write", work=as_it_is, cpus=0, node_labels=NOWHERE)
    with pytest.raises(
        ValueError, match=r"^write tasks have no place: no node has starloop/pool=in\(nowhere\); each waits for a node"
    ):
        list(flow.run([{"row": 1}], [stage], flow.Manner(check=check)))


def test_restarts_of_an_actor_that_never_gets_ready_are_read_of_ray(ray_cluster: None, tmp_path: Path) -> None:
    @ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
    class Loading:
        def __init__(self) -> None:
            (tmp_path / str(time.time_ns())).touch()
            if len(list(tmp_path.iterdir())) < 3:
                os._exit(1)

        def ready(self) -> bool:
            return True

    actor = Loading.remote()
    assert ray.get(actor.ready.remote(), timeout=120)
    (process,) = [process for process in take_inventory().processes if process.name.endswith("Loading")]
    assert (process.restarts, bool(process.actor_id)) == (2, True)
    ray.kill(actor)


def test_a_selector_that_this_machine_does_not_fulfil_is_refused_before_the_step(ray_cluster: None) -> None:
    config = load_config(None, ["data.manifest=m.csv", 'cluster.generator_selector={"starloop/pool" = "generate"}'])
    step = Step(name="base/evaluate", kind="evaluate", cycle=-1, inputs=())
    with pytest.raises(
        ValueError, match=r"^base/evaluate: it asks for 1 generators of 1 CPU on a node with starloop/pool=generate"
    ):
        place(step, config)


def test_the_nodes_of_one_environment_have_no_trouble(ray_cluster: None) -> None:
    assert list(troubles(take_inventory(), Cluster())) == []


GPUS = """
import json, logging, sys, time
import ray
from engine.nodes.look import take_inventory
from engine.run.place import hand_over
logging.basicConfig(level=logging.INFO)
ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
@ray.remote(num_gpus=1)
class Generator:
    def ready(self): return True
generator = Generator.remote()
ray.get(generator.ready.remote())
try:
    hand_over("cycle-000/train", 1.0)
except ValueError as error:
    print(json.dumps(str(error)))
ray.kill(generator)
hand_over("cycle-000/train", 60.0)
print(json.dumps("free"))
"""


def test_gpus_that_an_earlier_step_keeps_end_the_next_one_with_their_holders() -> None:
    """A GPU of which only Ray is told: nothing computes on it."""
    done = subprocess.run([sys.executable, "-c", GPUS], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    refused, free = [json.loads(line) for line in done.stdout.splitlines()]
    assert refused.startswith("cycle-000/train: processes of an earlier step still hold GPUs after 1 s: Generator with 1 GPU on ")
    assert free == "free"


SCALE_DOWN = """
import json, time
import ray
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2
from engine.nodes.look import take_inventory
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
try:
    ray.init(address=cluster.address, log_to_driver=False)
    given_back, killed = [cluster.add_node(num_cpus=1, labels={"pool": name}) for name in ("idle", "killed")]
    cluster.wait_for_nodes()
    IDLE = autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_IDLE_TERMINATION
    GcsClient(address=cluster.address).drain_node(given_back.node_id, IDLE, "idle", 0)
    cluster.remove_node(killed, allow_graceful=False)
    while len(dead := take_inventory().dead) < 2:
        time.sleep(0.2)
    print(json.dumps({node.labels["pool"]: node.is_given_back for node in dead}))
finally:
    ray.shutdown()
    cluster.shutdown()
"""


def test_a_node_that_the_autoscaler_gives_back_is_told_from_one_that_is_lost() -> None:
    with tempfile.TemporaryDirectory(prefix="sl-") as folder:
        done = subprocess.run(
            [sys.executable, "-c", SCALE_DOWN], cwd=ROOT, env=os.environ | {"RAY_TMPDIR": folder}, capture_output=True, text=True,
            timeout=200,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"idle": True, "killed": False}


OTHER_RAY = """
import json, sys
import ray
from ray._private import ray_constants
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put
from engine.connection import connect
context = ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
metadata = json.loads(_internal_kv_get(b"CLUSTER_METADATA", namespace=ray_constants.KV_NAMESPACE_CLUSTER))
_internal_kv_put(b"CLUSTER_METADATA", json.dumps(metadata | {"ray_version": "2.59.0"}).encode(), True,
                 namespace=ray_constants.KV_NAMESPACE_CLUSTER)
import subprocess
code = f"from engine.connection import connect\\nwith connect({context.address_info['gcs_address']!r}): pass"
done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
print(done.stderr.splitlines()[-1])
"""


def test_a_head_with_another_ray_is_refused_in_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", OTHER_RAY], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    line = done.stdout.splitlines()[-1]
    assert line.startswith("ValueError: Version mismatch")
    assert "2.59.0" in line
    assert line.endswith("; run the command in an image of the cluster's")
