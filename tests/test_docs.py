"""What the documents teach works."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from hema_stream.core.tile import Tile, TileSpec
from hema_stream.flow import Caps, Gap
from hema_stream.flow.describe import describe
from hema_stream.flow.launch import parse

ROOT = Path(__file__).parent.parent


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    return [body for named, body in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL) if named == language]


def test_the_stage_that_is_taught_works() -> None:
    namespace: dict[str, object] = {"__name__": "edges"}
    exec(compile(blocks("stages.md", "python")[0], "edges.py", "exec", dont_inherit=True), namespace)
    stage_class = namespace["DarkTiles"]
    stage = stage_class("dark", least=100)
    spec = TileSpec(7, (0, 0, 8, 8), (0, 0, 8, 8), (False,) * 4)
    _, state = stage.negotiate(Caps("image/tile"))
    for grey, passes in ((50, False), (200, True)):
        pixels = np.full((8, 8, 3), grey, np.uint8)
        out = stage.process(Tile(spec, pixels, pixels, 1.0), state)
        assert isinstance(out, Tile) is passes
        assert isinstance(out, Gap) is not passes
    assert "least mean brightness" in describe("dark_tiles", stage_class)


def test_the_launch_text_that_is_taught_parses() -> None:
    text = next(block for block in blocks("stages.md", "") if "dark_tiles" in block and "!" in block)
    assert [e.kind for e in parse(text).elements][-2:] == ["dark_tiles", "fakesink"]


def test_every_file_that_the_documents_name_is_there() -> None:
    documents = ("README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
    for document in documents:
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert ((ROOT / document).parent / target).exists(), f"{document}: {target}"
        for name in re.findall(r"`((?:bin|configs|docs|tests|hema_stream|stages|models)/[\w./-]+)`", text):
            assert (ROOT / name).exists(), f"{document}: {name}"


def test_every_test_that_a_threat_names_is_there() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 15
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8") or not test, f"{path}::{test}"
