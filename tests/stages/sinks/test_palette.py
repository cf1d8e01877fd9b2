"""Styles of findings and the legend made of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hema_stages.sinks.palette import legend, style_of, styles
from smear import mixed, result_of

from hema_stream.core.cells import Kind
from hema_stream.core.naming import Naming
from hema_stream.core.taxonomy import CellClass, load_taxonomy


def test_every_finding_has_the_style_of_what_it_is() -> None:
    entries = [
        (Kind.RBC, "target"),
        (Kind.RBC, "normal"),
        (Kind.RBC, None),
        (Kind.RBC, None),
        (Kind.WBC, "blast"),
        (Kind.WBC, "monocyte"),
        (Kind.PLATELET, None),
        (Kind.PLATELET, None),
    ]
    result = result_of(entries)
    clump = np.array([0, 0, 0, 3, 0, 0, 0, 4], np.int16)
    unknown = np.arange(8) == 5
    result = replace(result, unknown=unknown, cells=replace(result.cells, clump=clump))
    found = [styles()[position] for position in style_of(result)]
    assert [(style.kind.name, style.name, style.marked, style.dashed) for style in found] == [
        ("RBC", "target", True, False),
        ("RBC", "normal", False, False),
        ("RBC", "unclassified", False, False),
        ("RBC", "clump", False, False),
        ("WBC", "blast", True, False),
        ("WBC", "unknown", False, True),
        ("PLATELET", "platelet", False, False),
        ("PLATELET", "clump", False, False),
    ]
    taxonomy = load_taxonomy("rbc")
    assert found[0].colour == taxonomy.classes[taxonomy.index("target")].colour


def test_the_legend_counts_every_finding_once() -> None:
    sections = legend(style_of(mixed(400)))
    assert [heading for heading, _, _ in sections] == ["White cells", "Red cells", "Platelets"]
    assert sum(total for _, total, _ in sections) == 400
    for _, total, entries in sections:
        assert sum(count for _, count in entries) == total
        assert all(count for _, count in entries)


def test_the_most_frequent_class_comes_first_and_unknown_last() -> None:
    result = result_of([(Kind.RBC, "normal")] * 2 + [(Kind.RBC, "target")] * 3 + [(Kind.RBC, "normal")] * 9)
    unknown = np.arange(14) >= 5
    _, (_, _, entries), _ = legend(style_of(replace(result, unknown=unknown)))
    assert [(style.name, count) for style, count in entries] == [("target", 3), ("normal", 2), ("unknown", 9)]


def test_a_sites_own_class_has_its_own_style() -> None:
    own = load_taxonomy("rbc").extended([CellClass.of_site("acanthocyte", "Acanthocyte", "#112233")])
    result = result_of([(Kind.RBC, "normal")] * 2, naming=Naming({"rbc": own}))
    result = replace(result, best=np.array([0, len(own.names) - 1], np.int16))
    style = style_of(result)
    assert [styles(result.naming)[position].name for position in style] == ["normal", "acanthocyte"]
    _, (_, total, entries), _ = legend(style, result.naming)
    assert (total, {entry.title for entry, _ in entries}) == (2, {"Normal", "Acanthocyte"})
