"""The page of a slide in a real Chromium: how slides end, links to what is seen, small screens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browsing import LONG, enter, needs_chromium, open_slide
from service_process import ServiceProcess

pytestmark = needs_chromium

OUTSIDE = """() => [...document.querySelectorAll("a, button, h1, h2, p, input, select, th, td, dd, .badge")]
  .filter(e => !e.closest(".hidden") && getComputedStyle(e).visibility !== "hidden")
  .filter(e => {
    const box = e.getBoundingClientRect();
    return box.width && (box.right > innerWidth + 1 || box.left < -1);
  })
  .map(e => `${e.tagName} ${e.innerText || e.getAttribute("aria-label")}`)"""
"""What leaves the screen at its sides."""
OVERLAP = """() => {
  const shown = e => e.getBoundingClientRect().width;
  const parts = [...document.querySelectorAll(".head > *, header > *, .row > *")].filter(shown);
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  return parts.flatMap((a, i) => parts.slice(i + 1)
    .filter(b => !a.contains(b) && !b.contains(a) && meet(a.getBoundingClientRect(), b.getBoundingClientRect()))
    .map(b => `${a.innerText} / ${b.innerText}`));
}"""
"""What lies on one another in the bars of a page."""
LOOK = """stage => {
  const view = stage.viewer.viewport, item = stage.viewer.world.getItemAt(0);
  const centre = item.viewportToImageCoordinates(view.getCenter());
  return [centre.x, centre.y, item.viewportToImageZoom(view.getZoom())];
}"""


@pytest.fixture(scope="module")
def blank(root: Path) -> Iterator[str]:
    path = root / "blank.png"
    cv2.imwrite(str(path), np.full((800, 1000, 3), 235, np.uint8))
    yield path.name
    path.unlink(missing_ok=True)


def ended(service: ServiceProcess, slide: str) -> dict[str, Any]:
    states = ("done", "rejected", "failed", "cancelled")
    service.wait(lambda slides: next(job for job in slides if job["id"] == slide)["status"] in states)
    found: dict[str, Any] = service.ask("GET", f"/slides/{slide}")
    return found


def test_a_rejected_picture_keeps_its_remedy_and_shows_no_counts(
    page: Any, service: ServiceProcess, blank: str
) -> None:
    slide = service.submit(blank)
    assert ended(service, slide)["status"] == "rejected"
    enter(page, service)
    row = page.get_by_role("row").filter(has_text=blank)
    row.get_by_text("Is blank: scan a place with cells").wait_for()
    row.get_by_role("link", name=blank).click()
    outcome = page.get_by_role("region", name="Outcome")
    assert "Is blank: scan a place with cells." in outcome.inner_text()
    figures = page.get_by_role("region", name="Figures")
    assert figures.inner_text().strip() == "Nothing is counted of an image that was rejected."
    assert page.get_by_role("region", name="For review").count() == 0
    (service.root / blank).write_bytes((service.root / "chula-124.png").read_bytes())
    outcome.get_by_label("Scale, µm a pixel").fill("0.1")
    outcome.get_by_role("button", name="Run again").click()
    page.get_by_role("heading", name="Quality").wait_for(timeout=LONG)
    assert outcome.count() == 0
    further = page.url.rpartition("/")[2].partition("?")[0]
    assert further != slide
    assert service.ask("GET", f"/slides/{further}")["mpp"] == 0.1
    assert page.locator("[data-count=rbc]").inner_text() != "0"


def test_cancel_asks_once_tells_what_was_looked_at_and_can_be_run_again(page: Any, service: ServiceProcess) -> None:
    enter(page, service)
    slide = service.submit("slide.png")
    open_slide(page, service, slide)
    page.wait_for_function("() => document.querySelector('[data-count=rbc]').innerText !== '0'", timeout=LONG)
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Let it go on").click()
    assert service.ask("GET", f"/slides/{slide}")["status"] == "running"
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel it").click()
    page.get_by_role("region", name="Outcome").get_by_text("The analysis was cancelled").wait_for(timeout=30_000)
    looked = ended(service, slide)["progress"]
    assert looked["analysed"] < looked["planned"] == 6
    page.get_by_text(f"{looked['analysed']} of 6 tiles analysed").wait_for()
    page.get_by_role("button", name="Run again").click()
    page.locator("[data-link=over]").wait_for(timeout=LONG)
    page.get_by_text("6 of 6 tiles analysed").wait_for(timeout=LONG)


def test_a_link_keeps_tab_place_and_cell_and_back_undoes_a_tab(page: Any, service: ServiceProcess) -> None:
    slide = service.submit("chula-106.png")
    ended(service, slide)
    enter(page, service)
    open_slide(page, service, slide)
    page.get_by_role("heading", name="Quality").wait_for()
    page.keyboard.press("2")
    page.get_by_role("group", name="Kind").get_by_role("button", name="Red cells").click()
    page.get_by_role("region", name="Gallery").get_by_role("listitem").nth(3).get_by_role("button").first.click()
    card = page.get_by_label("Marked cell")
    words = card.inner_text()
    page.wait_for_function("() => location.hash.includes('at=') && location.hash.includes('cell=')")
    page.wait_for_timeout(900)
    seen, link = page.locator("[data-detail]").evaluate(LOOK), page.url

    second = page.context.new_page()
    second.goto(link)
    second.get_by_label("Marked cell").wait_for(timeout=LONG)
    assert second.get_by_label("Marked cell").inner_text() == words
    assert second.locator("[data-detail]").evaluate(LOOK) == pytest.approx(seen, rel=0.01)
    second.get_by_role("button", name="Sign out").click()
    page.get_by_text("You signed out in another tab.").wait_for()
    second.close()

    page.get_by_label("Token").fill(service.token)
    page.keyboard.press("Enter")
    card.wait_for(timeout=LONG)
    page.get_by_role("button", name="Gallery").click()
    page.wait_for_timeout(500)
    page.go_back()
    page.get_by_role("button", name="Picture", exact=True, pressed=True).wait_for()
    assert "tab=" not in page.url


@pytest.mark.parametrize(("width", "height"), [(390, 844), (720, 450)], ids=["phone", "zoomed"])
def test_nothing_overlaps_or_leaves_a_small_screen(
    browser: Any, service: ServiceProcess, blank: str, width: int, height: int
) -> None:
    long = "A long name of a slide from the laboratory of the hospital, case 2026-00123 (second smear).png"
    (service.root / long).write_bytes((service.root / "chula-124.png").read_bytes())
    slides = [service.submit(name) for name in (long, blank)]
    for slide in slides:
        ended(service, slide)
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()

    def check(place: str) -> None:
        page.wait_for_timeout(400)
        wide = page.evaluate("() => document.documentElement.scrollWidth > innerWidth")
        assert (place, wide, page.evaluate(OUTSIDE), page.evaluate(OVERLAP)) == (place, False, [], [])

    page.goto(service.base)
    check("sign in")
    enter(page, service)
    page.get_by_role("link", name=long).first.wait_for()
    check("work list")
    for slide in slides:
        page.goto(f"{service.base}/#/slides/{slide}")
        page.locator("[data-link=over]").wait_for()
        check("slide")
    open_slide(page, service, slides[0])
    page.get_by_role("heading", name="Quality").wait_for()
    page.keyboard.press("n")
    check("marked")
    page.get_by_role("button", name="Report", exact=True).click()
    check("report")
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    page.get_by_role("region", name="Gallery").wait_for()
    check("gallery")
    page.context.close()


def test_a_file_dropped_on_a_slide_and_a_pointer_on_the_report_do_no_harm(page: Any, service: ServiceProcess) -> None:
    slide = service.submit("chula-106.png")
    ended(service, slide)
    enter(page, service)
    open_slide(page, service, slide)
    drop = """() => ['dragover', 'drop'].map(type => {
      const event = new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: new DataTransfer()});
      document.querySelector('[data-detail]').dispatchEvent(event);
      return event.defaultPrevented;
    })"""
    assert page.evaluate(drop) == [True, True]
    report = page.get_by_role("button", name="Report", exact=True)
    before = report.evaluate("button => getComputedStyle(button).backgroundColor")
    report.hover()
    page.wait_for_timeout(400)
    assert report.evaluate("button => getComputedStyle(button).backgroundColor") == before
