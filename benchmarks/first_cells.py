"""A scan as it is seen: how soon a page in Chromium shows the first cells, and whether it ends with the report's.

``scan-sim`` pushes IMAGE field by field to a fresh service whose pipeline is warm. The clock runs from the moment the
scan is in the work list, which is before its first field, until the page that was opened from there draws a cell.

python benchmarks/first_cells.py mosaic.tif --rate 5 --runs 3
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright import sync_api as playwright

TESTS = Path(__file__).parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "e2e")]
from service_process import ServiceProcess  # noqa: E402
from test_browser import CHROMIUM, assert_shown_equals, enter  # noqa: E402

DRAWN = """() => {
  const live = document.querySelector('[data-detail]')?.live;
  return live?.state.cells.count > 0 && !live.outlines.empty;
}"""
LONG = 300_000


def watch(page: Any, service: ServiceProcess, image: Path, rate: float, number: int) -> dict[str, Any]:
    """Push one scan and follow it to its end."""
    page.goto(f"{service.base}/#/")
    page.get_by_role("heading", name="Work list").wait_for()
    known = {slide["id"] for slide in service.ask("GET", "/slides?limit=500")["slides"]}
    command = [str(Path(sys.executable).with_name("hema-stream")), "scan-sim", str(image), "--json"]
    options = ["--url", service.base, "--token", service.token, "--rate", str(rate), "--seed", str(number)]
    scanner = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    service.wait(lambda slides: {slide["id"] for slide in slides} - known)
    began = time.monotonic()
    (slide,) = {found["id"] for found in service.ask("GET", "/slides?limit=500")["slides"]} - known
    page.goto(f"{service.base}/#/slides/{slide}")
    page.wait_for_function(DRAWN, timeout=LONG, polling=50)
    first = time.monotonic() - began
    told = json.loads(scanner.communicate()[0].splitlines()[-1])
    page.locator("[data-link=over]").wait_for(timeout=LONG)
    page.get_by_role("heading", name="Quality").wait_for(timeout=LONG)
    page.wait_for_timeout(1000)
    report = service.ask("GET", f"/slides/{slide}/report")
    assert_shown_equals(page, page.locator("[data-detail]"), report)
    return {"first_s": first, "cells": report["summary"]["total_cells"], "scan": told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--rate", type=float, default=5.0, help="fields a second")
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        playwright.sync_playwright() as started,
    ):
        root = Path(folder) / "root"
        root.mkdir()
        warm = next((TESTS.parent / "examples" / "fields").glob("*.png"))
        shutil.copy(warm, root / warm.name)
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with ServiceProcess(Path(folder) / "data", root) as service:
            service.submit(warm.name)
            service.wait(lambda slides: slides[0]["status"] == "done")
            page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
            enter(page, service)
            runs = []
            for number in range(asked.runs):
                runs.append(watch(page, service, asked.image.resolve(), asked.rate, number))
                print(
                    f"run {number + 1}: first cells after {runs[-1]['first_s']:.2f} s; page and report equal in "
                    f"{runs[-1]['cells']} cells; {json.dumps(runs[-1]['scan'])}",
                    flush=True,
                )
        browser.close()
    times = [run["first_s"] for run in runs]
    print(f"first cells: median {statistics.median(times):.2f} s, {min(times):.2f} to {max(times):.2f}")


if __name__ == "__main__":
    main()
