"""Naming 25 cells in a real Chromium, by keyboard alone: from a finished slide to the next one that is named anew."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import LONG, enter, needs_chromium, open_slide
from service_process import ServiceProcess

pytestmark = needs_chromium

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
KEYS = {"neutrophil_segmented": "1", "eosinophil": "6", "basophil": "4", "monocyte": "5", "lymphocyte": "6"}
"""What the person of this laboratory presses for what the network suggests: its eosinophils are their lymphocytes."""
CANNOT_TELL = "u"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with sites of its own, which can read a sheet of the example fields."""
    made = tmp_path_factory.mktemp("naming")
    (made / "root").mkdir()
    sheet = [EXAMPLES / "sheet.py", made / "root" / "sheet.tif", "--width", 4000, "--height", 3000]
    subprocess.run([sys.executable, *map(str, sheet)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEMA_STREAM_SITES", str(made / "sites"))
        with ServiceProcess(made / "data", made / "root") as running:
            yield running


def analysed(service: ServiceProcess) -> str:
    slide = service.submit("sheet.tif")
    service.wait(lambda slides: next(s for s in slides if s["id"] == slide)["status"] == "done")
    return slide


def opened(page: Any, service: ServiceProcess, slide: str) -> None:
    open_slide(page, service, slide)
    page.get_by_role("heading", name="Quality").wait_for(timeout=LONG)
    page.get_by_role("button", name="Name 25 cells").wait_for()


def tab_to(page: Any, name: str) -> None:
    """Press Tab until the focus is on a button."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if name in page.evaluate("document.activeElement.closest('button')?.innerText ?? ''"):
            return
    raise AssertionError(f"{name} is not reached by Tab")


def shown(page: Any, number: int) -> None:
    page.locator(f'[aria-label="Cell {number}, enlarged"][data-seen=true]').wait_for()


def test_a_laboratory_is_calibrated_by_keys_alone_and_the_next_slide_says_so(
    page: Any, service: ServiceProcess
) -> None:
    slide = analysed(service)
    enter(page, service)
    opened(page, service, slide)
    assert "Not calibrated" in page.locator("[data-calibration]").inner_text()
    tab_to(page, "Name 25 cells")
    begun = time.monotonic()
    page.keyboard.press("Enter")
    page.get_by_label("Name of your laboratory").wait_for()
    page.keyboard.type("tehran giemsa")
    page.keyboard.press("Enter")
    cells = service.ask("GET", f"/slides/{slide}/telling-cells?n=25")["cells"]
    for number, cell in enumerate(cells, 1):
        shown(page, number)
        page.keyboard.press(KEYS.get(cell["suggestion"], CANNOT_TELL))
        if number == 2:  # a slip, taken back
            shown(page, 3)
            page.keyboard.press("Backspace")
            shown(page, 2)
            page.keyboard.press("h")
            page.get_by_text("The network suggests").wait_for()
            page.keyboard.press(KEYS.get(cell["suggestion"], CANNOT_TELL))
    named = time.monotonic()
    verdict = page.locator("[data-verdict]")
    verdict.wait_for()
    judged = time.monotonic()
    site = service.ask("GET", "/sites")["sites"][0]
    told = service.ask("GET", "/sites/tehran-giemsa?version=1")["streams"]["wbc"]["judgement"]
    assert (site["name"], site["in_use"]) == ("tehran-giemsa", None)
    percents = [int(n) for n in re.findall(r"(\d+) %", verdict.inner_text())]
    assert percents == [round(100 * told["right_before"]), round(100 * told["right_after"])]
    assert told["better"]
    assert told["right_after"] > told["right_before"] + 0.1
    page.keyboard.press("Enter")
    page.locator("[data-naming=on]").wait_for()
    page.keyboard.press("Enter")
    page.locator("[data-naming=on]").wait_for(state="hidden")
    seconds = named - begun, judged - named, time.monotonic() - begun
    print("25 cells named in {:.1f} s, judged in {:.1f} s, all of it {:.1f} s".format(*seconds))
    assert seconds[2] < 180
    report = service.ask("GET", f"/slides/{(later := analysed(service))}/report")
    assert (report["site"]["name"], report["site"]["version"]) == ("tehran-giemsa", 1)
    before = service.ask("GET", f"/slides/{slide}/report")
    assert before["site"] is None
    assert lymphocytes(report) > lymphocytes(before) + 5
    opened(page, service, later)
    assert "tehran-giemsa" in page.locator("[data-calibration]").inner_text()


def lymphocytes(report: dict[str, Any]) -> int:
    share = report["wbc_differential"]["percentages"].get("lymphocyte")
    return int(share["count"]) if share else 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_a_session(browser: Any, service: ServiceProcess, scheme: str) -> None:
    slide = analysed(service)
    site = f"axe-{scheme}"
    page = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme).new_page()

    def check(place: str) -> None:
        found = Axe().run(page).response["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert [(place, v["id"], [n["html"][:200] for n in v["nodes"]]) for v in serious] == []

    enter(page, service)
    service.ask("POST", "/sites", {"name": site})
    service.ask("POST", "/sites", {"name": f"{site}-2"})
    page.route("**/api/v1/sites", lambda route: _without_choice(route))
    opened(page, service, slide)
    page.get_by_role("button", name="Name 25 cells").click()
    page.get_by_role("button", name=site, exact=True).wait_for()
    check("site")
    page.get_by_role("button", name=site, exact=True).click()
    for number in range(1, 8):
        shown(page, number)
        if number == 3:
            check("cell")
        page.keyboard.press("14"[number % 2])
    shown(page, 8)
    page.keyboard.press("Escape")
    page.locator("[data-naming=naming]").wait_for(state="hidden")
    page.get_by_role("button", name="Name 25 cells").click()
    shown(page, 8)  # it goes on where it was left
    page.keyboard.press("f")
    page.locator("[data-verdict]").wait_for()
    check("verdict")
    page.context.close()


def _without_choice(route: Any) -> None:
    """Answer as a service would that reads slides with no site."""
    answer = route.fetch()
    route.fulfill(response=answer, json={**answer.json(), "chosen": None})
