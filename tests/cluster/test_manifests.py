"""Pins that each overlay of cluster/ builds, has no field that its schema lacks, and fits together: accounts, labels, commands."""

import copy
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from engine.connection import RUN
from engine.nodes.demand import matches
from engine.presets import load_config
from jobs.cli import app
from jobs.job_server import run_name
from manifests import (
    CLUSTER,
    CRDS,
    OVERLAYS,
    Manifest,
    build,
    built,
    cluster_of,
    groups,
    job_of,
    leaves,
    ray_object,
    refuse_unknown,
    the,
)

VALUES = yaml.safe_load((CLUSTER / "values/values.yaml").read_text())
KINDS = {
    "cpu-demo": "RayJob",
    "many-nodes-spot": "RayJob",
    "nightly": "RayCronJob",
    "one-node-8-gpus": "RayJob",
    "standing-cluster": "RayCluster",
    "vllm": "RayJob",
}
EVERY_POOL = ["head", "decode", "generate", "train"]
POOLS = dict.fromkeys(KINDS, EVERY_POOL) | {"cpu-demo": ["head"], "one-node-8-gpus": ["head", "one-node"]}

overlays = pytest.mark.parametrize("overlay", OVERLAYS)


@overlays
def test_no_object_has_a_field_that_its_schema_lacks(overlay: str) -> None:
    for manifest in built(overlay):
        refuse_unknown(manifest)


@pytest.mark.skipif(CRDS is None, reason="set STARLOOP_TEST_CRDS to a folder with KubeRay's CRDs to validate against them")
@overlays
def test_a_misspelt_field_of_a_ray_object_is_refused(overlay: str) -> None:
    ray = copy.deepcopy(ray_object(built(overlay)))
    cluster_of(ray)["headGroupSpec"]["template"]["spec"]["serviceAcountName"] = "x"
    with pytest.raises(Exception, match="serviceAcountName"):
        refuse_unknown(ray)


def test_a_misspelt_field_of_a_core_object_is_refused() -> None:
    policy = copy.deepcopy(the("NetworkPolicy", built("cpu-demo"), "starloop"))
    policy["spec"]["podSelektor"] = {}
    with pytest.raises(Exception, match="podSelektor"):
        refuse_unknown(policy)


@overlays
def test_each_overlay_has_one_ray_object_of_its_kind_and_nothing_that_was_only_copied_from(overlay: str) -> None:
    assert ray_object(built(overlay))["kind"] == KINDS[overlay]
    assert {manifest["kind"] for manifest in built(overlay)} == {
        KINDS[overlay], "ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"
    }  # fmt: skip


@overlays
def test_all_clusters_have_tokens_and_the_second_autoscaler_and_a_head_without_other_work(overlay: str) -> None:
    cluster = cluster_of(ray_object(built(overlay)))
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    params = cluster["headGroupSpec"]["rayStartParams"]
    assert params == ({} if overlay == "cpu-demo" else {"num-cpus": "0"})


@overlays
def test_pods_are_not_root_and_write_only_to_their_scratch(overlay: str) -> None:
    cluster = cluster_of(ray_object(built(overlay)))
    for group in groups(cluster):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        for context in (container["securityContext"], cluster["autoscalerOptions"]["securityContext"]):
            assert context == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert writable == ["/tmp"]
        assert {"name": "HOME", "value": "/tmp"} in container["env"]
        mounted = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == mounted
    assert cluster["autoscalerOptions"]["volumeMounts"] == [{"name": "scratch", "mountPath": "/tmp"}]


@overlays
def test_what_a_pod_names_is_in_the_overlay(overlay: str) -> None:
    manifests = built(overlay)
    accounts = {m["metadata"]["name"]: m for m in manifests if m["kind"] == "ServiceAccount"}
    maps = {m["metadata"]["name"] for m in manifests if m["kind"] == "ConfigMap"}
    used = []
    for group in groups(cluster_of(ray_object(manifests))):
        pod = group["template"]["spec"]
        used.append(pod["serviceAccountName"])
        assert {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume} <= maps
        assert pod["containers"][0]["envFrom"] == [{"configMapRef": {"name": "starloop-environment"}}]
    assert sorted(used) == sorted(accounts)
    with_token = [name for name, account in accounts.items() if account["automountServiceAccountToken"]]
    assert with_token == ["starloop-head"]  # for the autoscaler


@overlays
def test_pools_are_labelled_for_ray_and_for_kubernetes(overlay: str) -> None:
    cluster = cluster_of(ray_object(built(overlay)))
    labels = [group["labels"]["starloop/pool"] for group in groups(cluster)]
    assert labels == POOLS[overlay]
    for group in groups(cluster):
        assert group["template"]["metadata"]["labels"] == {"app.kubernetes.io/name": "starloop"} | group["labels"]
    for budget in (manifest for manifest in built(overlay) if manifest["kind"] == "PodDisruptionBudget"):
        assert budget["spec"]["selector"]["matchLabels"]["starloop/pool"] in labels
        assert type(budget["spec"]["minAvailable"]) is int


@overlays
def test_rays_own_autoscaler_reads_pools_with_their_labels_and_bounds(overlay: str) -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    cluster = cluster_of(ray_object(built(overlay)))
    config = _derive_autoscaling_config_from_ray_cr({"metadata": {"name": "a", "namespace": "b"}, "spec": cluster})
    types = config["available_node_types"]
    assert [types[name]["labels"]["starloop/pool"] for name in types] == POOLS[overlay]
    for group in cluster["workerGroupSpecs"]:
        assert types[group["groupName"]]["max_workers"] == group["maxReplicas"] > 0
    gpus = {name: kind["resources"].get("GPU", 0) for name, kind in types.items()}
    assert {name for name, number in gpus.items() if number} == set(types) & {"generate", "train", "one-node"}


@overlays
def test_only_the_images_with_cuda_are_on_nodes_with_gpus(overlay: str) -> None:
    images = {group["labels"]["starloop/pool"]: image_of(group) for group in groups(cluster_of(ray_object(built(overlay))))}
    expected = {
        "head": "cpu",
        "decode": "cpu",
        "generate": "vllm" if overlay == "vllm" else "cuda",
        "train": "cuda",
        "one-node": "cuda",
    }
    assert images == {pool: VALUES["image"][expected[pool]] for pool in POOLS[overlay]}


def image_of(group: Manifest) -> str:
    image: str = group["template"]["spec"]["containers"][0]["image"]
    return image


@overlays
def test_a_pod_drains_for_as_long_as_its_grace_lasts_but_for_the_end_itself(overlay: str) -> None:
    for group in groups(cluster_of(ray_object(built(overlay)))):
        pod = group["template"]["spec"]
        (drain_s,) = [
            float(item["value"]) for item in pod["containers"][0]["env"] if item["name"] == "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
        ]
        assert 60 < drain_s < pod["terminationGracePeriodSeconds"] - 10


def test_ray_reads_how_long_a_pod_drains() -> None:
    import ray._private.ray_constants as constants

    assert constants.RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S > 0


@pytest.mark.parametrize("overlay", ["many-nodes-spot", "nightly", "standing-cluster", "vllm"])
def test_a_job_begins_with_its_head_alone(overlay: str) -> None:
    """KubeRay submits no job before all replicas run, and ingest needs no GPU."""
    workers = cluster_of(ray_object(built(overlay)))["workerGroupSpecs"]
    assert {group["groupName"]: group["replicas"] for group in workers} == {"decode": 0, "generate": 0, "train": 0}


def test_a_night_that_fails_is_not_tried_again_and_a_run_is() -> None:
    """A refusal by another night's lease would be the same, on five clusters with GPUs."""
    assert job_of(ray_object(built("nightly")))["backoffLimit"] == 0
    assert job_of(ray_object(built("many-nodes-spot")))["backoffLimit"] > 0


@overlays
def test_the_dns_is_reached_as_pods_and_on_the_node_itself(overlay: str) -> None:
    rules = the("NetworkPolicy", built(overlay), "starloop-egress")["spec"]["egress"]
    rules += the("NetworkPolicy", built(overlay), "starloop")["spec"]["egress"]
    dns = [rule for rule in rules if {"protocol": "UDP", "port": 53} in rule.get("ports", [])]
    assert all({"protocol": "TCP", "port": 53} in rule["ports"] for rule in dns)
    peers = [peer for rule in dns for peer in rule["to"]]
    assert [peer["podSelector"]["matchLabels"] for peer in peers if "podSelector" in peer] == [{"k8s-app": "kube-dns"}]
    assert {"169.254.20.10/32", "169.254.169.254/32"} <= {peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer}


@pytest.mark.parametrize("overlay", [name for name, kind in KINDS.items() if kind != "RayCluster"])
def test_a_jobs_cluster_is_deleted_by_rules_that_exclude_no_other_field(overlay: str) -> None:
    """CEL rules of the CRD and checks of the operator, which no JSON schema holds."""
    job = job_of(ray_object(built(overlay)))
    assert not {"shutdownAfterJobFinishes", "ttlSecondsAfterFinished"} & set(job)
    rules = job["deletionStrategy"]["deletionRules"]
    for rule in rules:
        assert len({"jobStatus", "jobDeploymentStatus"} & set(rule["condition"])) == 1
        assert rule["policy"] != "DeleteWorkers", "the operator refuses it beside the autoscaler"
    seconds = {(rule["policy"], rule["condition"].get("jobStatus")): rule["condition"]["ttlSeconds"] for rule in rules}
    assert seconds["DeleteCluster", "SUCCEEDED"] <= seconds["DeleteSelf", "SUCCEEDED"]
    assert job["preRunningDeadlineSeconds"] < job["activeDeadlineSeconds"]


def parsed(command: str) -> tuple[str, dict[str, Any]]:
    """The starloop command of a command line and its parameters, as the real command line parses them; nothing runs."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "jobs"]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return words[3], commands[words[3]].make_context(words[3], words[4:]).params


@pytest.mark.parametrize(("overlay", "command"), [("cpu-demo", "demo"), ("vllm", "selftrain"), ("nightly", "extend")])
def test_command_lines_are_parsed_by_the_real_ones(overlay: str, command: str) -> None:
    name, _ = parsed(job_of(ray_object(built(overlay)))["entrypoint"])
    assert name == command


@pytest.mark.parametrize("overlay", ["one-node-8-gpus", "many-nodes-spot", "vllm"])
def test_the_configuration_is_valid_and_its_cluster_can_hold_it(overlay: str, tmp_path: Path) -> None:
    manifests = built(overlay)
    (tmp_path / "run.toml").write_text(the("ConfigMap", manifests, "starloop-configuration")["data"]["run.toml"])
    _, params = parsed(job_of(ray_object(manifests))["entrypoint"])
    assert str(params["config"]) == "/etc/starloop/run.toml"
    config = load_config(tmp_path / "run.toml", params["settings"])
    assert (config.generate.engine == "vllm") == (overlay == "vllm")
    gpus = sum(
        group["maxReplicas"] * int(group["template"]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", 0))
        for group in cluster_of(ray_object(manifests))["workerGroupSpecs"]
        if group["groupName"] != "train"
    )
    assert config.cluster.generator_actors * config.cluster.generator_gpus <= gpus
    assert config.train.num_workers * config.cluster.train_gpus <= 8


@pytest.mark.parametrize("overlay", ["one-node-8-gpus", "many-nodes-spot", "vllm", "nightly", "standing-cluster"])
def test_each_stage_has_the_pool_of_its_name_or_the_only_node(overlay: str, tmp_path: Path) -> None:
    manifests = built(overlay)
    (tmp_path / "run.toml").write_text(the("ConfigMap", manifests, "starloop-configuration")["data"]["run.toml"])
    cluster = load_config(tmp_path / "run.toml", []).cluster
    pools = [group["labels"] for group in cluster_of(ray_object(manifests))["workerGroupSpecs"]]
    selectors = {
        "decode": cluster.decode_selector, "generate": cluster.generator_selector, "train": cluster.train_selector
    }  # fmt: skip
    for stage, selector in selectors.items():
        selected = [labels["starloop/pool"] for labels in pools if matches(labels, selector)]
        assert selected == (["one-node"] if overlay == "one-node-8-gpus" else [stage])


def test_the_nightly_job_continues_the_run_of_the_configuration() -> None:
    run = tomllib.loads(VALUES["configuration"])
    words = shlex.split(VALUES["commands"]["nightly"])
    assert words[3:] == ["extend", run["run"]["uri"], run["data"]["manifest"]]


@pytest.mark.parametrize("overlay", ["one-node-8-gpus", "nightly"])
def test_starloop_attach_finds_the_jobs_by_their_run(overlay: str) -> None:
    metadata = job_of(ray_object(built(overlay)))["metadata"]
    assert metadata == {RUN: run_name(tomllib.loads(VALUES["configuration"])["run"]["uri"])}


def test_starloop_attach_finds_the_demo() -> None:
    job = job_of(ray_object(built("cpu-demo")))
    words = shlex.split(job["entrypoint"])
    assert job["metadata"] == {RUN: run_name(words[words.index("--out") + 1])}


def marked(value: Any, number: int) -> Any:
    """Another value of the same type, that no other field has."""
    return 700_000 + number if isinstance(value, int) else f"{value}-{number:03d}x"


def test_every_value_reaches_an_overlay(tmp_path: Path) -> None:
    """All values at once are changed, in a copy: each change has to appear in an overlay."""
    shutil.copytree(CLUSTER, tmp_path / "cluster")
    values = copy.deepcopy(VALUES)
    marks = {}
    for number, (place, value) in enumerate(
        leaves({k: v for k, v in VALUES.items() if k not in ("apiVersion", "kind", "metadata")})
    ):
        at = values
        for key in place[:-1]:
            at = at[key]
        at[place[-1]] = marked(value, number)
        marks[place] = f"{700_000 + number}" if isinstance(value, int) else f"-{number:03d}x"
    (tmp_path / "cluster/values/values.yaml").write_text(yaml.safe_dump(values))
    kueue_too(tmp_path / "cluster")
    text = "".join(str(build(folder)) for folder in sorted((tmp_path / "cluster/overlays").iterdir()))
    assert [place for place, mark in marks.items() if mark not in text] == []


def test_only_the_values_hold_what_a_team_has_to_fill_in() -> None:
    folders = ["base", "pools", "kinds", "options", "finish", "overlays"]
    texts = {path: path.read_text() for folder in folders for path in (CLUSTER / folder).rglob("*.yaml")}
    assert not [path for path, text in texts.items() if any(word in text for word in ("BUCKET", "REGISTRY", "ACCOUNT", "REGION"))]


def kueue_too(cluster: Path) -> Path:
    """An overlay of that copy, many-nodes-spot with options/kueue."""
    text = (cluster / "overlays/many-nodes-spot/kustomization.yaml").read_text()
    folder = cluster / "overlays/queued"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(text.replace("  - ../../finish", "  - ../../options/kueue\n  - ../../finish"))
    return folder


def test_kueue_gets_a_job_that_its_webhook_takes(tmp_path: Path) -> None:
    """The checks of validateCreate in Kueue's pkg/controller/jobs/rayjob/rayjob_webhook.go."""
    shutil.copytree(CLUSTER, tmp_path / "cluster")
    job = ray_object(build(kueue_too(tmp_path / "cluster")))
    refuse_unknown(job)
    assert job["metadata"]["labels"] == {
        "kueue.x-k8s.io/queue-name": VALUES["kueue"]["queue"],
        "kueue.x-k8s.io/priority-class": VALUES["kueue"]["priority"],
    }
    assert job["spec"]["shutdownAfterJobFinishes"] is True
    assert job["spec"]["suspend"] is True
    assert "deletionStrategy" not in job["spec"]
    assert job["spec"]["rayClusterSpec"]["enableInTreeAutoscaling"] is False
    assert all(group["groupName"] != "head" for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"])


def test_a_value_that_is_missing_stops_the_build(tmp_path: Path) -> None:
    shutil.copytree(CLUSTER, tmp_path / "cluster")
    del (values := copy.deepcopy(VALUES))["image"]["cpu"]
    (tmp_path / "cluster/values/values.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        build(tmp_path / "cluster/overlays/cpu-demo")
    assert "image.cpu" in refused.value.stderr
