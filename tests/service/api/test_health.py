"""Health, readiness, figures, the description, and errors as problem documents."""

from __future__ import annotations

from typing import Any

import pytest

from hema_stream.service.parts import DISPATCHER, STORE


async def test_health_needs_no_token(service: Any) -> None:
    assert await service.json("GET", "/health", token="") == {"status": "ok"}
    assert await service.json("GET", "/ready", token="") == {"status": "ready"}


async def test_a_service_without_its_pipeline_is_not_ready(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.app[DISPATCHER].pipeline, "_pipeline", None)
    assert await service.json("GET", "/ready", 503, token="") == {"status": "not ready"}
    monkeypatch.undo()


async def test_figures_tell_of_requests_slides_and_stages(service: Any) -> None:
    slide = await service.submit("a.png")
    await service.until(slide, "done")
    text = await (await service.ask("GET", "/metrics")).text()
    assert 'hema_slides_total{status="done"} 1.0' in text
    assert 'hema_stage_calls{stage="tally"}' in text
    assert 'route="/api/v1/slides/{slide}"' in text
    assert slide not in text


async def test_the_description_names_every_route_and_resolves(service: Any) -> None:
    document = await service.json("GET", "/openapi.json", token="")
    operations = {(m.upper(), p) for p, item in document["paths"].items() for m in item}
    for resource in service.app.router.resources():
        for route in resource:
            if route.resource.canonical.startswith("/api/") and not route.resource.canonical.endswith("/live"):
                assert (route.method, route.resource.canonical) in operations or route.method == "HEAD"
    schemas = document["components"]["schemas"]
    submit = document["paths"]["/api/v1/slides"]["post"]
    name = submit["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
    assert schemas[name]["properties"].keys() == {"path", "name", "mpp", "priority"}
    assert submit["security"] == [{"bearer": []}]


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("PUT", "/slides", {}, 405, "method_not_allowed"),
        ("POST", "/slides", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "json"),
        ("POST", "/slides", {"data": b"x"}, 415, "media_type"),
        ("POST", "/slides", {"json": {}}, 422, "invalid"),
        ("POST", "/slides", {"json": {"path": "x", "extra": 1}}, 422, "invalid"),
        ("POST", "/slides", {"json": {"path": "x", "mpp": 1e9}}, 422, "invalid"),
        ("POST", "/slides", {"json": {"path": "x" * 70_000}}, 413, "request_entity_too_large"),
        ("GET", "/slides/nobody/image.dzi", {}, 404, "slide"),
    ],
)
async def test_errors_are_problem_documents(
    service: Any, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    answer = await service.ask(method, path, **options)
    problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
    assert problem.keys() == {"type", "title", "status", "detail", "instance", "code"}


async def test_what_nobody_foresaw_is_a_500_that_tells_nothing(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(job_id: str) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(service.app[STORE], "get", broken)
    answer = await service.ask("GET", "/slides/x")
    assert answer.status == 500
    assert "secret" not in await answer.text()
