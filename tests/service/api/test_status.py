"""The service at a glance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hema_stream import __version__
from hema_stream.service.daemon.standing import FolderStanding
from hema_stream.service.parts import FOLDERS


async def test_it_tells_what_runs_what_waits_and_how_much_room_there_is(service: Any) -> None:
    service.app[FOLDERS].append(FolderStanding(Path("/scans"), "unreachable", "gone", 5, 3, 1))
    for number in range(3):
        await service.submit(f"slow-{number}.png")
    while len((found := await service.json("GET", "/status"))["running"]) < 2:
        pass
    assert (found["version"], found["ready"], found["clients"]) == (__version__, True, 0)
    assert found["jobs"] == {"running": 2, "queued": 1}
    assert {slide["status"] for slide in found["running"]} == {"running"}
    assert 0 <= found["uptime"] < 60
    disk = found["disk"]
    assert 0 < disk["free"] <= disk["total"]
    assert (disk["below"], disk["enough"]) == (1 << 30, 2 << 30)
    assert found["folders"] == [
        {"path": "/scans", "state": "unreachable", "why": "gone", "claimed": 5, "done": 3, "failed": 1}
    ]
