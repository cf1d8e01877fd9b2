"""``hema-stream serve`` says what is missing before it starts."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import structlog

from hema_stream.cli.extras import installing
from hema_stream.cli.logs import log_as_json

WITHOUT = """
import sys
sys.modules["aiohttp"] = None
from hema_stream.cli import main
sys.argv = ["hema-stream", "serve", "--data", sys.argv[1]]
main()
"""


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install -c constraints.txt -e '.[server]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_remedy_fits_where_it_was_installed_from(tmp_path: Path) -> None:
    assert installing("server", tmp_path) == "pip install 'hema-stream[server]'"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "_environment").touch()
    assert installing("server", tmp_path) == f"cd {tmp_path} && .venv/bin/python -m pip install -e '.[server]'"


def serve(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hema_stream.cli", "serve", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_busy_port_is_one_line_that_names_a_free_one_and_nothing_is_begun(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = serve("--data", tmp_path / "data", "--port", port)
    assert done.returncode == 4
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: 127.0.0.1:{port}: another program listens there [address]")
    assert "a free one: --port " in line
    assert not (tmp_path / "data").exists()


def test_what_cannot_be_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    missing = serve("--data", tmp_path / "data", "--root", tmp_path / "none")
    assert (missing.returncode, "does not exist" in missing.stderr) == (2, True)
    within = serve("--data", tmp_path / "file" / "data", "--port", 0)
    assert (within.returncode, len(within.stderr.splitlines())) == (1, 1)
    assert "name another folder with --data" in within.stderr
    image = serve("--data", tmp_path / "data", "--root", tmp_path, "--port", 0, "--submit", "none.png")
    assert (image.returncode, image.stdout) == (4, "")
    assert "no such image" in image.stderr


def test_the_log_goes_to_a_file_after_what_is_in_it_and_faults_to_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("earlier\n")
    log_as_json(file=tmp_path / "log.jsonl")
    structlog.get_logger().info("begun")
    structlog.reset_defaults()
    earlier, begun = (tmp_path / "log.jsonl").read_text().splitlines()
    assert (earlier, json.loads(begun)["event"]) == ("earlier", "begun")


def test_half_of_tls_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("")
    command = ["serve", "--data", tmp_path, "--tls-cert", tmp_path / "cert.pem"]
    done = subprocess.run([sys.executable, "-m", "hema_stream.cli", *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "belong together" in done.stderr
