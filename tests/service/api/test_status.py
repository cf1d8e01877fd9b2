"""The service at a glance."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from hema_stream import __version__
from hema_stream.cli.status import command
from hema_stream.cli.status.fetch import UnreachableError
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


def _asked(*options: str) -> Any:
    return CliRunner().invoke(command, list(options), env={"HEMA_STREAM_TOKEN": "", "HEMA_STREAM_URL": ""})


async def test_the_command_prints_it_once_where_there_is_no_terminal(service: Any, tmp_path: Path) -> None:
    await service.until(await service.submit("a.png"), "done")
    (tmp_path / "token").write_text(f"{service.token}\n")
    told = await asyncio.to_thread(_asked, "--url", service.base, "--token-file", str(tmp_path / "token"))
    assert told.exit_code == 0, told.output
    assert f"at {service.base}: ready" in told.output
    assert "done a.png" in told.output


async def test_the_command_tells_what_is_wrong(service: Any) -> None:
    for url, token, words in ((service.base, "wrong", "answers 401"), ("http://127.0.0.1:9", "x", "does not answer")):
        told = await asyncio.to_thread(_asked, "--url", url, "--token", token)
        assert isinstance(told.exception, UnreachableError)
        assert words in str(told.exception)
        assert url in str(told.exception)
