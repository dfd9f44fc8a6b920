"""`/metrics` for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE

from ..events import BlobDone, Event, ModelDone, ModelFailed, Retrying

__all__ = ["CONTENT_TYPE", "Metrics"]


class Metrics:
    """Counters of one service. Called with the events of every push. Labels have few values, none from clients."""

    def __init__(self, *, pushes: Callable[[], int], clients: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "registry_push_requests", "Requests answered.", ["route", "status"], registry=self._registry
        )
        self._pushes = Counter("registry_push_pushes", "Pushes that ended.", ["result"], registry=self._registry)
        self._blobs = Counter(
            "registry_push_blobs", "Blobs confirmed at a registry.", ["placement"], registry=self._registry
        )
        self._sent = Counter("registry_push_sent_bytes", "Bytes of blobs given to the line.", registry=self._registry)
        self._retries = Counter("registry_push_retries", "Requests tried again.", registry=self._registry)
        under_way = Gauge("registry_push_pushes_under_way", "Pushes under way.", registry=self._registry)
        under_way.set_function(pushes)
        waiting = Gauge("registry_push_clients", "Clients that wait for a push.", registry=self._registry)
        waiting.set_function(clients)

    def __call__(self, event: Event) -> None:
        """Count what happened."""
        match event:
            case BlobDone():
                self._blobs.labels(event.placement.value).inc()
                self._sent.inc(event.sent)
            case ModelDone():
                self._pushes.labels("done").inc()
            case ModelFailed():
                self._pushes.labels("failed").inc()
            case Retrying():
                self._retries.inc()
            case _:
                pass

    def answered(self, route: str, status: int) -> None:
        """Count an answer; `route` is one of the service's paths, or `other`."""
        self._requests.labels(route, str(status)).inc()

    def text(self) -> bytes:
        """Return the counters in Prometheus' own format."""
        return generate_latest(self._registry)
