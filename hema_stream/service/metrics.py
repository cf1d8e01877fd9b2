"""Figures for Prometheus: requests, live clients, slides, and what the pipeline's stages and links say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hema_stream.service.problems import Handler

Statistics = Mapping[str, Mapping[str, Any]]


class Metrics:
    """One registry a service, so that several may live in a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "hema_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram("hema_http_seconds", "Time to answer.", ["route"], registry=self.registry)
        self.live_closed = Counter("hema_live_closed", "WebSockets closed, by code.", ["code"], registry=self.registry)

    def watch(
        self, statistics: Callable[[], Statistics], ended: Callable[[], Mapping[str, int]], clients: Callable[[], int]
    ) -> None:
        """Read the pipeline, the slides that ended by status, and the live clients whenever figures are asked for."""
        self.registry.register(_Standing(statistics, ended, clients))

    def text(self) -> bytes:
        """The figures in Prometheus's text format."""
        return generate_latest(self.registry)


class _Standing(Collector):
    def __init__(
        self, statistics: Callable[[], Statistics], ended: Callable[[], Mapping[str, int]], clients: Callable[[], int]
    ) -> None:
        self._statistics, self._ended, self._clients = statistics, ended, clients

    def collect(self) -> Iterator[Metric]:
        """Take the figures as they stand."""
        yield GaugeMetricFamily("hema_live_clients", "WebSockets that follow a slide.", self._clients())
        slides = CounterMetricFamily("hema_slides", "Slides that ended since the start.", labels=["status"])
        for status, count in self._ended().items():
            slides.add_metric([status], count)
        yield slides
        statistics = self._statistics()
        yield from _family("hema_stage", "stage", statistics["stages"])
        yield from _family("hema_link", "link", statistics["links"])


def _family(prefix: str, label: str, rows: Mapping[str, Any]) -> Iterator[Metric]:
    """A gauge for each number that the runtime's statistics have."""
    gauges: dict[str, GaugeMetricFamily] = {}
    for name, row in rows.items():
        for field, value in row._asdict().items():
            if isinstance(value, int | float):
                gauge = gauges.setdefault(
                    field, GaugeMetricFamily(f"{prefix}_{field}", f"{field} of each {label}.", labels=[label])
                )
                gauge.add_metric([name], value)
    yield from gauges.values()


def measuring(metrics: Metrics) -> Any:
    """A middleware that counts and times requests by route, never by path: paths are without number."""

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        began, status = perf_counter(), 500
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "none"
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            metrics.requests.labels(request.method, route, status).inc()
            metrics.seconds.labels(route).observe(perf_counter() - began)

    return measure
