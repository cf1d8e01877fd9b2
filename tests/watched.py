"""A service and one watched folder within the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import stand_in
from aiohttp.test_utils import TestClient, TestServer

from hema_stream.service.app import make_app
from hema_stream.service.daemon.config import DaemonConfig
from hema_stream.service.daemon.folders import WatchedFolder, set_aside
from hema_stream.service.parts import DISK, DISPATCHER, STORE


class Box:
    """A service and its one watched folder."""

    def __init__(self, app: Any, folder: WatchedFolder, path: Path) -> None:
        self.app, self.folder, self.path = app, folder, path

    @property
    def stage(self) -> Any:
        return self.app[DISPATCHER].pipeline._stage("tally")

    def names(self, below: str) -> list[str]:
        pattern = "*/*" if below == "claimed" else "*"
        found = (self.path / below).glob(pattern)
        return sorted(path.name for path in found if not path.is_dir() and path.suffix != ".reason")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(config: DaemonConfig, watch: Any = stand_in.watch) -> AsyncGenerator[Box]:
    app = await make_app(config.service())
    set_aside(app[STORE], config.service().results, 5)
    folder = WatchedFolder(config.folders[0], watch, app[STORE], app[DISPATCHER], app[DISK], retry=0.05)
    async with TestClient(TestServer(app)):
        box = Box(app, folder, config.folders[0].path)
        task = asyncio.create_task(folder.run())
        try:
            yield box
        finally:
            box.stage.go.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(name.encode())
