"""Health, readiness, figures, and the description of this interface."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from hema_stream.service.api.models import Health
from hema_stream.service.api.routing import Call, Endpoint, answer
from hema_stream.service.parts import DISPATCHER, METRICS


async def health(call: Call) -> web.Response:
    """The process answers."""
    return answer(Health(status="ok"))


async def ready(call: Call) -> web.Response:
    """Slides are being worked on, or would be."""
    if call.request.app[DISPATCHER].ready:
        return answer(Health(status="ready"))
    return answer(Health(status="not ready"), HTTPStatus.SERVICE_UNAVAILABLE)


async def metrics(call: Call) -> web.Response:
    """Figures in Prometheus's text format."""
    return web.Response(body=call.request.app[METRICS].text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


ENDPOINTS = (
    Endpoint("GET", "/health", health, "Whether the process answers", None, answers={200: Health}),
    Endpoint("GET", "/ready", ready, "Whether slides are worked on", None, answers={200: Health, 503: Health}),
    Endpoint("GET", "/metrics", metrics, "Figures for Prometheus", answers={200: "text/plain"}),
)
