"""The daemon as a process: ready, watched, told to stop, and gone in time."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import trustme
from daemon_process import Daemon, claimed, reports, wait

from hema_stream.cli.status.fetch import Service, UnreachableError


@pytest.fixture
def start(written: Callable[..., Path]) -> Iterator[Callable[..., Daemon]]:
    made: list[Daemon] = []

    def begin(*ways: str, **changes: Any) -> Daemon:
        made.append(Daemon(written(**changes), "pretend", *ways))
        return made[-1]

    yield begin
    for daemon in made:
        daemon.close()


def test_systemd_is_told_when_it_is_ready_that_it_lives_and_that_it_stops(start: Any) -> None:
    daemon = start()
    assert "READY=1" in daemon.hear("READY=1")
    daemon.hear("WATCHDOG=1")
    assert "GiB free" in daemon.hear("STATUS=")[-1]
    code, seconds = daemon.stop()
    assert (code, daemon.hear("STOPPING=1")[-1]) == (0, "STOPPING=1")
    assert seconds < 10
    names = [event["event"] for event in daemon.events()]
    assert [name for name in names if name in ("ready", "stopping", "stopped")] == ["ready", "stopping", "stopped"]


def test_a_stop_in_mid_slide_is_in_time_and_the_next_start_goes_on(start: Any, inbox: Path) -> None:
    (inbox / "a.png").write_bytes(b"picture")
    daemon = start()
    wait(lambda: (inbox / "done" / "a.png").exists())
    (inbox / "long-1.png").write_bytes(b"picture")
    wait(lambda: claimed(inbox, "long-1.png"))
    time.sleep(0.5)
    first = reports(inbox)
    code, seconds = daemon.stop()
    assert (code, len(first)) == (0, 1)
    assert seconds < 10
    assert reports(inbox) == first
    (inbox / "b.png").write_bytes(b"picture")
    again = start()
    wait(lambda: all((inbox / "done" / name).exists() for name in ("b.png", "long-1.png")))
    assert again.stop()[0] == 0
    after = reports(inbox)
    assert len(after) == 3
    assert {path: after[path] for path in first} == first


def test_slides_under_way_may_end_by_themselves(start: Any, inbox: Path) -> None:
    daemon = start(stop={"finish": 10, "within": 30})
    (inbox / "brief-1.png").write_bytes(b"picture")
    wait(lambda: claimed(inbox, "brief-1.png"))
    time.sleep(0.3)
    assert reports(inbox) == {}
    code, seconds = daemon.stop()
    assert (code, len(reports(inbox))) == (0, 1)
    assert seconds < 10


def test_a_stop_that_hangs_is_cut_short_and_the_file_is_not_lost(start: Any, inbox: Path) -> None:
    daemon = start("hang", stop={"finish": 0.1, "within": 6}, limits={"jobs": {"grace": 0.5}})
    (inbox / "slow-1.png").write_bytes(b"picture")
    wait(lambda: claimed(inbox, "slow-1.png"))
    time.sleep(0.5)
    code, seconds = daemon.stop()
    assert code == 4
    assert 5.5 < seconds < 9
    assert claimed(inbox, "slow-1.png")
    assert reports(inbox) == {}


def test_tls_is_a_matter_of_configuration(start: Any, tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    daemon = start(listen={"port": 0, "tls": tls})
    base = daemon.line("listening on")
    assert base.startswith("https://")
    status = Service(base, _made(base, daemon.line("one-time token"), tmp_path / "ca.pem"), tmp_path / "ca.pem")
    assert status.look().status["ready"]
    with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        Service(base, "", None).look()
    with pytest.raises(UnreachableError):
        Service(base.replace("https", "http"), "", None).look()


def _made(base: str, once: str, ca: Path) -> str:
    """A token that reads."""
    headers = {"Authorization": f"Bearer {once}", "Content-Type": "application/json"}
    body = json.dumps({"name": "status", "scopes": ["read"]}).encode()
    request = Request(f"{base}/api/v1/tokens", body, headers, method="POST")
    with urlopen(request, context=ssl.create_default_context(cafile=ca), timeout=30) as answer:
        return str(json.load(answer)["token"])
