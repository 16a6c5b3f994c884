"""Pins cluster/monitoring: kustomize builds it, core objects are valid, and it scrapes the pods that runs have.

PodMonitor and PrometheusRule are objects of Prometheus' operator, whose schemas are not at hand: the rules are checked by promtool
(make test-prometheus), and the two objects by the fields that are read here.
"""

import json

import pytest
import yaml

from engine.metrics.alerts import alerts
from engine.metrics.files import rules
from manifests import CLUSTER, OVERLAYS, Manifest, build, built, cluster_of, groups, ray_object, refuse_unknown, the

PORT = 8080
"""At which KubeRay's pods serve metrics, under the name `metrics`, unless their container names another one."""


@pytest.fixture(scope="module")
def monitoring() -> list[Manifest]:
    return build(CLUSTER / "monitoring")


@pytest.mark.waits
def test_the_dashboard_is_a_config_map_that_grafanas_sidecar_takes(monitoring: list[Manifest]) -> None:
    config_map = the("ConfigMap", monitoring)
    refuse_unknown(config_map)
    assert config_map["metadata"]["labels"] == {"grafana_dashboard": "1"}
    panels = json.loads(config_map["data"]["dashboard.json"])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [(x, y) for panel in panels for place in [panel["gridPos"]] for x in range(place["x"], place["x"] + place["w"])
             for y in range(place["y"], place["y"] + place["h"])]  # fmt: skip
    assert len(set(cells)) == len(cells), "panels overlap"


@pytest.mark.waits
def test_the_operators_rules_are_prometheus_rules(monitoring: list[Manifest]) -> None:
    rule = the("PrometheusRule", monitoring)
    assert set(rule) == {"apiVersion", "kind", "metadata", "spec"}
    assert rule["apiVersion"] == "monitoring.coreos.com/v1"
    assert rule["spec"] == yaml.safe_load(rules())
    assert [entry["alert"] for group in rule["spec"]["groups"] for entry in group["rules"]] == [alert.name for alert in alerts()]


@pytest.mark.waits
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_monitor_selects_every_pod_and_the_network_lets_prometheus_in(monitoring: list[Manifest], overlay: str) -> None:
    monitor = the("PodMonitor", monitoring)["spec"]
    assert monitor["podMetricsEndpoints"] == [{"port": "metrics", "interval": "15s"}]
    wanted = monitor["selector"]["matchLabels"]
    for group in groups(cluster_of(ray_object(built(overlay)))):
        labels = group["template"]["metadata"]["labels"]
        assert wanted.items() <= labels.items()
        for container in group["template"]["spec"]["containers"]:
            assert all(port["name"] != "metrics" or port["containerPort"] == PORT for port in container.get("ports", []))
    policy = the("NetworkPolicy", built(overlay), "starloop")
    assert any(port["port"] == PORT for rule in policy["spec"]["ingress"] for port in rule.get("ports", []))
