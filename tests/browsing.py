"""A real Chromium on the real service: where it is, and how a slide's page is reached."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from service_process import ServiceProcess

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """The one that CHROMIUM= names, the machine's own, or the one that Playwright fetched."""
    if named := os.environ.get("CHROMIUM"):
        return named
    if found := next(filter(None, map(shutil.which, NAMES)), None):
        return found
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    fetched = sorted(path for name in ("chrome", "chrome-headless-shell") for path in cache.glob(f"chromium*/*/{name}"))
    return str(fetched[-1]) if fetched else None


CHROMIUM = find_chromium()
REMEDY = "there is no Chromium: apt-get install chromium, or name one with CHROMIUM="
if CHROMIUM is None and os.environ.get("HEMA_STREAM_BROWSER") == "needed":
    raise RuntimeError(f"browser tests may not be skipped here, and {REMEDY}")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=f"browser test, and {REMEDY}")
LONG = 120_000
"""Milliseconds that a slide may take."""


def enter(page: Any, service: ServiceProcess) -> None:
    page.goto(service.base)
    page.get_by_label("Token").fill(service.token)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Work list").wait_for()


def open_slide(page: Any, service: ServiceProcess, slide: str) -> Any:
    page.goto(f"{service.base}/#/slides/{slide}")
    page.locator("[data-detail]").wait_for(timeout=LONG)
    return page.locator("[data-detail]")
