"""Writes cluster/monitoring and docs/metrics.md from the tables: `make monitoring`, or python -m engine.metrics.files [FOLDER].

A test holds the committed files to the tables.
"""

import json
import sys
from pathlib import Path
from typing import Any

from engine.metrics.alerts import RUNBOOK, Alert, alerts
from engine.metrics.page import page
from engine.metrics.panels import DASHBOARD, Panel, Query
from engine.metrics.queries import minutes
from engine.metrics.table import RUNNING

WRITTEN = "`make monitoring` writes this file; change engine/metrics instead."
ROOT = Path(__file__).parents[2]
PANELS_A_ROW, HEIGHT, WIDTH = 3, 8, 24


def rules(scale: float = 1.0) -> str:
    """A file of rules for Prometheus itself."""
    return f"# The alerts as Prometheus reads them, for `rule_files` where there is no operator. {WRITTEN}\n{_groups(scale)}"


def prometheus_rule() -> str:
    head = f"""# The alerts, for the operator of Prometheus. {WRITTEN}
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: starloop
spec:
"""
    return head + "".join(f"  {line}\n" for line in _groups(1.0).splitlines())


def _groups(scale: float) -> str:
    return "groups:\n  - name: starloop\n    rules:\n" + "".join(map(_rule, alerts(scale)))


def _rule(alert: Alert) -> str:
    """Texts in JSON's quotes are YAML, too."""
    return f"""      - alert: {alert.name}
        expr: {json.dumps(alert.query)}
        for: {minutes(alert.holds_s)}
        labels: {{severity: {alert.severity}}}
        annotations:
          summary: {json.dumps(alert.summary)}
          description: {json.dumps(alert.remedy)}
          runbook: {RUNBOOK}#{alert.anchor}
"""


def dashboard() -> str:
    """Grafana's JSON. Its data source and its runs are variables."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    value: dict[str, Any] = {
        "uid": "starloop",
        "title": "Starloop",
        "description": WRITTEN,
        "tags": ["starloop", "ray"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
                {
                    "name": "run", "type": "query", "label": "Run", "datasource": source, "refresh": 2, "multi": True,
                    "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"},
                    "query": {"query": f"label_values({RUNNING.series}, run)", "refId": "runs"},
                },
            ]
        },
        "panels": _panels(source),
    }  # fmt: skip
    return json.dumps(value, indent=1) + "\n"


def _panels(source: dict[str, str]) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    top = 0
    for row in DASHBOARD:
        place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        )
        width = WIDTH // PANELS_A_ROW
        for number, panel in enumerate(row.panels):
            down, right = divmod(number, PANELS_A_ROW)
            place = {"x": right * width, "y": top + 1 + down * HEIGHT, "w": width, "h": HEIGHT}
            panels.append({"id": len(panels) + 1, "gridPos": place, "datasource": source} | _panel(panel, source))
        top += 1 + (len(row.panels) + PANELS_A_ROW - 1) // PANELS_A_ROW * HEIGHT
    return panels


def _panel(panel: Panel, source: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": panel.title,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0 if panel.unit == "percentunit" else None}, "overrides": []},
        "targets": [_target(query, chr(ord("A") + number), source) for number, query in enumerate(panel.queries)],
    }


def _target(query: Query, name: str, source: dict[str, str]) -> dict[str, Any]:
    return {"refId": name, "datasource": source, "expr": query.text, "legendFormat": query.legend}


def files() -> dict[str, str]:
    """The written files, by their path below the root."""
    return {
        "cluster/monitoring/rules.yaml": rules(),
        "cluster/monitoring/prometheusrule.yaml": prometheus_rule(),
        "cluster/monitoring/dashboard.json": dashboard(),
        "docs/metrics.md": page(),
    }


def main(root: Path = ROOT) -> None:
    for path, text in files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
