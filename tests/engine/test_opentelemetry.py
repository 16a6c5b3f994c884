"""Pins the tracker "opentelemetry": what a collector receives over HTTP, as protobufs; a collector that is away costs no run."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from builders import a_seal
from engine.run import opentelemetry, trackers
from engine.run.trackers import TrackedRun, refuse_missing_trackers, tracked
from engine.run.work import Progress
from engine.store.files import Store
from engine.train.job import StepRecord
from engine.train.step import progress_of

CONFIG = {"model": {"base": "tiny"}, "generate": {"engine": "builtin"}}


def a_run(uri: str) -> TrackedRun:
    return TrackedRun(uri=uri, id="starloop-1", name="a", seed=0, config=CONFIG, store=Store("memory://opentelemetry"))


class Collector:
    """What came over HTTP: spans by name, metrics by name, and the headers of the requests."""

    def __init__(self) -> None:
        self.spans: dict[str, Any] = {}
        self.metrics: dict[str, Any] = {}
        self.services: set[str] = set()
        self.headers: list[str | None] = []

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.services.add(values(of_resource.resource.attributes)["service.name"])
                self.spans |= {span.name: span for scope in of_resource.scope_spans for span in scope.spans}
        elif path == "/v1/metrics":
            for measured in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics |= {metric.name: metric for scope in measured.scope_metrics for metric in scope.metrics}


def values(attributes: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    received = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.headers.append(self.headers["x-team"])
            received.take(self.path, self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=video")
    yield received
    server.shutdown()
    server.server_close()


def trained(step: str) -> list[Progress]:
    record = {"num_steps": 2, "learning_rate": 1e-3, "gradient_norm": 0.5, "tokens": 40, "seconds": 0.1}
    records = [StepRecord(step=1, loss=0.75, **record), StepRecord(step=2, loss=0.5, **record)]  # type: ignore[arg-type]
    return [Progress(step=step, unit="", done=0, total=0), *(progress_of(step, record) for record in records)]


def test_spans_of_run_cycle_and_steps_and_metrics_of_optimizer_steps(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    with tracked(["opentelemetry"], a_run("s3://b/runs/a"), lambda progress: None) as tracker:
        tracker.report(Progress(step="ingest", unit="", done=0, total=0))
        tracker.sealed(a_seal("ingest"))
        tracker.report(Progress(step="cycle-000/generate", unit="clips", done=3, total=3))
        tracker.sealed(replace(a_seal("cycle-000/generate", model="9f", dropped={}), counts={"clips": 3, "failed.missing": 1}))
        for progress in trained("cycle-000/train"):
            tracker.report(progress)
        tracker.sealed(a_seal("cycle-000/train"))
    spans = collector.spans
    assert set(spans) == {"run", "ingest", "cycle-000", "cycle-000/generate", "cycle-000/train"}
    assert spans["run"].trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert spans["run"].parent_span_id.hex() == "b7ad6b7169203331"
    assert {span.trace_id for span in spans.values()} == {spans["run"].trace_id}
    parents = {name: next((n for n, s in spans.items() if s.span_id == span.parent_span_id), "") for name, span in spans.items()}
    assert parents == {
        "run": "", "ingest": "run", "cycle-000": "run", "cycle-000/generate": "cycle-000", "cycle-000/train": "cycle-000",
    }  # fmt: skip
    generate = values(spans["cycle-000/generate"].attributes)
    assert generate == {
        "starloop.run": "s3://b/runs/a",
        "starloop.step": "cycle-000/generate",
        "starloop.cycle": 0,
        "starloop.counts.clips": 3,
        "starloop.counts.failed.missing": 1,
        "starloop.facts.model": "9f",
    }
    assert [event.name for event in spans["cycle-000/generate"].events] == ["sealed"]
    assert (collector.services, set(collector.headers)) == ({"starloop"}, {"video"})
    [loss] = collector.metrics["starloop.train.loss"].gauge.data_points
    assert (loss.as_double, values(loss.attributes)["starloop.step"]) == (0.5, "cycle-000/train")
    [tokens] = collector.metrics["starloop.train.tokens"].sum.data_points
    assert tokens.as_int == 80
    [seconds] = collector.metrics["starloop.train.step.duration"].histogram.data_points
    assert (seconds.count, round(seconds.sum, 3)) == (2, 0.2)


def test_the_error_that_ends_a_command_is_the_status_of_step_and_run(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "nightly")
    error = ValueError("too many failed")
    with contextlib.suppress(ValueError), tracked(["opentelemetry"], a_run("runs/a"), lambda progress: None) as tracker:
        tracker.report(Progress(step="cycle-000/generate", unit="", done=0, total=0))
        raise error
    statuses = {name: (span.status.code, span.status.message) for name, span in collector.spans.items()}
    assert statuses["run"] == statuses["cycle-000/generate"] == (2, "ValueError: too many failed")
    assert collector.services == {"nightly"}


def test_a_collector_that_is_away_costs_seconds_and_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(opentelemetry, "CLOSE_S", 1.0)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING), tracked(["opentelemetry"], a_run("runs/a"), lambda progress: None) as tracker:
        for progress in trained("cycle-000/train"):
            tracker.report(progress)
        tracker.sealed(a_seal("cycle-000/train"))
    assert time.monotonic() - began < 4
    assert [record.name for record in caplog.records].count("engine.run.opentelemetry") in (1, 2)
    assert "may not reach the collector of OpenTelemetry" in caplog.messages[0] or "has not taken everything" in caplog.messages[0]
    assert not any(record.name.startswith("opentelemetry") for record in caplog.records)


def test_another_protocol_leaves_the_tracker_out(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with caplog.at_level(logging.WARNING), tracked(["opentelemetry"], a_run("runs/a"), lambda progress: None):
        pass
    assert caplog.messages == [
        "tracker opentelemetry is left out from here on: ValueError: OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc', and this tracker "
        "speaks http/protobuf alone"
    ]


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(trackers.TRACKERS, "opentelemetry", "no_such_module")
    with pytest.raises(
        ValueError,
        match=r"run\.trackers: opentelemetry needs a package that is not installed \(No module named 'no_such_module'\); "
        r"pip install 'starloop\[otel\]'",
    ):
        refuse_missing_trackers(["opentelemetry"])
