"""Queries of Prometheus over metrics of the table: functions that take the metric itself, so that a query cannot misspell one.

Ray adds labels of its own to each series (WorkerId, NodeAddress, SessionName ...): a query sums, or takes the maximum, by ours.
"""

from collections.abc import Sequence

from engine.metrics.table import STEP, Metric

Labels = Sequence[str]


def selector(metric: Metric, **labels: str) -> str:
    """A metric's series, where a label matches a regular expression. A trailing underscore is left out of a label's name.

    >>> from engine.metrics.table import CLIPS
    >>> selector(CLIPS, outcome="failed")
    'ray_starloop_clips_total{outcome=~"failed"}'
    """
    names = {name.rstrip("_"): value for name, value in labels.items()}
    assert set(names) <= set(metric.labels), f"{metric.name} has no label {set(names) - set(metric.labels)}"
    matches = ",".join(f'{name}=~"{value}"' for name, value in names.items())
    return metric.series + (f"{{{matches}}}" if matches else "")


def latest(metric: Metric, by: Labels = STEP, **labels: str) -> str:
    """A gauge's value, in the driver that set it last."""
    return f"max by ({_by(metric, by)}) ({selector(metric, **labels)})"


def rate(metric: Metric, by: Labels, window: str, **labels: str) -> str:
    """How fast a counter grows, a second."""
    assert metric.kind == "counter", metric.name
    return f"sum by ({_by(metric, by)}) (rate({selector(metric, **labels)}[{window}]))"


def increase(metric: Metric, by: Labels, window: str, **labels: str) -> str:
    assert metric.kind == "counter", metric.name
    return f"sum by ({_by(metric, by)}) (increase({selector(metric, **labels)}[{window}]))"


def total(metric: Metric, by: Labels, **labels: str) -> str:
    """A counter's value, over all drivers of the run."""
    assert metric.kind == "counter", metric.name
    return f"sum by ({_by(metric, by)}) ({selector(metric, **labels)})"


def _by(metric: Metric, by: Labels) -> str:
    assert set(by) <= set(metric.labels), f"{metric.name} has no label {set(by) - set(metric.labels)}"
    return ", ".join(by)


def minutes(seconds: float) -> str:
    """A duration as Prometheus writes it.

    >>> minutes(900), minutes(90), minutes(0)
    ('15m', '90s', '0s')
    """
    whole = round(seconds)
    return f"{whole // 60}m" if whole and whole % 60 == 0 else f"{whole}s"
