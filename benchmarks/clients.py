"""Live clients: what 200 of them, 20 stalled, cost the pipeline, how late they hear, and whether memory stays flat.

A tally that works without a break for a set time a delta stands for the pipeline; the hub, the protocol and the API are
the product's. The service has one core and the clients have another, in both arms; pairs alternate.

python benchmarks/clients.py --seconds 120 --pairs 5 --out clients.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CORES = (0, 1)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def run(clients: int, asked: argparse.Namespace, times: int) -> dict[str, Any]:
    """One run of a slide that ``clients`` follow; ``times`` is how often the work is done, 0 to find out."""
    steps = round(asked.seconds * asked.rate)
    with tempfile.TemporaryDirectory() as folder:
        service = _started("clients_service.py", folder, asked.cells, steps, asked.seconds, times, CORES[0])
        told = _heard(service)
        crowd = None
        if clients:
            where = told["base"], told["token"], told["slide"]
            crowd = _started("clients_crowd.py", *where, clients, asked.stalled, CORES[1])
            _heard(crowd)
        _say(service, "go")
        ran = _heard(service)
        seen = _heard(crowd) if crowd else {}
        _say(service, "stop")
        for process in (service, crowd):
            if process:
                process.wait(60)
    return {**ran, **seen, "steps": steps, "times": told["times"]}


def _started(script: str, *arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": None}
    path = os.pathsep.join([str(HERE.parent / "tests"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(command, text=True, env={**os.environ, **ONE_THREAD, "PYTHONPATH": path}, **pipes)


def _heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            heard: dict[str, Any] = json.loads(line)
            return heard
    raise SystemExit(f"ended early: {process.args}")


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def growth(resident: list[float]) -> float:
    """MiB between the second and the last quarter of a run: the first is start-up."""
    quarter = max(len(resident) // 4, 1)
    return statistics.median(resident[-quarter:]) - statistics.median(resident[quarter : 2 * quarter] or resident)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--stalled", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0, help="that the pipeline works, without clients")
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=5.0, help="deltas a second")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if len(os.sched_getaffinity(0)) < len(CORES):
        raise SystemExit("two cores are needed")
    pairs, times = [], 0
    print(
        f"{'pair':>4} {'none, s':>9} {'with, s':>9} {'cost':>7} {'of CPU':>7} "
        f"{'p50, ms':>8} {'p99, ms':>8} {'MiB +':>6}  closed"
    )
    for number in range(asked.pairs):
        arms = (0, asked.clients) if number % 2 == 0 else (asked.clients, 0)
        runs = {}
        for clients in arms:
            runs[clients] = run(clients, asked, times)
            times = runs[clients]["times"]
        none, crowd = runs[0], runs[asked.clients]
        if crowd["ended"] != asked.clients - asked.stalled or crowd["cells"] != [asked.cells]:
            raise SystemExit(f"clients did not have every cell at the end: {crowd}")
        cost, grown = crowd["seconds"] / none["seconds"] - 1, growth(crowd["resident"])
        worked = crowd["cpu"] / none["cpu"] - 1
        pairs.append({"none": none, "clients": crowd, "cost": cost, "cpu": worked, "growth": grown})
        print(
            f"{number + 1:>4} {none['seconds']:>9.2f} {crowd['seconds']:>9.2f} {cost:>6.1%} {worked:>6.1%} "
            f"{1e3 * crowd['p50']:>8.0f} "
            f"{1e3 * crowd['p99']:>8.0f} {grown:>6.1f}  {crowd['closed']}",
            flush=True,
        )
    median = statistics.median(pair["cost"] for pair in pairs)
    p99 = max(pair["clients"]["p99"] for pair in pairs)
    cpu = statistics.median(pair["cpu"] for pair in pairs)
    print(
        f"median cost {median:.1%} of time, {cpu:.1%} of CPU time; worst p99 {1e3 * p99:.0f} ms, "
        f"load average {os.getloadavg()[0]:.1f}"
    )
    if asked.out:
        asked.out.write_text(json.dumps({"asked": {**vars(asked), "out": str(asked.out)}, "pairs": pairs}, indent=1))


if __name__ == "__main__":
    main()
