"""The runtime's modules stand on each other one way: read from the ground up, none needs a later one."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import hema_stream.flow

FLOW = Path(hema_stream.flow.__file__).parent
FLOORS = ("link", "run", "failures", "outlet", "runner", "source", "batch_transform", "batcher", "wiring", "pipeline")


def imported(path: Path) -> set[str]:
    """Modules of the runtime that one imports anywhere, under TYPE_CHECKING and within functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hema_stream.flow."):
            found.add((node.module or "").removeprefix("hema_stream.flow."))
    return found


GRAPH = {path.stem: imported(path) for path in FLOW.glob("*.py") if path.stem != "__init__"}


def test_no_module_needs_itself_by_way_of_another() -> None:
    order = list(TopologicalSorter(GRAPH).static_order())  # CycleError names the circle
    assert set(order) == set(GRAPH)


def test_what_drives_stands_on_what_runs_and_not_the_other_way() -> None:
    for number, module in enumerate(FLOORS):
        assert not GRAPH[module] & set(FLOORS[number + 1 :]), module
    assert {"runner", "source", "pipeline", "leaving", "wiring"}.isdisjoint(GRAPH["run"])
