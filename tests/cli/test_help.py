"""--help answers at once and loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
import time

CODE = """
import sys
from hema_stream.cli import group
try:
    group(['--help'], prog_name='hema-stream')
except SystemExit:
    pass
print(sorted({'torch', 'nvidia', 'numpy', 'cv2', 'openvino', 'aiohttp', 'sqlalchemy'} & set(sys.modules)))
"""


def test_help_imports_neither_torch_nor_dali() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert "analyze" in done.stdout


def test_help_answers_within_half_a_second() -> None:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "hema_stream.cli", "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.5
