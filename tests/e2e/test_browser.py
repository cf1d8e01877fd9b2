"""The browser application in a real Chromium, on the real service: what is seen equals the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import LONG, enter, needs_chromium, open_slide
from service_process import ServiceProcess

pytestmark = needs_chromium

KINDS = ("rbc", "wbc", "platelet")
CELLS = """stage => {
  const {state, styles} = stage.live, t = state.cells, kinds = ['rbc', 'wbc', 'platelet'];
  return [...t.inOrder()].map(r => {
    const best = t.best[r] < 0 ? null : state.classes[kinds[t.kind[r]]][t.best[r]].name;
    return [t.keys[2*r], t.keys[2*r+1], kinds[t.kind[r]], best, t.confidence[r], t.unknown[r],
            ...t.box.slice(4*r, 4*r+4)];
  });
}"""
"""Everything that the page knows of its cells, in the order of their keys."""


class OneTime(ServiceProcess):
    """A service whose ``token`` is the one-time token of its first start."""

    def _first_token(self, once: str) -> str:
        return once


def assert_shown_equals(page: Any, stage: Any, report: dict[str, Any]) -> None:
    """Cells, counts and shares on the page against the report."""
    assert stage.evaluate(CELLS) == [
        [
            *cell["key"],
            cell["type"],
            cell["classification"],
            round((cell["confidence"] or 0) * 10_000),
            int(cell["unknown"]),
            *(round(value * 100) for value in cell["bbox"]),
        ]
        for cell in report["cell_detections"]
    ]
    for kind in KINDS:
        shown = page.locator(f"[data-count={kind}]").inner_text()
        assert int(shown.replace(",", "")) == report["summary"][f"{kind}_count"]
    assert_morphology_shown(page, report["rbc_analysis"])


def assert_morphology_shown(page: Any, red: dict[str, Any]) -> None:
    """Shares of all cells and what the unknown leave open, the unknown themselves, what is known of the classes."""
    region = page.get_by_role("region", name="Red cell morphology")
    *classes, unknown, abnormal = [
        [cell.inner_text().strip() for cell in row.locator("td").all()] for row in region.locator("tbody tr").all()
    ]
    shares = sorted(red["distribution"].values(), key=lambda share: -share["count"])
    assert classes == [shown(share) for share in shares]
    assert abnormal == shown(red["abnormal"])
    percent = 100 * red["unknown"] / (red["classified"] + red["unknown"])
    assert unknown == [f"{red['unknown']:,}", shortly(percent), "\N{EN DASH}"]
    assert red["unknown_rule"][1:] in region.inner_text()
    told = [text.lower() for text in region.locator("dd").all_text_contents()]
    assert told == [f"{red['elsewhere'][name]['text']}.".lower() for name in red["distribution"]]
    assert_candidates_shown(page, red["candidates"])


def assert_candidates_shown(page: Any, candidates: list[dict[str, Any]]) -> None:
    """Each with its figure and its reason, and none of them among the flags."""
    listed = page.get_by_role("region", name="Candidates").get_by_role("listitem").all_inner_texts()
    alarms = " ".join(page.get_by_role("region", name="For review").get_by_role("listitem").all_inner_texts())
    for candidate in candidates:
        [text] = [text for text in listed if candidate["wording"] in text]
        assert candidate["figure"] in text
        assert candidate["note"][1:] in text
        assert candidate["wording"] not in alarms


def shown(share: dict[str, Any]) -> list[str]:
    """The cells of a share's row."""
    least, most = share["with_unknown"]
    return [f"{share['count']:,}", shortly(share["percent_of_all"]), f"{least:.1f} to {most:.1f}"]


def shortly(percent: float) -> str:
    return "<0.1" if 0 < percent < 0.05 else f"{percent:.1f}"


def test_a_slide_is_submitted_watched_and_what_is_seen_at_its_end_equals_the_report(
    page: Any, service: ServiceProcess
) -> None:
    enter(page, service)
    page.get_by_label("Path on the server").fill("slide.png")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="slide.png").first.click()
    stage = page.locator("[data-detail=outlines]")
    stage.wait_for(timeout=LONG)
    page.wait_for_function("() => document.querySelector('[data-count=rbc]').innerText !== '0'", timeout=LONG)
    page.wait_for_function("() => !document.querySelector('[data-detail]').live.outlines.empty", timeout=LONG)
    page.locator("[data-link=over]").wait_for(timeout=LONG)
    page.get_by_role("button", name="Report").wait_for()
    slide = page.url.rsplit("/", 1)[1].partition("?")[0]
    page.get_by_role("heading", name="Quality").wait_for()
    report = service.ask("GET", f"/slides/{slide}/report")
    assert report["summary"]["total_cells"] > 500
    page.wait_for_timeout(500)
    assert_shown_equals(page, stage, report)
    with page.expect_download() as download:
        page.get_by_role("button", name="Report", exact=True).click()
        page.get_by_role("button", name="Report (JSON)").click()
    saved = Path(download.value.path()).read_bytes()
    assert saved == (service.data / "results" / slide / "report.json").read_bytes()


def test_a_connection_that_breaks_is_said_and_made_good(page: Any, service: ServiceProcess) -> None:
    sockets: list[Any] = []
    down = [False]

    def through(socket: Any) -> None:
        if down[0]:
            socket.close(code=4000)
            return
        sockets.append(socket)
        socket.connect_to_server()

    page.route_web_socket("**/live", through)
    enter(page, service)
    slide = service.submit("slide.png")
    stage = open_slide(page, service, slide)
    page.locator("[data-link=live]").wait_for()
    down[0] = True
    sockets[-1].close(code=4000)
    page.get_by_role("alert").filter(has_text="Not live").wait_for()
    assert page.locator("[data-link=stale]").inner_text() == "Not live"
    assert "may be out of date" in page.get_by_role("alert").inner_text()
    page.get_by_role("button", name="Try now").click()
    service.wait(lambda slides: next(s for s in slides if s["id"] == slide)["counts"].get("cells", 0) > 200)
    down[0] = False
    page.get_by_role("alert").wait_for(state="detached", timeout=20_000)
    page.locator("[data-link=over]").wait_for(timeout=LONG)
    page.get_by_role("heading", name="Quality").wait_for()
    page.wait_for_timeout(500)
    assert_shown_equals(page, stage, service.ask("GET", f"/slides/{slide}/report"))


def test_a_one_time_token_signs_in_and_gives_a_token_to_keep(browser: Any, root: Path, tmp_path: Path) -> None:
    with OneTime(tmp_path / "data", root) as service:
        page = browser.new_context().new_page()
        enter(page, service)
        kept = page.get_by_label("Your new token").locator("code").inner_text()
        assert kept.startswith("hema_")
        assert kept != service.token
        page.reload()
        page.get_by_role("heading", name="Work list").wait_for()
        page.get_by_role("button", name="Sign out").click()
        service.token = kept
        enter(page, service)
        page.context.close()


def test_what_ended_before_a_restart_is_shown_from_its_report(
    page: Any, browser: Any, root: Path, tmp_path: Path
) -> None:
    with ServiceProcess(tmp_path / "data", root) as first:
        slide = first.submit("chula-106.png")
        first.wait(lambda slides: slides[0]["status"] == "done")
    with ServiceProcess(tmp_path / "data", root, first.token) as service:
        enter(page, service)
        stage = open_slide(page, service, slide)
        page.get_by_role("heading", name="Quality").wait_for()
        report = service.ask("GET", f"/slides/{slide}/report")
        cells = report["summary"]["total_cells"]
        page.wait_for_function(f"() => document.querySelector('[data-detail]').live.state.cells.count === {cells}")
        page.wait_for_function("() => !document.querySelector('[data-detail]').live.outlines.empty")
        assert_shown_equals(page, stage, report)
        page.goto("about:blank")


def test_an_upload_that_breaks_goes_on_where_it_stopped(page: Any, service: ServiceProcess, root: Path) -> None:
    sent: list[str] = []

    def once(route: Any) -> None:
        sent.append(route.request.method)
        if sent.count("PATCH") == 1 and route.request.method == "PATCH":
            route.abort()
        else:
            route.continue_()

    page.route("**/api/v1/uploads/*", once)
    enter(page, service)
    page.get_by_label("Files to upload").set_input_files(root / "chula-124.png")
    page.get_by_text("Uploaded, ").wait_for(timeout=30_000)
    assert sent.count("PATCH") >= 2
    assert "HEAD" in sent
    page.get_by_role("link", name="chula-124.png").first.wait_for()
    service.wait(lambda slides: next(s for s in slides if s["name"] == "chula-124.png")["status"] == "done")


def test_the_list_is_filtered_ordered_and_emptied(page: Any, service: ServiceProcess) -> None:
    enter(page, service)
    slide = service.submit("bccd-00000.png", priority=-50)
    service.wait(lambda slides: next(s for s in slides if s["id"] == slide)["status"] == "done")
    page.get_by_label("Search by name").fill("bccd-0")
    page.get_by_role("link", name="bccd-00000.png").wait_for()
    page.get_by_role("button", name="Running").click()
    page.get_by_text("No slide matches.").wait_for()
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Delete bccd-00000.png").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("No slide matches.").wait_for()
    assert slide not in [job["id"] for job in service.ask("GET", "/slides?limit=500")["slides"]]


def test_everything_is_reached_by_keyboard(page: Any, service: ServiceProcess) -> None:
    slide = service.submit("pbc-monocyte.png")
    service.wait(lambda slides: next(s for s in slides if s["id"] == slide)["status"] == "done")
    enter(page, service)
    page.get_by_role("link", name="pbc-monocyte.png").first.wait_for()
    page.keyboard.press("/")
    page.keyboard.type("monocyte")
    page.wait_for_function("() => document.querySelectorAll('a[data-slide]').length === 1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    stage = page.locator("[data-detail]")
    stage.wait_for(timeout=LONG)
    page.locator("[data-link=over]").wait_for()
    page.keyboard.press("2")
    page.get_by_role("region", name="Gallery").get_by_role("button", name="Monocyte").first.wait_for()
    page.keyboard.press("n")
    page.get_by_label("Marked cell").get_by_text("Monocyte").wait_for()
    assert page.get_by_role("button", name="Picture", exact=True).get_attribute("aria-pressed") == "true"
    page.keyboard.press("o")
    assert page.get_by_role("button", name="Outlines", exact=True).get_attribute("aria-pressed") == "false"
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Keyboard").wait_for(state="hidden")
    page.keyboard.press("Escape")
    page.get_by_label("Marked cell").wait_for(state="detached")
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="Work list").wait_for()


def test_a_candidate_leads_to_its_cells_and_they_come_first(page: Any, service: ServiceProcess) -> None:
    def with_candidate(route: Any) -> None:
        answer = route.fetch()
        figures = answer.json()
        figures["red"]["candidates"] = [
            {
                "code": "schistocytes_present",
                "wording": "Cells that look odd: look at them",
                "n": 1,
                "of": 56,
                "figure": "1 of 56 cells",
                "note": "so many are called by error",
                "classes": ["target"],
            }
        ]
        route.fulfill(response=answer, json=figures)

    page.route("**/figures", with_candidate)
    slide = service.submit("chula-124.png")
    service.wait(lambda slides: next(s for s in slides if s["id"] == slide)["status"] == "done")
    enter(page, service)
    page.goto(f"{service.base}/#/slides/{slide}")
    page.get_by_role("heading", name="Quality").wait_for()
    listed = page.get_by_role("region", name="Candidates").get_by_role("listitem")
    assert "1 of 56 cells. So many are called by error." in listed.inner_text()
    assert listed.evaluate("item => getComputedStyle(item).color") == page.locator("body").evaluate(
        "body => getComputedStyle(body).color"
    )
    listed.get_by_role("button", name="Show Target cell").click()
    gallery = page.get_by_role("region", name="Gallery")
    gallery.get_by_role("button", name="Target cell", exact=False, pressed=True).wait_for()
    gallery.get_by_role("button", name="All", exact=True).click()
    first = gallery.get_by_role("listitem").first
    first.get_by_role("button", name="Target cell").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, service: ServiceProcess, scheme: str) -> None:
    axe = Axe()
    page = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme).new_page()

    def check(place: str) -> None:
        found = axe.run(page).response["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert [(place, v["id"], [n["html"][:200] for n in v["nodes"]]) for v in serious] == []

    slide = service.submit("pbc-eosinophil.png")
    service.wait(lambda slides: next(s for s in slides if s["id"] == slide)["status"] == "done")
    page.goto(service.base)
    page.get_by_label("Token").wait_for()
    check("sign in")
    enter(page, service)
    page.get_by_role("link", name="pbc-eosinophil.png").first.wait_for()
    check("work list")
    page.keyboard.press("?")
    check("help")
    page.keyboard.press("Escape")
    open_slide(page, service, slide)
    page.get_by_role("heading", name="Quality").wait_for()
    page.keyboard.press("n")
    page.wait_for_timeout(500)
    check("picture")
    page.keyboard.press("2")
    page.get_by_role("region", name="Gallery").wait_for()
    check("gallery")
    page.context.close()
