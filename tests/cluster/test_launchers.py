"""Pins that Ray's own launcher takes cluster/launcher, with tokens and labels, and that SkyPilot takes cluster/skypilot."""

import copy
import json
import os
import shlex
import subprocess
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from engine.presets import load_config
from jobs.cli import app
from manifests import CLUSTER, built, cluster_of, groups, ray_object

LAUNCHERS = ["aws", "gcp"]
launchers = pytest.mark.parametrize("cloud", LAUNCHERS)
SKYPILOT = yaml.safe_load((CLUSTER / "skypilot/run.yaml").read_text())
SKYPILOT_PYTHON = os.environ.get("STARLOOP_TEST_SKYPILOT_PYTHON")


def written(cloud: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((CLUSTER / "launcher" / f"{cloud}.yaml").read_text())
    return config


def prepared(config: dict[str, Any]) -> dict[str, Any]:
    """What `ray up` makes of it with the defaults of its cloud. Raises ValidationError for a key that Ray does not know."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(copy.deepcopy(config))
    validate_config(config)
    return config


@launchers
def test_ray_up_takes_the_file(cloud: str) -> None:
    config = prepared(written(cloud))
    assert config["provider"]["type"] == cloud
    assert config["provider"]["use_internal_ips"] is True
    with pytest.raises(jsonschema.ValidationError, match="idle_timeout_minuts"):
        prepared(written(cloud) | {"idle_timeout_minuts": 5})


@launchers
def test_pools_and_bounds_are_those_of_the_manifests(cloud: str) -> None:
    config = prepared(written(cloud))
    types = config["available_node_types"]
    cluster = cluster_of(ray_object(built("many-nodes-spot")))
    assert [types[name]["labels"] for name in types] == [group["labels"] for group in groups(cluster)]
    for group in cluster["workerGroupSpecs"]:
        assert types[group["groupName"]]["max_workers"] == group["maxReplicas"]
    assert types["head"]["resources"]["CPU"] == 0
    assert config["max_workers"] >= sum(group["maxReplicas"] for group in cluster["workerGroupSpecs"])


@launchers
def test_nothing_is_installed_on_the_nodes(cloud: str) -> None:
    """Ray's defaults install its nightly wheel, with which no node of ours could join."""
    config = prepared(written(cloud))
    assert [config[key] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")] == [[], [], []]


@launchers
def test_every_node_asks_for_the_token_and_the_dashboard_listens_to_its_own_node_alone(cloud: str) -> None:
    config = prepared(written(cloud))
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    (path,) = config["file_mounts"]
    assert f"--env RAY_AUTH_TOKEN_PATH={path}" in config["docker"]["run_options"]
    start = config["head_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in start
    assert "--autoscaling-config=" in start


@launchers
def test_decoding_and_generation_are_on_spot_nodes_and_the_others_are_not(cloud: str) -> None:
    types = written(cloud)["available_node_types"]
    spot = {name for name, kind in types.items() if "SPOT" in str(kind["node_config"]).upper()}
    assert spot == {"decode", "generate"}


@launchers
def test_images_are_those_of_the_manifests(cloud: str) -> None:
    config = written(cloud)
    images = yaml.safe_load((CLUSTER / "values/values.yaml").read_text())["image"]
    assert config["docker"]["image"] == images["cpu"]
    with_gpus = {name for name, kind in config["available_node_types"].items() if kind["resources"].get("GPU")}
    assert with_gpus == {"generate", "train"}
    assert {config["available_node_types"][name]["docker"]["worker_image"] for name in with_gpus} == {images["cuda"]}


def test_skypilot_runs_a_command_that_the_real_one_parses() -> None:
    line = SKYPILOT["run"].splitlines()[-1]
    envs = {"CONFIG": SKYPILOT["envs"]["CONFIG"], "RUN": "s3://BUCKET/runs/first", "MANIFEST": "s3://BUCKET/manifest.parquet"}
    for name, value in envs.items():
        line = line.replace(f"${name}", value)
    words = shlex.split(line)
    assert words[:4] == ["python", "-m", "jobs", "selftrain"]
    command = typer.main.get_command(app).commands["selftrain"]  # type: ignore[attr-defined]
    params = command.make_context("selftrain", words[4:]).params
    assert load_config(CLUSTER.parent / params["config"], params["settings"]).run.uri == envs["RUN"]


@pytest.mark.skipif(SKYPILOT_PYTHON is None, reason="make test-skypilot names a Python that has SkyPilot")
def test_skypilot_takes_the_file_and_refuses_a_field_that_it_does_not_know() -> None:
    program = """
import json, sys, sky
config = json.load(sys.stdin)
task = sky.Task.from_yaml_config(config, [("RUN", "s3://BUCKET/runs/first"), ("MANIFEST", "s3://BUCKET/manifest.parquet")])
print(json.dumps(sorted([str(resources.cloud), resources.use_spot] for resources in task.resources)))
"""

    def ask(config: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        command = [SKYPILOT_PYTHON or "", "-c", program]
        return subprocess.run(command, input=json.dumps(config), capture_output=True, text=True, timeout=120)

    taken = ask(SKYPILOT)
    assert taken.returncode == 0, taken.stderr
    assert json.loads(taken.stdout.splitlines()[-1]) == [["AWS", True], ["GCP", True]]
    assert "did you mean 'workdir'" in ask(SKYPILOT | {"workdirr": "."}).stderr
