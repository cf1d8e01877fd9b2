"""Memory: the process tree's peak on a large and a small slide, and its growth over many fields.

python benchmarks/memory.py slides small.tif large.tif
python benchmarks/memory.py fields FOLDER --first 100        # of pictures, all of which can be analysed
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil


def watch(command: list[str], out: Path, first: int, total: int) -> tuple[float, float, float]:
    """Run a command; MiB of its process tree: peak, with ``first`` reports there, and with all ``total`` of them."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = after_first = last = 0.0
    while process.poll() is None:
        now = _tree(process.pid)
        peak = max(peak, now)
        done = sum(1 for _ in out.glob("*/report.json"))
        if done and done <= first:
            after_first = now
        if done == total and not last:  # what comes after is the program's end, which frees everything
            last = now
        time.sleep(0.1)
    if process.returncode not in (0, 3):
        raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}")
    if not last:
        raise SystemExit(f"not all {total} inputs have a report: name pictures that can be analysed")
    return peak, after_first, last


def _tree(pid: int) -> float:
    """Proportional set size of a process and its children: shared pages are counted once."""
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.NoSuchProcess:
        return 0.0
    return total / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("slides", "fields"))
    parser.add_argument("inputs", type=Path, nargs="+")
    parser.add_argument("--first", type=int, default=100)
    asked = parser.parse_args()
    program = [str(Path(sys.executable).with_name("hema-stream")), "analyze"]
    if asked.what == "slides":
        peaks = []
        for slide in asked.inputs:
            with tempfile.TemporaryDirectory() as name:
                peak, _, _ = watch([*program, str(slide), "-o", name], Path(name), 1, 1)
            peaks.append(peak)
            print(f"{slide.name}: peak {peak:.0f} MiB ({peak / peaks[0]:.3f} of the first)")
        return
    total = sum(1 for folder in asked.inputs for _ in folder.iterdir())
    with tempfile.TemporaryDirectory() as name:
        command = [*program, *map(str, asked.inputs), "-o", name]
        peak, early, late = watch(command, Path(name), asked.first, total)
        count = sum(1 for _ in Path(name).glob("*/report.json"))
    print(f"{count} fields: {early:.0f} MiB after {asked.first}, {late:.0f} MiB after all, peak {peak:.0f} MiB")
    print(f"after all over after {asked.first}: {late / early:.3f}")


if __name__ == "__main__":
    main()
