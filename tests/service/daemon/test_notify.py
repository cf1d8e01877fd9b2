"""What systemd is told, on a socket of the test's own."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hema_stream.service.daemon.notify import Notifier, watchdog_seconds


class Systemd:
    """The other end of ``NOTIFY_SOCKET``."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(0.0)

    def told(self) -> list[str]:
        found = []
        try:
            while True:
                found.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    address = str(tmp_path / "notify")
    made = Systemd(address)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    yield made
    made.close()


def test_states_are_told_one_a_datagram(systemd: Systemd) -> None:
    notifier = Notifier()
    notifier.ready()
    notifier.status("3 done")
    notifier.stopping()
    assert systemd.told() == ["READY=1", "STATUS=3 done", "STOPPING=1"]


async def test_signs_of_life_come_thrice_in_the_time_and_only_while_all_is_well(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "150000")
    well = True
    beating = asyncio.create_task(Notifier().beat(lambda: well))
    await asyncio.sleep(0.42)
    assert systemd.told().count("WATCHDOG=1") in (7, 8, 9)
    well = False
    await asyncio.sleep(0.1)
    systemd.told()
    await asyncio.sleep(0.2)
    assert systemd.told() == []
    beating.cancel()


@pytest.mark.parametrize(
    ("microseconds", "process", "seconds"),
    [("2000000", "", 2.0), ("2000000", str(os.getpid()), 2.0), ("2000000", "1", None), ("0", "", None), ("", "", None)],
)
def test_signs_are_given_where_they_are_wanted_of_this_process(
    monkeypatch: pytest.MonkeyPatch, microseconds: str, process: str, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", process)
    assert watchdog_seconds() == seconds


async def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"):
        monkeypatch.delenv(name, raising=False)
    notifier = Notifier()
    notifier.ready()
    await asyncio.wait_for(notifier.beat(lambda: True), 1)


def test_a_systemd_that_does_not_listen_holds_nothing_up(systemd: Systemd) -> None:
    """The kernel keeps a few datagrams for it and then would make the sender wait."""
    notifier = Notifier()
    began = time.monotonic()
    for _ in range(1000):
        notifier.status("busy")
    assert time.monotonic() - began < 1
    assert 0 < len(systemd.told()) < 1000
    notifier.stopping()
    assert systemd.told() == ["STOPPING=1"]
