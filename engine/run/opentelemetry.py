"""The tracker "opentelemetry": spans for run, cycle and step, and the figures of optimizer steps as metrics, by OTLP over HTTP.

The standard environment variables configure it: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES and so on; TRACEPARENT makes the run a part of a trace that has begun elsewhere. Nothing of the process is
changed but the SDK's own logger: the providers are the tracker's. A span is sent when it ends. A collector that is away costs
CLOSE_S seconds, at the end.
"""

import logging
import os
import threading
import time
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from engine.logs.origin import Origin
from engine.run.seals import Seal
from engine.run.trackers import TrackedRun
from engine.run.work import Progress

log = logging.getLogger(__name__)

SCOPE = "starloop"
GAUGES = {
    "loss": "Mean over the answer tokens of an optimizer step.",
    "learning_rate": "Of an optimizer step.",
    "gradient_norm": "Of an optimizer step, before clipping.",
}
CLOSE_S = 5.0
"""How long the end of a command waits for the collector: with SIGTERM, Kubernetes gives it 30 s in all."""
PROTOCOL = "http/protobuf"
FACTS = (int, float, str, bool)
"""Types of a seal's facts that become attributes."""


class OpenTelemetry:
    """One trace of a command: a span of the run, below it one for each cycle, below these one for each step."""

    def __init__(self, run: TrackedRun) -> None:
        resource = resource_of()
        own = logging.getLogger("opentelemetry")
        own.propagate, own.handlers[:] = False, [_Once()]
        # what shuts them down at the end of the process waits for minutes
        self._tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        readers = [PeriodicExportingMetricReader(OTLPMetricExporter())]
        self._meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
        self._tracer, meter = self._tracers.get_tracer(SCOPE), self._meters.get_meter(SCOPE)
        self._gauges = {name: meter.create_gauge(f"starloop.train.{name}", description=text) for name, text in GAUGES.items()}
        self._tokens = meter.create_counter("starloop.train.tokens", "{token}", "Answer tokens that were trained on.")
        self._seconds = meter.create_histogram("starloop.train.step.duration", "s", "Of an optimizer step.")
        self._run_uri = run.uri
        outer = extract({"traceparent": os.environ.get("TRACEPARENT", "")})
        names = {"starloop.model.base": run.config["model"]["base"], "starloop.engine": run.config["generate"]["engine"]}
        self._run = self._tracer.start_span("run", outer, attributes={"starloop.run": run.uri, **names})
        self._cycle: Span | None = None
        self._cycle_number: int | None = None
        self._step: Span | None = None
        self._step_name = ""

    def report(self, progress: Progress) -> None:
        if progress.step != self._step_name:
            self._begin(progress.step)
        attributes = self._attributes(progress.step)
        for name, gauge in self._gauges.items():
            if name in progress.metrics:
                gauge.set(progress.metrics[name], attributes)
        if progress.metrics:
            self._tokens.add(int(progress.metrics["tokens"]), attributes)
            self._seconds.record(progress.metrics["seconds"], attributes)

    def sealed(self, seal: Seal) -> None:
        if seal.step != self._step_name:
            self._begin(seal.step)
        assert self._step is not None
        for name, count in seal.counts.items():
            self._step.set_attribute(f"starloop.counts.{name}", count)
        for name, fact in seal.facts.items():
            if isinstance(fact, FACTS):
                self._step.set_attribute(f"starloop.facts.{name}", fact)
        self._step.add_event("sealed", {"seconds": seal.seconds})
        self._step.end()
        self._step, self._step_name = None, ""

    def close(self, error: BaseException | None) -> None:
        for span in (self._step, self._cycle, self._run):
            if span is None:
                continue
            if error is not None and span is not self._cycle:
                span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
            span.end()
        ending = threading.Thread(target=self._shut_down, name="opentelemetry", daemon=True)
        ending.start()
        ending.join(CLOSE_S)
        if ending.is_alive():
            log.warning("the collector of OpenTelemetry has not taken everything within %.0f s", CLOSE_S)

    def _shut_down(self) -> None:
        began = time.monotonic()
        self._tracers.shutdown()
        self._meters.shutdown(timeout_millis=max(1.0, CLOSE_S - (time.monotonic() - began)) * 1000)

    def _begin(self, step: str) -> None:
        if self._step is not None:  # an error has ended it, and the command goes on all the same
            self._step.end()
        cycle = Origin(step=step).cycle
        if cycle != self._cycle_number and self._cycle is not None:
            self._cycle.end()
            self._cycle = None
        if cycle is not None and self._cycle is None:
            parent = set_span_in_context(self._run)
            attributes: dict[str, Any] = {"starloop.run": self._run_uri, "starloop.cycle": cycle}
            self._cycle = self._tracer.start_span(f"cycle-{cycle:03d}", parent, attributes=attributes)
        self._cycle_number, self._step_name = cycle, step
        parent = set_span_in_context(self._cycle or self._run)
        self._step = self._tracer.start_span(step, parent, attributes=self._attributes(step))

    def _attributes(self, step: str) -> dict[str, Any]:
        cycle = Origin(step=step).cycle
        known = {} if cycle is None else {"starloop.cycle": cycle}
        return {"starloop.run": self._run_uri, "starloop.step": step, **known}


def track(run: TrackedRun) -> OpenTelemetry:
    return OpenTelemetry(run)


def resource_of() -> Resource:
    """What the environment says about this service; it is named starloop unless the environment names it.

    Raises ValueError for another protocol than the one that is installed.
    """
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", PROTOCOL)
    if protocol != PROTOCOL:
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}, and this tracker speaks {PROTOCOL} alone")
    resource = Resource.create()
    is_named = not str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service")
    return resource if is_named else resource.merge(Resource({SERVICE_NAME: SCOPE}))


class _Once(logging.Handler):
    """Logs the first trouble of the SDK in our own words, and nothing after it: it repeats itself with each batch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._is_logged = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self._is_logged:
            self._is_logged = True
            log.warning("spans and metrics may not reach the collector of OpenTelemetry: %s", record.getMessage())
