"""The text endpoint: the driver's metrics in Prometheus' text format at http://127.0.0.1:PORT/metrics, under the names that Ray
gives them, for a machine without Prometheus. It listens on this machine alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from engine.metrics.board import Board
from engine.metrics.table import Metric


class BoardCollector(Collector):
    """Gives prometheus_client the values of a board."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Family]:
        families: dict[Metric, CounterMetricFamily | GaugeMetricFamily] = {}
        for (metric, values), value in sorted(self._board.values().items(), key=lambda item: (item[0][0].name, item[0][1])):
            if metric not in families:
                family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
                families[metric] = family(f"ray_{metric.name}", metric.meaning, labels=metric.labels)
            families[metric].add_metric(list(values), value)
        yield from families.values()


@contextmanager
def serving(board: Board, port: int) -> Iterator[None]:
    """Serve the board while the block runs; port 0: do not. Raises ValueError where the port is taken."""
    if not port:
        yield
        return
    registry = CollectorRegistry()
    registry.register(BoardCollector(board))
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise ValueError(f"cluster.metrics_port = {port} cannot be served ({error.strerror}); choose another one, or 0") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
