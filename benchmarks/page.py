"""The browser page on a slide of 200,000 cells: frames while panning at three magnifications, and the first picture.

A made-up slide (25,088 px a side, tiled pyramid) lies behind the real service, which streams its cells to a real
Chromium over the live protocol; what is measured is the page. Frames are those that Chromium's compositor drew, from
its own trace; the drawing is done in software where there is no GPU, and the table says so.

python benchmarks/page.py --seconds 6 --rounds 3
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

CELLS, PITCH, PATCH, TILE = 200_000, 56, 32, 256
SIDE = PITCH * PATCH * 14
CORNERS = 28
ZOOMS = (("100 cells", 100), ("5,000 cells", 5000), ("all cells", CELLS))
PAN = """([seconds, pixels]) => new Promise(done => {
  const {viewer} = document.querySelector('[data-detail]'), began = performance.now(), at = [];
  const delta = viewer.viewport.getCenter();
  const step = now => {
    at.push(now);
    const t = (now - began) / 1000;
    if (t > seconds) return done(at);
    Object.assign(delta, {x: Math.cos(t * 1.1) * pixels, y: Math.sin(t * 1.7) * pixels});
    viewer.viewport.panBy(viewer.viewport.deltaPointsFromPixels(delta, true), true);
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""
"""Move the picture some pixels a frame along a curve; times of the frames that a script saw."""
GO = """([cells, total]) => {
  const {viewer, live} = document.querySelector('[data-detail]'), item = viewer.world.getItemAt(0);
  if (cells >= total) return viewer.viewport.goHome(true);
  const {width, height} = live.image, {clientWidth: w, clientHeight: h} = viewer.element;
  const high = Math.sqrt((cells / total) * width * height * h / w), wide = high * w / h;
  viewer.viewport.fitBounds(item.imageToViewportRectangle(width / 3, height / 3, wide, high), true);
}"""
"""Show about so many cells."""
FIRST = """() => { const seen = window.seen = {}; const look = now => {
  const stage = document.querySelector('[data-detail]'), item = stage?.viewer?.world.getItemAt(0);
  if (item && !seen.picture && item.getTilesToDraw().length) seen.picture = now;
  if (item && !seen.cells && stage.live.overlay?.box && stage.live.state.cells.count) seen.cells = now;
  if (item && !seen.all && item.getFullyLoaded() && stage.live.state.cells.count === TOTAL) seen.all = now;
  if (!seen.all) requestAnimationFrame(look); }; requestAnimationFrame(look); }"""
"""When the page first showed a piece of the picture, the first cells, and everything; ms since it was asked for."""


def patch() -> np.ndarray:
    """(1792, 1792, 3) uint8: a red cell at every crossing of a lattice."""
    import cv2

    out = np.full((PITCH * PATCH,) * 2 + (3,), (236, 226, 230), np.uint8)
    for row in range(PATCH):
        for column in range(PATCH):
            centre = (column * PITCH + PITCH // 2, row * PITCH + PITCH // 2)
            cv2.circle(out, centre, 15, (205, 140, 150), -1, cv2.LINE_AA)
            cv2.circle(out, centre, 6, (226, 185, 190), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(out, (0, 0), 1.2)


def write_slide(path: Path) -> list[tuple[int, int, float]]:
    """Write the pyramid a tile at a time; its levels."""
    import cv2
    import tifffile

    options = {"tile": (TILE, TILE), "compression": "jpeg", "photometric": "rgb", "dtype": "uint8"}
    levels, pixels, side = [], patch(), SIDE
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for number in range(6):
            shape = (side, side, 3)
            extra: dict[str, Any] = {"subifds": 5} if number == 0 else {"subfiletype": 1}
            writer.write(_tiles(pixels, side), shape=shape, **extra, **options)
            levels.append((side, side, float(2**number)))
            side //= 2
            pixels = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return levels


def _tiles(pixels: np.ndarray, side: int) -> Iterator[np.ndarray]:
    period = pixels.shape[0]
    for y in range(0, side, TILE):
        for x in range(0, side, TILE):
            rows, columns = np.arange(y, y + TILE) % period, np.arange(x, x + TILE) % period
            yield pixels[rows[:, None], columns]


def world(path: Path, levels: list[tuple[int, int, float]]) -> tuple[Any, Any, Any, Any]:
    """The slide, its calibration, its plan, and one delta with all its cells and their classes."""
    from hema_stream.core.calibration import Calibration, Foreground, StainFit
    from hema_stream.core.cells import CellTable
    from hema_stream.core.crops import Labels
    from hema_stream.core.delta import SlideDelta
    from hema_stream.core.slide import Level, Scale, ScaleSource, Slide
    from hema_stream.core.tile import TilePlan
    from hema_stream.core.units import CONTOUR_UNIT

    rng = np.random.default_rng(0)
    slide = Slide(
        "benchmark", path, SIDE, SIDE, 0.25, ScaleSource.GIVEN, tuple(Level(*level) for level in levels), "tiled"
    )
    scale = Scale(0.25, ScaleSource.GIVEN)
    foreground = Foreground(np.ones((4, 4), bool), SIDE / 4)
    calibration = Calibration(scale, StainFit(), np.full(3, 230, np.uint8), 1.0, 9.0, foreground)
    plan = TilePlan(SIDE, SIDE, scale)
    each = np.arange(CELLS)
    centres = np.stack([each % (PITCH * 8), each // (PITCH * 8)], axis=1) * float(PITCH) + PITCH / 2
    radius = np.full(CELLS, 15.0)
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    ring = (1 + np.stack([np.cos(angle), np.sin(angle)], axis=1)) * 15 / CONTOUR_UNIT
    white = rng.random(CELLS) < 0.004
    keys = np.stack([np.zeros(CELLS, np.int32), each.astype(np.int32)], axis=1)
    table = CellTable(
        tile=keys[:, 0],
        index=keys[:, 1],
        kind=white.astype(np.int8),
        score=np.full(CELLS, 0.9, np.float32),
        boxes=np.concatenate([centres - 15, centres + 15], axis=1),
        centroid=centres,
        area=(np.pi * radius**2).astype(np.float32),
        solidity=np.ones(CELLS, np.float32),
        priority=np.full(CELLS, 2, np.int8),
        clump=np.zeros(CELLS, np.int16),
        vertices=np.tile(np.rint(ring).astype(np.int16), (CELLS, 1)),
        starts=np.arange(CELLS + 1, dtype=np.int64) * CORNERS,
        scale=1.0,
    )
    labels = []
    for stream, rows, classes in (("rbc", ~white, 14), ("wbc", white, 12)):
        probabilities = rng.dirichlet(np.full(classes, 0.05), int(rows.sum())).astype(np.float32)
        best = probabilities.argmax(axis=1).astype(np.int16)
        labels.append(Labels(stream, keys[rows], probabilities, best, probabilities.max(axis=1) < 0.6))
    counts = {"cells": CELLS, "rbc": int((~white).sum()), "wbc": int(white.sum())}
    progress = {"planned": len(plan), "analysed": len(plan) - 1}
    ended = dict.fromkeys(range(len(plan) - 1), "analysed")
    gone = np.zeros((0, 2), np.int32)
    return slide, calibration, plan, SlideDelta("benchmark", 1, table, gone, tuple(labels), counts, progress, ended)


async def serve(folder: Path) -> None:
    """The real service with one slide that runs for ever; says where, and with which token."""
    from aiohttp import web

    from hema_stream.service.app import make_app
    from hema_stream.service.auth import Scope
    from hema_stream.service.facts import facts_of
    from hema_stream.service.jobs import Origin, Status
    from hema_stream.service.parts import HUB, STORE, TOKENS
    from hema_stream.service.settings import ServiceSettings
    from hema_stream.service.submission import new_job

    path = folder / "slide.tif"
    slide, calibration, plan, delta = world(path, write_slide(path))
    app = await make_app(ServiceSettings(data=folder / "data"))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    job = new_job("200,000 cells", path, Origin.PATH, mpp=None, priority=0)
    job.id, job.status = slide.id, Status.RUNNING
    app[STORE].add(job)
    app[STORE].opened(job.id, facts_of(slide))
    hub = app[HUB]
    hub.on_opened = lambda _: None
    hub.begin(job.id, job.name)
    hub.opened(slide, calibration, plan)
    await asyncio.to_thread(hub.changed, delta)
    token = app[TOKENS].create("benchmark", [Scope.READ])
    print(json.dumps({"base": f"http://127.0.0.1:{runner.addresses[0][1]}", "token": token}), flush=True)
    await asyncio.Event().wait()


def intervals(trace: bytes, name: str) -> list[float]:
    """Milliseconds between the frames that the compositor drew."""
    events = json.loads(trace)["traceEvents"]
    times = sorted(event["ts"] for event in events if event["name"] == name)
    return [(later - earlier) / 1000 for earlier, later in pairwise(times)]


def measure(browser: Any, page: Any, cells: int, seconds: float) -> dict[str, Any]:
    """Pan at one magnification."""
    page.evaluate(GO, [cells, CELLS])
    page.wait_for_timeout(2500)
    browser.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline.frame"])
    seen = page.evaluate(PAN, [seconds, 4])
    drawn = intervals(browser.stop_tracing(), "DrawFrame")
    script = list(np.diff(seen))
    slowest = sorted(drawn)[-max(len(drawn) // 100, 1) :]
    return {
        "detail": page.locator("[data-detail]").get_attribute("data-detail"),
        "in_view": page.evaluate(
            "() => { const l = document.querySelector('[data-detail]').live;"
            " return l.scene.grid.about(l.overlay.box); }"
        ),
        "frames": len(drawn),
        "median_fps": 1000 / statistics.median(drawn),
        "mean_fps": 1000 * len(drawn) / sum(drawn),
        "worst_percent_ms": statistics.mean(slowest),
        "script_median_fps": 1000 / statistics.median(script),
    }


def run(base: str, token: str, chromium: str, seconds: float, rounds: int, shots: Path | None) -> dict[str, Any]:
    """Open the page anew each round; medians over the rounds."""
    from playwright.sync_api import sync_playwright

    found: dict[str, Any] = {"first": [], "zooms": {name: [] for name, _ in ZOOMS}}
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        found["browser"] = browser.version
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.goto(base)
        page.get_by_label("Token").fill(token)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Work list").wait_for()
        page.add_init_script(f"({FIRST.replace('TOTAL', str(CELLS))})()")
        status = browser.new_browser_cdp_session().send("SystemInfo.getInfo")["gpu"]["featureStatus"]
        found["renderer"] = ", ".join(f"{name} {status[name]}" for name in ("2d_canvas", "gpu_compositing"))
        for _ in range(rounds):
            page.goto("about:blank")
            page.goto(f"{base}/#/slides/benchmark")
            page.wait_for_function("() => window.seen?.all", timeout=120_000)
            found["first"].append(page.evaluate("() => window.seen"))
            for name, cells in ZOOMS:
                found["zooms"][name].append(measure(browser, page, cells, seconds))
                if shots:
                    page.screenshot(path=shots / f"page-{cells}.png")
        browser.close()
    return found


def table(found: dict[str, Any]) -> str:
    """What was found, as a table."""
    lines = [f"Chromium {found['browser']}; {found['renderer']}", ""]
    lines.append("| in view | drawn as | cells in view | median fps | mean fps | worst 1% of frames |")
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, rounds in found["zooms"].items():
        middle = {key: statistics.median(r[key] for r in rounds) for key in rounds[0] if key != "detail"}
        lines.append(
            f"| {name} | {rounds[-1]['detail']} | {middle['in_view']:,.0f} | {middle['median_fps']:.1f} "
            f"| {middle['mean_fps']:.1f} | {middle['worst_percent_ms']:.0f} ms |"
        )
    first = {key: statistics.median(r[key] for r in found["first"]) / 1000 for key in ("picture", "cells", "all")}
    lines += [
        "",
        f"first picture {first['picture']:.2f} s, first cells {first['cells']:.2f} s, "
        f"all {CELLS:,} cells {first['all']:.2f} s after the page was asked for",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="of panning at each magnification")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/page.json"))
    parser.add_argument("--shots", type=Path, help="folder for pictures of what was measured")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(serve(asked.serve))
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--serve", folder]
        service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert service.stdout is not None
            where = json.loads(next(line for line in service.stdout if line.startswith("{")))
            found = run(**where, chromium=asked.chromium, seconds=asked.seconds, rounds=asked.rounds, shots=asked.shots)
        finally:
            service.terminate()
            service.wait(30)
    found["when"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=2))
    print(table(found))


if __name__ == "__main__":
    main()
