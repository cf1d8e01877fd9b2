"""A daemon in a process of its own, over the stand-in for its folders' source.

``python daemon_process.py CONFIG [pretend] [hang]``: over a pipeline that pretends, and one whose stop never returns.
Everything else is as ``hema-stream daemon`` does it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Daemon:
    """A daemon with a systemd that listens."""

    def __init__(self, config: Path, *ways: str) -> None:
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.settimeout(30)
        address = config.with_name(f"notify-{time.monotonic_ns()}")
        self.notify.bind(str(address))
        self.log = config.with_name("log").open("a+")
        self.process = subprocess.Popen(
            [sys.executable, __file__, config, *ways],
            env={**os.environ, "NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "3000000"},
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def line(self, start: str) -> str:
        """The last word of the line on standard output that starts so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(start):
                return line.split()[-1]
        raise AssertionError(f"no line that starts with {start}")

    def hear(self, state: str) -> list[str]:
        """Everything that is told up to this state."""
        told: list[str] = []
        while not told or not told[-1].startswith(state):
            told.append(self.notify.recv(4096).decode())
        return told

    def stop(self) -> tuple[int, float]:
        """SIGTERM; exit code and seconds."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        return code, time.monotonic() - began

    def events(self) -> list[dict[str, Any]]:
        self.log.seek(0)
        return [json.loads(line) for line in self.log if line.startswith("{")]

    def begun(self, name: str) -> bool:
        """Whether a file's slide was opened."""
        events = self.events()
        jobs = {event["job"] for event in events if event["event"] == "claimed" and event["file"] == name}
        return any(event["event"] == "opened" and event["job"] in jobs for event in events)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.notify.close()
        self.log.close()


def wait(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def claimed(inbox: Path, name: str) -> bool:
    """Whether a file has been claimed and waits for its verdict."""
    return bool(list(inbox.glob(f"claimed/*/{name}")))


def reports(inbox: Path) -> dict[Path, int]:
    """The reports that there are, and when they were written."""
    return {path: path.stat().st_mtime_ns for path in (inbox.parent / "data").glob("results/*/report.json")}


def main(config: str, *ways: str) -> None:
    """Be the daemon."""
    import stand_in

    from hema_stream.cli import daemon
    from hema_stream.service import warm
    from hema_stream.service.daemon import source

    source.folder_watch = lambda _: stand_in.watch  # type: ignore[assignment, return-value]
    if "pretend" in ways:
        import pretend

        warm.build_pipeline = pretend.build
    if "hang" in ways:
        warm.WarmPipeline.stop = lambda *_: time.sleep(60)  # type: ignore[assignment, method-assign]
    daemon.command(["--config", config])


if __name__ == "__main__":
    main(*sys.argv[1:])
