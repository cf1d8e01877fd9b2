"""Every route of the description, with made-up calls of all kinds: no 5xx, and every answer is as described.

``HEMA_STREAM_FUZZ_CASES`` says how many a route; 100 and more are for a run of their own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson
import pretend
import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hema_stream.service import warm
from hema_stream.service.api.openapi import document
from hema_stream.service.api.uploads import MEDIA
from hema_stream.service.app import ENDPOINTS, make_app
from hema_stream.service.auth import Scope
from hema_stream.service.jobs import Origin, Status
from hema_stream.service.parts import STORE, TOKENS
from hema_stream.service.settings import ServiceSettings, load_limits
from hema_stream.service.submission import new_job

CASES = int(os.environ.get("HEMA_STREAM_FUZZ_CASES", "12"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(orjson.loads(document(ENDPOINTS)))
OPERATIONS = {operation.ok().label: operation.ok() for operation in SCHEMA.get_all_operations()}
SIZE = {"width": 600, "height": 400}
NOISE = st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=9), max_size=2)
"""Of the query, which makes calls of routes that take nothing differ."""
GOOD, BAD = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
EMPTY = {"OPTIONS /api/v1/uploads", "GET /api/v1/health", "GET /api/v1/ready"}
"""Routes that take nothing which could be wrong."""
OURS = ("done", "upload", "image")


@schemathesis.serializer(MEDIA)
def as_it_is(ctx: Any, value: Any) -> bytes:
    """A part of an upload."""
    held = getattr(value, "data", value)
    return held if isinstance(held, bytes) else str(held).encode(errors="replace")


class Served:
    """A service in a thread of its own."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._picture = cv2.imencode(".png", np.zeros((SIZE["height"], SIZE["width"], 3), np.uint8))[1].tobytes()
        self._settings, self._started = settings, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.base = self.token = ""
        self._thread.start()
        assert self._started.wait(30)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def prepare(self) -> dict[str, str]:
        """A slide that is done, an upload under way and a slide that waits, whatever earlier calls did to them."""
        root, store = self._settings.roots[0], self.app[STORE]
        for name in OURS:
            if store.get(name) is None:
                path = self._settings.uploads / f"{name}.png" if name == "upload" else root / f"{name}.png"
                path.write_bytes(b"" if name == "upload" else self._picture)
                origin = Origin.UPLOAD if name == "upload" else Origin.PATH
                job = new_job(name, path, origin, mpp=None, priority=0, length=9)
                job.id = name
                job.status = {"done": Status.DONE, "upload": Status.UPLOADING, "image": Status.CANCELLED}[name]
                if name == "image":
                    job.facts = {**SIZE, "mpp": None, "levels": [[*SIZE.values(), 1.0]], "reader": "plain"}
                store.add(job)
                if name == "done":
                    report = self._settings.results / name / "report.json"
                    report.parent.mkdir(exist_ok=True)
                    report.write_text("{}")
        return {"Authorization": f"Bearer {self.token}"}

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.app = await make_app(self._settings)
        runner = web.AppRunner(self.app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.token = await asyncio.to_thread(self.app[TOKENS].create, "fuzz", [Scope.ADMIN])
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    (folder / "root").mkdir()
    limits = load_limits()
    http = limits.http.model_copy(update={"requests": "1000000/minute", "refused": "1000000/minute"})
    uploads = limits.uploads.model_copy(update={"spare_bytes": 1})
    made = ServiceSettings(data=folder / "data", roots=(folder / "root",), limits=load_limits())
    made = replace(made, limits=limits.model_copy(update={"http": http, "uploads": uploads}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warm, "build_pipeline", pretend.build)
        running = Served(made)
        yield running
        running.stop()


def test_every_route_is_fuzzed() -> None:
    assert len(OPERATIONS) == len(ENDPOINTS)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("label", "mode"), [*product(OPERATIONS, [GOOD]), *product(sorted(OPERATIONS.keys() - EMPTY), [BAD])]
)
def test_no_call_brings_a_route_down_and_answers_are_as_described(served: Served, label: str, mode: Any) -> None:
    operation = OPERATIONS[label]

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode), ours=st.sampled_from([*OURS, None]), noise=NOISE)
    def fuzz(case: Any, ours: str | None, noise: dict[str, str]) -> None:
        headers = served.prepare()
        case.query = {**(case.query or {}), **noise}
        if ours and "slide" in (case.path_parameters or {}):
            case.path_parameters["slide"] = ours
            case.path_parameters.update(_within(case.path_parameters))
        response = case.call(base_url=served.base, headers=headers, timeout=30)
        case.validate_response(response, checks=CHECKS)

    fuzz()


def _within(parameters: dict[str, Any]) -> dict[str, int]:
    """A tile that the picture may have, made of one that it has not."""
    sides = {"level": 12, "column": 4, "row": 3}
    digits = {name: str(parameters.get(name)) for name in sides}
    return {
        name: int(digits[name]) % side
        for name, side in sides.items()
        if digits[name].isascii() and digits[name].isdigit()
    }
