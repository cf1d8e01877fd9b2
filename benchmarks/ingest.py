"""A scanner faster than the pipeline: it waits, and memory stays flat however many fields there are.

The pipeline's own rate is measured first, by a scan of ``--few`` fields that sends as credits come. Then a scan of
``--few`` fields and one of ``--many`` are sent at ``--factor`` times that rate to fresh services, each with its peak
and its memory along the way (proportional set size of the whole process tree, MiB).

python benchmarks/ingest.py --few 40 --many 160 --json ingest.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

SIDE, STEP, MPP = (640, 480), (544, 408), 0.191


def mosaic(path: Path, fields: int) -> Path:
    """A picture of so many fields, made of a shipped one."""
    field = cv2.imread(str(ROOT / "examples" / "fields" / "chula-106.png"))
    columns = max(int(np.sqrt(fields)), 1)
    rows = -(-fields // columns)
    width, height = (columns - 1) * STEP[0] + SIDE[0], (rows - 1) * STEP[1] + SIDE[1]
    tiled = np.tile(field, (-(-height // field.shape[0]), -(-width // field.shape[1]), 1))
    cv2.imwrite(str(path), tiled[:height, :width])
    return path


class Memory:
    """Proportional set size of a process tree over time, and its resident size, MiB."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over = pid, threading.Event()
        self.samples: list[float] = []
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            try:
                parent = psutil.Process(self._pid)
                tree = [parent, *parent.children(recursive=True)]
                self.samples.append(sum(process.memory_full_info().pss for process in tree) / 2**20)
            except psutil.NoSuchProcess:
                return

    def stop(self) -> list[float]:
        self._over.set()
        self._thread.join()
        return self.samples


def scan(image: Path, rate: float) -> dict[str, Any]:
    """One scan by a fresh service."""
    from service_process import ServiceProcess

    with tempfile.TemporaryDirectory() as name, ServiceProcess(Path(name) / "data", Path(name)) as service:
        command = [sys.executable, "-m", "hema_stream.cli", "scan-sim", image, "--url", service.base, "--mpp", MPP]
        options = ["--token", service.token, "--rate", rate, "--field", *SIDE, "--overlap", 0.15, "--json"]
        idle = _settled(service.process.pid)
        memory = Memory(service.process.pid)
        done = subprocess.run([*map(str, command + options)], capture_output=True, text=True, check=False)
        samples = memory.stop()
    if done.returncode:
        raise SystemExit(done.stderr)
    told = json.loads(done.stdout)
    middle, end = samples[len(samples) // 3 : 2 * len(samples) // 3], samples[2 * len(samples) // 3 :]
    return {
        "fields": told["fields"],
        "seconds": told["seconds"],
        "fields_per_s": round(told["fields"] / told["seconds"], 2),
        "asked_per_s": round(rate, 2),
        "waited_share": round(told["waited"] / told["seconds"], 2),
        "first_cells_s": told["first_cells"],
        "cells": told["counts"]["cells"],
        "idle_mib": round(idle),
        "peak_mib": round(max(samples)),
        "middle_mib": round(float(np.median(middle))),
        "last_mib": round(float(np.median(end))),
    }


def _settled(pid: int) -> float:
    time.sleep(1.0)
    memory = Memory(pid)
    time.sleep(1.2)
    return memory.stop()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=40)
    parser.add_argument("--many", type=int, default=160)
    parser.add_argument("--factor", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        few, many = (mosaic(Path(name) / f"{n}.png", n) for n in (asked.few, asked.many))
        own = scan(few, 0.0)
        runs = [own, *(scan(image, asked.factor * own["fields_per_s"]) for image in (few, many))]
    print(" ".join(f"{key:>13}" for key in runs[0]))
    for run in runs:
        print(" ".join(f"{'' if value is None else value:>13}" for value in run.values()))
    print(
        f"peak of {runs[2]['fields']} fields over that of {runs[1]['fields']}: "
        f"{runs[2]['peak_mib'] / runs[1]['peak_mib']:.3f}"
    )
    if asked.json:
        asked.json.write_text(json.dumps({"load": psutil.getloadavg(), "runs": runs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
