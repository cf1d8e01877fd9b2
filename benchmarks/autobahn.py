"""The Autobahn test suite's fuzzing client against the live endpoint's WebSocket layer.

The suite expects an echo, which the live protocol has not; so an echo stands behind the same WebSocket (same library,
same settings but for the frame limit, which its cases exceed), and the session itself behind a second one, where only
what it must never do counts: fail, or leave a connection open. The suite runs on Python 2.7 alone:

python2.7 -m pip install --target SUITE autobahntestsuite==0.8.2 && touch SUITE/zope/__init__.py
PYTHONPATH= python benchmarks/autobahn.py --suite SUITE --python2 python2.7
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections import Counter
from pathlib import Path

from aiohttp import WSMsgType, web

from hema_stream.service.api.live import _Connection
from hema_stream.service.live import Feed
from hema_stream.service.live.messages import PROTOCOL
from hema_stream.service.settings import load_limits

LARGEST = 64 << 20
LEFT_OUT = ["12.*", "13.*"]
"""Cases of compression, which the endpoint does not offer."""
failures: list[str] = []


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Give back what comes."""
    socket = web.WebSocketResponse(protocols=(PROTOCOL,), max_msg_size=LARGEST, compress=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        elif message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
    return socket


async def session(request: web.Request) -> web.WebSocketResponse:
    """Speak the live protocol, to whoever comes."""
    limits = load_limits().live
    socket = web.WebSocketResponse(protocols=(PROTOCOL,), max_msg_size=limits.frame, compress=False)
    await socket.prepare(request)
    feed = Feed("slide", "slide.png", "run", limits)
    try:
        await _Connection(socket, feed).serve()
    except Exception as error:
        failures.append(repr(error))
        raise
    if feed.listeners:
        failures.append("a session was left behind")
    return socket


async def judged(asked: argparse.Namespace, path: str, cases: list[str]) -> Counter[str]:
    """Run the suite against one of the two; how often it judged how."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.json"
        url = f"ws://127.0.0.1:{asked.port}/{path}"
        document = {
            "outdir": folder,
            "servers": [{"agent": path, "url": url, "options": {"version": 18}}],
            "cases": cases,
            "exclude-cases": LEFT_OUT,
            "exclude-agent-cases": {},
        }
        spec.write_text(json.dumps(document))
        code = "from autobahntestsuite.wstest import run; run()"
        process = await asyncio.create_subprocess_exec(
            *(asked.python2, "-W", "ignore", "-c", code, "-m", "fuzzingclient", "-s", str(spec)),
            env={**os.environ, "PYTHONPATH": str(asked.suite)},
            stdout=asyncio.subprocess.DEVNULL,
        )
        await process.wait()
        found = json.loads((Path(folder) / "index.json").read_text())[path]
    for name, case in found.items():
        if case["behavior"] == "FAILED" or case["behaviorClose"] == "FAILED":
            print(f"  {path} {name}: {case['behavior']}, closing {case['behaviorClose']}")
    return Counter(case["behavior"] for case in found.values())


async def run(asked: argparse.Namespace) -> None:
    app = web.Application()
    app.add_routes([web.get("/echo", echo), web.get("/session", session)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", asked.port).start()
    print("echo:", dict(await judged(asked, "echo", asked.cases)))
    if asked.session:
        await judged(asked, "session", asked.cases)
        print(f"session: {len(failures)} failures {failures[:3]}")
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, required=True, help="where the suite was installed to")
    parser.add_argument("--python2", default="python2.7")
    parser.add_argument("--port", type=int, default=9071)
    parser.add_argument("--cases", nargs="+", default=["*"], help="such as 1.* 7.*")
    parser.add_argument("--session", action="store_true", help="the live session too")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
