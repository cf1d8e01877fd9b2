"""A service as people start it: a process of its own, spoken to over HTTP."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import orjson

ADMIN = {"name": "tests", "scopes": ["admin"]}


class ServiceProcess:
    """``hema-stream serve`` on a free port; ``token`` is made with the one-time token of the first start."""

    def __init__(self, data: Path, root: Path, token: str = "", *settings: str) -> None:
        self.data, self.root = data, root
        command = [sys.executable, "-m", "hema_stream.cli", "serve", "--data", data, "--root", root, "--port", "0"]
        self.process = subprocess.Popen(
            [*map(str, command), *(part for setting in settings for part in ("--set", setting))],
            stdout=subprocess.PIPE,
            stderr=(data.parent / "stderr.txt").open("ab"),
            text=True,
        )
        self.base = self._line(r"listening on (\S+)")
        self.token = token or self._first_token(self._line(r"one-time token.*: (\S+)"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(10)

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """Ask with curl's simplicity; the answer's JSON."""
        from urllib.request import Request, urlopen

        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json"}
        data = orjson.dumps(body) if body is not None else None
        with urlopen(Request(f"{self.base}/api/v1{path}", data, headers, method=method), timeout=30) as answer:
            return orjson.loads(answer.read() or b"null")

    def picture(self, slide: str, level: int) -> bytes:
        """The upper left tile of a slide's picture at a level, JPEG."""
        from urllib.request import Request, urlopen

        url = f"{self.base}/api/v1/slides/{slide}/image_files/{level}/0_0.jpeg"
        with urlopen(Request(url, headers={"Authorization": f"Bearer {self.token}"}), timeout=30) as answer:
            return bytes(answer.read())

    def submit(self, path: str, **wish: Any) -> str:
        """Submit an image by path; the slide's id."""
        return str(self.ask("POST", "/slides", {"path": path, **wish})["id"])

    def wait(self, condition: Any, seconds: float = 90.0) -> None:
        """Wait until a condition holds of the list of slides."""
        until = time.monotonic() + seconds
        while not condition(self.ask("GET", "/slides?limit=500")["slides"]):
            assert time.monotonic() < until, (self.data.parent / "stderr.txt").read_text()
            time.sleep(0.05)

    def _first_token(self, once: str) -> str:
        return str(self.ask("POST", "/tokens", ADMIN, once)["token"])

    def _line(self, pattern: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(pattern, line):
                return found.group(1)
        raise AssertionError((self.data.parent / "stderr.txt").read_text())
