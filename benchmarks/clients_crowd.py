"""The clients of benchmarks/clients.py: all in one process on one core, some of them stalled.

Half of the stalled ones grant no credit, half grant much and never read. A stalled one that is closed comes back.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgpack
import numpy as np
import uvloop
from clients_names import EMITTED

GRANT = 8
CELLS = {"keys": "<i4", "kind": "u1", "best": "<i2", "confidence": "<u2", "box": "<i4"}
LABELS = {"keys": "<i4", "best": "<i2", "confidence": "<u2"}


@dataclass
class Crowd:
    """What all clients saw.

    Attributes:
        latencies: seconds from the tally's emission to a decoded delta, of clients that keep up.
        ended: how many followed to the end; cells: how many each of them had then.
        closed: closing codes of stalled ones.
    """

    base: str
    token: str
    slide: str
    latencies: list[float] = field(default_factory=list)
    messages: int = 0
    ended: int = 0
    cells: set[int] = field(default_factory=set)
    closed: dict[str, int] = field(default_factory=dict)
    connected: int = 0

    async def follow(self, session: aiohttp.ClientSession) -> None:
        """Follow to the end, decoding everything."""
        keys: set[bytes] = set()
        async with await self._connect(session) as socket:
            used = 0
            async for frame in socket:
                message = msgpack.unpackb(frame.data)
                decoded(message)
                kind = message["type"]
                if kind == "delta":
                    self.latencies.append(time.monotonic() - message["counts"][EMITTED] / 1e6)
                for group in ("added", "cells"):
                    if group in message:
                        keys.update(map(bytes, np.frombuffer(message[group]["keys"], "V8")))
                self.messages += 1
                used += kind not in ("hello", "heartbeat", "error")
                if used >= GRANT:
                    await socket.send_bytes(msgpack.packb({"type": "credit", "n": used}))
                    used = 0
                if kind == "end":
                    self.ended += 1
                    self.cells.add(len(keys))

    async def stall(self, session: aiohttp.ClientSession, reads: bool) -> None:
        """Never be done: without credit, or without reading."""
        while True:
            socket = await self._connect(session)
            if reads:
                async for _ in socket:
                    pass
                code = str(socket.close_code)
            else:
                await socket.send_bytes(msgpack.packb({"type": "credit", "n": 1024}))
                await asyncio.sleep(45)
                code = "left"
            self.closed[code] = self.closed.get(code, 0) + 1
            await socket.close()

    async def _connect(self, session: aiohttp.ClientSession) -> Any:
        async with session.post("/api/v1/tickets", json={"slide": self.slide}, raise_for_status=True) as answer:
            ticket = (await answer.json())["ticket"]
        protocols = ("hema.live.v1", f"ticket.{ticket}")
        socket = await session.ws_connect(f"/api/v1/slides/{self.slide}/live", protocols=protocols)
        await socket.send_bytes(msgpack.packb({"type": "resume", "run": "", "seq": 0}))
        self.connected += 1
        return socket


def decoded(message: dict[str, Any]) -> None:
    """Turn every column into an array, as a client does that draws."""
    for group, dtypes in (("added", CELLS), ("cells", CELLS), ("labelled", LABELS)):
        if group in message:
            for name, dtype in dtypes.items():
                np.frombuffer(message[group][name], dtype)


async def crowd(base: str, token: str, slide: str, clients: int, stalled: int) -> None:
    """Follow a slide by many; says when all are connected, and what they saw, as lines of JSON."""
    seen = Crowd(base, token, slide)
    headers, connector = {"Authorization": f"Bearer {token}"}, aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(base, headers=headers, connector=connector) as session:
        following = [asyncio.create_task(seen.follow(session)) for _ in range(clients - stalled)]
        stalling = [asyncio.create_task(seen.stall(session, bool(n % 2))) for n in range(stalled)]
        while seen.connected < clients:
            for task in (*following, *stalling):
                if task.done():
                    task.result()
            await asyncio.sleep(0.05)
        print(json.dumps({"connected": clients}), flush=True)
        await asyncio.gather(*following)
        for task in stalling:
            task.cancel()
        await asyncio.gather(*stalling, return_exceptions=True)
    late = np.array(seen.latencies or [0.0])
    said = {
        "messages": seen.messages,
        "ended": seen.ended,
        "cells": sorted(seen.cells),
        "closed": seen.closed,
        "deltas": len(seen.latencies),
        **{f"p{p}": float(np.percentile(late, p)) for p in (50, 99)},
        "worst": float(late.max()),
    }
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    where, shown, one, many, still, core = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    uvloop.run(crowd(where, shown, one, int(many), int(still)))
