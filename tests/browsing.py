"""A real Chromium on the real service: where it is, and how a slide's page is reached."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest
from service_process import ServiceProcess

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium; name one with CHROMIUM=")
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
