"""Uploads from the page in a real Chromium: what is not worth sending, and what goes on by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browsing import enter, needs_chromium
from service_process import ServiceProcess

pytestmark = needs_chromium

PICK = """async ([name, bytes]) => {
  const folder = await navigator.storage.getDirectory();
  const handle = await folder.getFileHandle(name, {create: true});
  const file = await handle.createWritable();
  await file.write(new Uint8Array(bytes));
  await file.close();
  window.showOpenFilePicker = async () => [handle];
}"""
"""Let the next choice of files be this one, of the page's own private folder, which asks nobody."""


def named(service: ServiceProcess, name: str) -> list[dict[str, Any]]:
    return [job for job in service.ask("GET", "/slides?limit=500")["slides"] if job["name"] == name]


def test_what_is_no_picture_is_refused_before_it_is_sent(page: Any, service: ServiceProcess, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a slide")
    (tmp_path / "renamed.png").write_text("not a slide either")
    (tmp_path / "nothing.tif").touch()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method) if "/uploads" in request.url else None)
    enter(page, service)
    page.get_by_label("Files to upload").set_input_files(sorted(tmp_path.iterdir()))
    notes, nothing, renamed = (
        page.get_by_role("alert").filter(has_text=path.name) for path in sorted(tmp_path.iterdir())
    )
    assert "not a kind of image that is read here (png, jpg" in notes.inner_text()
    assert "empty" in nothing.inner_text()
    assert "not a PNG, JPEG or TIFF within" in renamed.inner_text()
    assert sent == []


def test_an_upload_goes_on_however_often_the_connection_breaks(page: Any, service: ServiceProcess, root: Path) -> None:
    broken = 0

    def lost(route: Any) -> None:
        nonlocal broken
        if broken < 8:
            broken += 1
            route.abort()
        else:
            route.continue_()

    page.route("**/api/v1/uploads**", lost)
    enter(page, service)
    page.get_by_label("Files to upload").set_input_files(root / "chula-106.png")
    row = page.locator("[data-upload]")
    page.locator("[data-upload=stalled]").get_by_text("The connection was lost").wait_for()
    while broken < 8:
        page.evaluate("dispatchEvent(new Event('online'))")
        page.wait_for_timeout(100)
        assert row.get_attribute("data-upload") != "broken"
    page.evaluate("dispatchEvent(new Event('online'))")
    page.get_by_text("Uploaded, ").wait_for(timeout=30_000)
    assert len(named(service, "chula-106.png")) == 1


def test_an_upload_goes_on_after_a_reload_without_the_file_being_asked_for(
    page: Any, service: ServiceProcess, root: Path
) -> None:
    page.route("**/api/v1/uploads/*", lambda route: route.abort())
    enter(page, service)
    page.evaluate(PICK, ["kept.png", [*(root / "chula-124.png").read_bytes()]])
    page.get_by_label("Scale, µm a pixel").first.fill("0,11")
    page.get_by_role("button", name="Choose files").click()
    page.locator("[data-upload=stalled]").wait_for()
    page.unroute("**/api/v1/uploads/*")
    page.reload()
    page.get_by_text("Uploaded, ").wait_for(timeout=30_000)
    [job] = named(service, "kept.png")
    assert job["mpp"] == 0.11
    page.reload()
    page.get_by_role("heading", name="Work list").wait_for()
    page.wait_for_timeout(500)
    assert page.locator("[data-upload]").count() == 0


def test_an_upload_goes_on_while_another_page_is_shown_and_a_silent_one_says_so(
    page: Any, service: ServiceProcess, root: Path
) -> None:
    held: list[Any] = []
    page.route("**/api/v1/uploads/*", lambda route: held.append(route))
    enter(page, service)
    slide = service.submit("chula-106.png")
    page.get_by_label("Files to upload").set_input_files(root / "bccd-00000.png")
    page.get_by_text("Nothing gets through at the moment").wait_for(timeout=20_000)
    page.goto(f"{service.base}/#/slides/{slide}")
    page.locator("[data-link]").wait_for()
    held[0].continue_()
    page.unroute("**/api/v1/uploads/*")
    page.get_by_role("link", name="Back to the work list").click()
    page.get_by_text("Uploaded, ").wait_for(timeout=30_000)
