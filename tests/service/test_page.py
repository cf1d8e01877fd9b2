"""The browser application: what is handed out, its headers, and that its build is whole and loads nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hema_stream.service.page import INDEX, STATIC

FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file())
POLICY = {"default-src 'self'", "img-src 'self' blob: data:", "object-src 'none'", "base-uri 'none'"}


class Linked(HTMLParser):
    """What a page loads, and what stands in it that the policy would refuse."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.files: list[str] = []
        self.refused: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag in ("script", "link", "img"):
            target = named.get("src") or named.get("href")
            (self.files if target else self.refused).append(target or tag)
        self.refused += [name for name in named if name == "style" or name.startswith("on")]
        if tag == "style":
            self.refused.append(tag)


async def test_the_page_is_open_and_strict(service: Any) -> None:
    answer = await service.client.get("/")
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert set(answer.headers["Content-Security-Policy"].split("; ")) >= POLICY
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-cache"


async def test_what_the_page_loads_is_there_and_nothing_stands_in_it(service: Any) -> None:
    linked = Linked(await (await service.client.get("/")).text())
    assert linked.refused == []
    assert len(linked.files) >= 3
    for name in linked.files:
        assert name.startswith("./")
        answer = await service.client.get(name[1:])
        assert answer.status == 200
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        kept = "immutable" in answer.headers["Cache-Control"]
        assert kept is name.startswith("./assets/")


async def test_nothing_else_is_handed_out(service: Any) -> None:
    for path in ("/assets/", "/assets/none.js", "/../page.py", "/assets/%2e%2e/%2e%2e/page.py", "/service.db"):
        assert (await service.client.get(path)).status == 404


@pytest.mark.parametrize("name", [name for name in FILES if Path(name).suffix in (".js", ".css", ".html")])
def test_the_build_loads_nothing_from_elsewhere(name: str) -> None:
    text = (STATIC / name).read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)=["']?https?:|url\(["']?https?:|import\(?\s*["']https?:""", text)
    assert not re.search(r"\bnew Function\(|\beval\(", text)


def test_the_build_is_small_and_has_its_licences() -> None:
    assert INDEX in FILES
    assert all((STATIC / name).stat().st_size < 1_000_000 for name in FILES)
    licences = (STATIC / "licences.txt").read_text(encoding="utf-8")
    assert all(f"Name: {name}\n" in licences for name in ("openseadragon", "svelte", "tus-js-client"))
