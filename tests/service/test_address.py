"""Where a service can listen, and what is said where it cannot."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hema_stream.service.address import AddressError, check_address


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status":"ok"}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def running() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Healthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_a_free_address_is_fine() -> None:
    check_address("127.0.0.1", 0)


def test_a_taken_port_names_the_next_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(AddressError, match="another program") as refused:
            check_address("127.0.0.1", taken.getsockname()[1])
        offered = re.search(r"--port (\d+)", refused.value.remedy)
        assert offered is not None
        check_address("127.0.0.1", int(offered[1]))


def test_a_service_that_runs_already_is_named_with_its_address(running: int) -> None:
    with pytest.raises(AddressError, match=rf"runs there already: http://127.0.0.1:{running}"):
        check_address("127.0.0.1", running)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_told(host: str) -> None:
    with pytest.raises(AddressError, match="nothing can listen there") as refused:
        check_address(host, 8765)
    assert "--host" in refused.value.remedy
