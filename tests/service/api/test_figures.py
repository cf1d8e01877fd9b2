"""Figures of the moment: the report's own, from counts alone."""

from __future__ import annotations

import json
from typing import Any

from hema_stream.clinical.panel import load_panel
from hema_stream.core.naming import Naming
from hema_stream.core.rates import ClassRates, Rate
from hema_stream.core.site_use import SiteUse, StreamUse
from hema_stream.service.api.figures import of_counts
from hema_stream.service.auth import Scope
from hema_stream.service.parts import HUB, SETTINGS

FLAGS = ("flags", "candidates")
COUNTS = {
    "cells": 260,
    "rbc": 150,
    "wbc": 110,
    "rbc/normal": 100,
    "rbc/sickle": 20,
    "rbc/unknown": 30,
    "wbc/neutrophil_segmented": 5,
    "wbc/lymphocyte": 95,
    "wbc/smudge": 2,
    "wbc/unknown": 8,
}


def test_shares_have_their_denominators_and_exact_limits() -> None:
    figures = of_counts(COUNTS, load_panel())
    assert (figures.white.classified, figures.white.beside, figures.white.unknown) == (100, 2, 8)
    assert figures.white.percentages["neutrophil_segmented"].ci95 == (1.64, 11.28)
    assert figures.white.per_100_wbc == {"erythroblast": 0.0, "smudge": 2.0}
    assert figures.white.flags == []
    assert (figures.red.classified, figures.red.abnormal.count, figures.red.unknown) == (120, 20, 30)
    assert list(figures.red.distribution) == ["normal", "sickle"]
    assert [flag.code for flag in figures.red.flags] == ["insufficient_cells"]


def test_no_cell_is_no_figure() -> None:
    figures = of_counts({}, load_panel())
    assert figures.white.percentages == {}
    assert figures.white.neutrophils_total.ci95 is None


async def test_they_are_those_of_the_report(service: Any) -> None:
    slide = await service.submit("a.png")
    await service.until(slide, "done")
    report = json.loads((service.app[SETTINGS].results / slide / "report.json").read_text())
    red, white = report["rbc_analysis"], report["wbc_differential"]
    counts = {"rbc": red["total"], "rbc/unknown": red["unknown"]}
    counts |= {"wbc": white["total"], "wbc/unknown": white["unknown"]}
    counts |= {f"rbc/{name}": share["count"] for name, share in red["distribution"].items()}
    counts |= {f"wbc/{name}": count for name, count in white["distribution"].items()}
    naming = service.app[HUB].naming(slide)
    figures = of_counts(counts, load_panel(), naming).model_dump(mode="json")
    sizes = ("microcytosis_detected", "macrocytosis_detected")
    for name in set(figures["white"]) - {"wanted"}:
        assert figures["white"][name] == white[name], name
    for name in set(figures["red"]) - {"wanted"}:
        told = [flag for flag in red[name] if flag["code"] not in sizes] if name in FLAGS else red[name]
        assert figures["red"][name] == told, name
    asked = await service.json("GET", f"/slides/{slide}/figures")
    assert asked["cells"] == report["summary"]["total_cells"] > 0
    assert (asked["site"], asked["calibration_note"]) == (report["site"], report["calibration_note"])
    assert all(asked["red"][name] == red[name] for name in set(asked["red"]) - {"wanted"})


async def test_a_slide_that_is_no_longer_held_is_told_from_its_report(service: Any) -> None:
    slide = await service.submit("a.png")
    await service.until(slide, "done")
    before = await service.json("GET", f"/slides/{slide}/figures")
    service.app[HUB].forget(slide)
    assert await service.json("GET", f"/slides/{slide}/figures") == before


def test_rates_make_flags_and_a_site_is_named() -> None:
    counts = {"cells": 2000, "rbc": 2000, "rbc/normal": 1900, "rbc/schistocyte": 100}
    rates = {"rbc": {"schistocyte": ClassRates(Rate(2, 20_000), Rate(190, 200), 3)}}
    site = SiteUse("ward", 3, "a" * 64, {"rbc": StreamUse(True, 25, 0.9)})
    plain, told = of_counts(counts, load_panel()), of_counts(counts, load_panel(), Naming({}, rates, site))
    assert [flag.code for flag in plain.red.candidates] == ["schistocytes_present"]
    assert [flag.code for flag in told.red.flags] == ["schistocytes_present"]
    assert (plain.red.flags, told.red.candidates) == ([], [])
    assert plain.site is None
    assert told.site is not None
    assert (told.site.name, told.calibration_note) == ("ward", "calibrated: ward version 3 (red cells)")


async def test_a_page_is_told_what_its_token_allows(service: Any) -> None:
    assert (await service.json("GET", "/session"))["scopes"] == ["read", "submit", "review", "admin"]
    reader = await service.scoped(Scope.READ)
    told = await service.json("GET", "/session", token=reader)
    assert (told["name"], told["scopes"]) == ("test", ["read"])
    assert ".png" in told["kinds"]
    assert told["most_bytes"] > 1 << 30
