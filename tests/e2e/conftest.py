"""A slide of several tiles, made of a shipped field; and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browsing import CHROMIUM
from service_process import ServiceProcess
from slides import run


@pytest.fixture(scope="session")
def slide(fields: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen fields side by side: six tiles."""
    field = cv2.imread(str(fields / "chula-106.png"))
    path = tmp_path_factory.mktemp("slide") / "slide.png"
    cv2.imwrite(str(path), np.tile(field, (4, 4, 1)))
    return path


@pytest.fixture(scope="session")
def whole(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The report of an undisturbed run."""
    report = run(slide, tmp_path_factory.mktemp("whole"))
    assert report["quality_metrics"]["tiles"]["analysed"] == 6
    return report


@pytest.fixture(scope="module")
def root(fields: Path, slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    for path in (*fields.glob("*.png"), slide):
        shutil.copy(path, root / path.name)
    return root


@pytest.fixture(scope="module")
def service(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("browser") / "data", root) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright import sync_api as playwright

    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page; it fails the test that made it complain, or that broke the policy."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page, said = context.new_page(), []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    yield page
    context.close()
    assert [line for line in said if "net::ERR_FAILED" not in line] == []
