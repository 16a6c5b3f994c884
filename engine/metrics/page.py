"""docs/metrics.md: the table of metrics, the alerts, and how a Prometheus is attached."""

from engine.metrics.alerts import RUNBOOK, alerts
from engine.metrics.table import METRICS, RUN, STEP

HEAD = """# Metrics

<!-- `make monitoring` writes this page from engine/metrics. -->

A run reports what it does through Ray: every node of a Ray cluster serves its metrics as text, and a Prometheus that scrapes the
nodes has them. The driver reports all of them, so a run has one series of each, on the node of its driver.

"""
ATTACH = """## How a Prometheus gets them

**Kubernetes.** With the operator of Prometheus in the cluster, apply `cluster/monitoring` to the namespace of the runs:

<!-- not run: it needs a Kubernetes cluster; tests/cluster builds it and holds it to the schemas -->
```sh
kubectl apply -k cluster/monitoring -n NAMESPACE
```

It is a PodMonitor (port `metrics`, which KubeRay opens on each pod), a PrometheusRule with the alerts, and a ConfigMap with the
dashboard, which Grafana's sidecar loads by its label `grafana_dashboard`. An installation that selects by a label of its own, as
kube-prometheus-stack does with `release`, needs that label on the first two: `kubectl label` it, or put it into an overlay. The
network policy of cluster/base lets the namespace of the values' `monitoringNamespace` reach the pods' port 8080.

**A cluster of Ray's launcher, or of `ray start`.** The head writes the addresses of all nodes into a file, from which Prometheus
discovers them:

```yaml
rule_files: [cluster/monitoring/rules.yaml]
scrape_configs:
  - job_name: ray
    file_sd_configs: [{files: [/tmp/ray/prom_metrics_service_discovery.json]}]
```

In Grafana, import `cluster/monitoring/dashboard.json`.

**A laptop.** Without Prometheus, `--set cluster.metrics_port=9400` makes the driver serve the same names as text:

<!-- not run: it needs a driver at work; tests/pure/test_metrics.py and tests/monitoring ask one -->
```sh
curl http://127.0.0.1:9400/metrics
```

They lack the labels that Ray adds (WorkerId, NodeAddress, SessionName ...), and are a second old instead of ten. The address is
open to this machine alone. `metrics_port` does not change a run's identity, and a Prometheus needs only one of the two ways.

## What to know about the figures

- Ray's processes export every 10 seconds (`RAY_metrics_report_interval_ms`, read where Ray starts).
- Counters are those of a command: a run that is continued by another command begins new series, and Ray's node keeps the old ones
  until it ends. So sums over a run are right as long as the cluster lives; its seals have what a run did in all.
- A gauge vanishes within 20 seconds of the end of its driver; StarloopDriverGone rests on that.
- A new counter is 0 for 20 seconds, so that `increase()` counts its first events. The text endpoint shows them at once.
- A generator that is killed loses nothing of the counters: its pieces carry them to the driver. What it did for a piece that it did
  not finish is in its idle seconds, as `dead`.
- Ingest and select report no progress while they work, so StarloopNoProgress does not watch them.
- Decoding for a finetune is not in `decode_seconds` and `bytes_read`: these count what generate and evaluate steps decode.
- Labels have few values. More than 500 series of one metric are counted under `other`.

"""
LABELS = f"""Labels of all but the last three: `{"`, `".join(STEP)}`. `run` is the last name of the run's folder, `cycle`
a number or `base`, `step` the step's name, `pool` the node pool that does the counted work (head, decode, generate, train). Reasons
and kinds of failures are those of docs/errors.md.

"""
IDLE = """## Why generators are idle

Every second of every generator is busy (`generator_busy_seconds`) or idle for one of five causes; together they are the step's
seconds times its generators.

| cause | what it counts | remedy |
|---|---|---|
| starting | until the process has its model: waiting for CPUs and GPUs, imports, loading | models near the nodes |
| no_input | no piece was decoded yet, or none is left at the end | more CPUs for decoding, `model.frame_tolerance_s` |
| output_blocked | a piece was there, and Ray Data held it back because results are not taken | storage takes pieces too slowly |
| handover | a piece was there and on its way: Ray's own milliseconds between two calls | larger pieces (`generate.piece_clips`) |
| dead | from the last piece that a killed process finished until its replacement has the model | StarloopGeneratorsDie |

"""


def page() -> str:
    lines = [HEAD, "## Names\n\n"]
    lines.append(LABELS)
    lines.append("| name in Prometheus | kind | unit | further labels | meaning |\n|---|---|---|---|---|\n")
    for metric in METRICS:
        more = [f"`{name}`" for name in metric.labels if name not in STEP]
        labels = "`run` alone" if metric.labels == RUN else ", ".join(more) or "none"
        lines.append(f"| `{metric.series}` | {metric.kind} | {metric.unit} | {labels} | {metric.meaning} |\n")
    lines += ["\n", IDLE, "## Alerts\n\n", "| alert | severity | fires when | first look |\n|---|---|---|---|\n"]
    for alert in alerts():
        query = alert.query.replace("|", "\\|")
        link = f"[{alert.name}]({RUNBOOK.rpartition('/')[2]}#{alert.anchor})"
        lines.append(f"| {link} | {alert.severity} | `{query}` | {alert.remedy} |\n")
    return "".join([*lines, "\n", ATTACH]).rstrip() + "\n"
