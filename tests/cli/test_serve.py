"""``hema-stream serve`` says what is missing before it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
    assert "pip install 'hema-stream[server]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_half_of_tls_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("")
    command = ["serve", "--data", tmp_path, "--tls-cert", tmp_path / "cert.pem"]
    done = subprocess.run([sys.executable, "-m", "hema_stream.cli", *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "belong together" in done.stderr
