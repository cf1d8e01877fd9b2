"""The house: who may import whom, and that importing stays cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "nvidia", "openvino", "onnxruntime", "cv2", "ultralytics", "timm", "cupy"}
MAY_IMPORT = {
    "hema_stream/flow": {"hema_stream.flow"},
    "hema_stream/core": {"hema_stream.core", "hema_stream.flow"},
    "hema_stream/clinical": {"hema_stream.clinical", "hema_stream.core"},
    "hema_stream/service": {
        "hema_stream.service",
        "hema_stream.core",
        "hema_stream.flow",
        "hema_stream.clinical",
        "hema_models.site",
    },
    "models/hema_models": {"hema_models", "hema_stream.core"},
    "stages/hema_stages": {
        "hema_stages",
        "hema_models",
        "hema_stream.core",
        "hema_stream.flow",
        "hema_stream.clinical",
    },
}
FLOW_EXTERNAL = {"structlog"}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_import_directions(folder: str) -> None:
    assert modules(folder)
    for path in modules(folder):
        for name in imports(path):
            if name.split(".")[0] in ("hema_stream", "hema_stages", "hema_models") and name != "hema_stream":
                allowed = any(name == good or name.startswith(f"{good}.") for good in MAY_IMPORT[folder])
                assert allowed, f"{path.relative_to(ROOT)} imports {name}"


def test_the_runtime_needs_the_standard_library_and_structlog_alone() -> None:
    for path in modules("hema_stream/flow"):
        outside = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names) - {"hema_stream"}
        assert outside <= FLOW_EXTERNAL, f"{path.name} imports {outside}"


def test_heavy_libraries_are_imported_where_they_are_needed() -> None:
    for folder in ("hema_stream", "stages/hema_stages"):
        for path in modules(folder):
            top = {
                name.split(".")[0]
                for node in ast.parse(path.read_text(encoding="utf-8")).body
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
            }
            assert not top & HEAVY, f"{path.relative_to(ROOT)} imports {top & HEAVY} at the top"


def test_the_top_level_shows_what_the_card_asks() -> None:
    for name in ("hema_stream", "stages", "models", "bin", "configs", "tests", "pyproject.toml", "README.md"):
        assert (ROOT / name).exists()


@pytest.mark.parametrize("module", ["hema_stages.aggregate", "hema_stream.flow"])
def test_importing_costs_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; print(sorted({HEAVY | {'numba'}!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_runtime_has_no_circle_and_nothing_of_it_looks_up() -> None:
    """Imports for the type checker alone count as well."""
    below: dict[str, set[str]] = {}
    for path in modules("hema_stream/flow"):
        name = f"hema_stream.flow.{path.stem}" if path.stem != "__init__" else "hema_stream.flow"
        below[name] = imports(path)
    order = list(TopologicalSorter({name: found & below.keys() for name, found in below.items()}).static_order())
    up = ("link", "run", "failures", "runner", "source", "wiring", "pipeline")
    places = [order.index(f"hema_stream.flow.{name}") for name in up]
    assert places == sorted(places)
    assert all(reaches(f"hema_stream.flow.{a}", f"hema_stream.flow.{b}", below) for b, a in pairwise(up[:4]))
    for low in ("link", "run", "failures", "outlet", "slide_run"):
        assert not reaches(f"hema_stream.flow.{low}", "hema_stream.flow.runner", below)
        assert not reaches(f"hema_stream.flow.{low}", "hema_stream.flow.pipeline", below)


def reaches(name: str, other: str, below: dict[str, set[str]]) -> bool:
    return other in below[name] or any(reaches(next_, other, below) for next_ in below[name] & below.keys())
