"""What the pipeline costs above its networks: its wall time against its own model batches replayed alone.

The batches of one run are recorded once. Then, in turn, one process analyses the slide (report.json alone) and
another replays the recorded batches, both with networks loaded and warm; the ratio of each pair is what counts.

python benchmarks/replay.py mosaic.tif --pairs 5
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

MODELS = {"segment": ("yolo11n-seg", 1), "rbc": ("rbc", 64), "wbc": ("wbc", 16)}


def record(slide: Path, folder: Path) -> None:
    """Analyse the slide once and keep every batch that a network is given, by network."""
    import uvloop
    from hema_models import backends
    from speed import measure

    kept: dict[str, list[np.ndarray]] = defaultdict(list)
    opened = backends.open_network

    def recording(model: str, *arguments: Any) -> Any:
        network = opened(model, *arguments)

        class Recording:
            batch, side, identity = network.batch, network.side, network.identity

            def __call__(self, pixels: np.ndarray) -> Any:
                kept[model].append(pixels.copy())
                return network(pixels)

        return Recording()

    backends.open_network = recording
    uvloop.run(measure(slide, 0, "cpu", [], artefacts=False))
    for model, batches in kept.items():
        np.save(folder / f"{model}.npy", np.stack(batches))


def replay(folder: Path) -> float:
    """Seconds that the recorded batches take, network after network."""
    from hema_models.backends import open_network

    work = []
    for model, batch in MODELS.values():
        batches = np.load(folder / f"{model}.npy")
        network = open_network(model, batch, "openvino", 0, "cpu")
        network(batches[0])
        work.append((network, batches))
    began = time.perf_counter()
    for network, batches in work:
        for pixels in batches:
            network(pixels)
    return time.perf_counter() - began


def analyse(slide: Path) -> float:
    """Seconds from one slide's end to the next one's, report.json alone."""
    import uvloop
    from speed import measure

    return float(uvloop.run(measure(slide, 1, "cpu", [], artefacts=False))["walls_s"][0])


def _apart(*arguments: str) -> float:
    """Run one arm in a process of its own; it prints its seconds as the last line."""
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--arm", choices=("record", "replay", "analyse"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.arm == "record":
        record(asked.slide, asked.folder)
        print(0.0)
    elif asked.arm:
        print(replay(asked.folder) if asked.arm == "replay" else analyse(asked.slide))
    else:
        compare(asked.slide, asked.pairs, asked.json)


def compare(slide: Path, pairs: int, out: Path | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        _apart(str(slide), "--arm", "record", "--folder", name)
        walls: dict[str, list[float]] = {"analyse": [], "replay": []}
        for pair in range(pairs):
            for arm in ("analyse", "replay") if pair % 2 == 0 else ("replay", "analyse"):
                walls[arm].append(_apart(str(slide), "--arm", arm, "--folder", name))
            print(f"pair {pair + 1}: analyse {walls['analyse'][-1]:.2f} s, replay {walls['replay'][-1]:.2f} s")
    ratios = [a / b for a, b in zip(walls["analyse"], walls["replay"], strict=True)]
    print(f"ratio: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")
    if out:
        out.write_text(json.dumps({**walls, "ratios": ratios}, indent=2))


if __name__ == "__main__":
    main()
