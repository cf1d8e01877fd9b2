"""Control charts: what a site's slides do by chance raises no alarm, what changed is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from smear import mixed

from hema_stream.clinical.control import alarms, charts, left, reading_of
from hema_stream.clinical.panel import load_panel
from hema_stream.core.naming import Naming
from hema_stream.core.reading import Reading
from hema_stream.core.site_use import SiteUse, StreamUse

PANEL = load_panel()
RULE = PANEL.control
SITE = SiteUse("tehran", 1, "ab" * 32, {"wbc": StreamUse(True, 25, 0.9)})
FAR = replace(SITE, streams={"wbc": StreamUse(True, 25, 0.9, distance=1.2, limit=0.5)})
GROUND = ("ground_red", "ground_green", "ground_blue")
STAIN = ("red_cell_red", "red_cell_green", "red_cell_blue")


def slides(number: int, seed: int = 1, networks: dict[str, str] | None = None) -> list[Reading]:
    rng = np.random.default_rng(seed)
    told = {"classify_wbc": "net"} if networks is None else networks
    return [
        Reading(
            f"slide-{seed}-{n}",
            datetime.now(UTC),
            told,
            {
                **dict(zip(GROUND, rng.normal((235, 232, 228), 3).tolist(), strict=True)),
                **dict(zip(STAIN, rng.normal((0.06, 0.3, 0.2), (0.01, 0.02, 0.02)).tolist(), strict=True)),
                "focus": float(rng.normal(5.0, 0.2)),
                "unknown_wbc": float(np.clip(rng.normal(0.1, 0.03), 0, 1)),
                "distance_wbc": float(abs(rng.normal(0.2, 0.05))),
            },
        )
        for n in range(number)
    ]


def changed(reading: Reading, **by: float) -> Reading:
    return replace(reading, figures={name: value + by.get(name, 0.0) for name, value in reading.figures.items()})


def causes(reading: Reading, before: list[Reading], site: SiteUse = SITE) -> list[str]:
    return [alarm.code for alarm in alarms(PANEL, reading, site, before[:30], before[-60:])]


def test_no_limits_are_drawn_on_too_few_slides() -> None:
    before = slides(RULE.least - 1)
    assert charts(before, RULE) == {}
    assert causes(changed(before[0], ground_red=-90), before) == []


def test_what_slides_do_by_chance_raises_no_alarm_in_97_of_100() -> None:
    before = slides(30)
    assert sum(bool(causes(reading, before)) for reading in slides(200, seed=2)) <= 6


@pytest.mark.parametrize(
    ("by", "cause"),
    [
        ({"ground_blue": -40.0}, "light"),
        ({"red_cell_green": 0.15}, "stain"),
        ({"focus": -1.5}, "focus"),
        ({"unknown_wbc": 0.4}, "cells"),
        ({"distance_wbc": 0.8}, "cells"),
    ],
)
def test_an_alarm_names_what_has_changed(by: dict[str, float], cause: str) -> None:
    before = slides(30)
    assert causes(changed(slides(1, seed=3)[0], **by), before) == [cause]


def test_fewer_unknown_cells_and_nearer_ones_are_no_alarm() -> None:
    assert causes(changed(slides(1, seed=3)[0], unknown_wbc=-0.1, distance_wbc=-0.2), slides(30)) == []


def test_a_slow_drift_is_noticed_before_a_single_slide_leaves_its_limits() -> None:
    before = slides(30)
    drawn = charts(before, RULE)["red_cell_green"]
    for n, reading in enumerate(slides(60, seed=4)):
        drifted = changed(reading, red_cell_green=0.002 * n)
        noticed = "red_cell_green" in left(drifted, before, charts(before[:30], RULE), RULE)
        if noticed:
            assert not drawn.left_by(drifted.figures["red_cell_green"])
            return
        before.append(drifted)
    pytest.fail("never noticed")


def test_one_odd_slide_raises_no_alarm_on_those_after_it() -> None:
    before = [*slides(30), changed(slides(1, seed=5)[0], red_cell_green=5.0)]
    assert causes(slides(1, seed=6)[0], before) == []


def test_one_odd_slide_among_the_first_widens_no_limits() -> None:
    before = slides(29)
    odd = [*before, changed(before[0], ground_red=-200.0)]
    plain, disturbed = charts(before, RULE)["ground_red"], charts(odd, RULE)["ground_red"]
    assert disturbed.spread < 1.5 * plain.spread


def test_another_network_is_named() -> None:
    before = slides(30)
    assert causes(replace(before[0], slide="new", networks={"classify_wbc": "other"}), before) == ["network"]


def test_another_laboratory_is_named_without_any_slide_before() -> None:
    found = alarms(PANEL, slides(1)[0], FAR, (), ())
    assert [(alarm.code, "tehran" in alarm.text) for alarm in found] == [("elsewhere", True)]


@given(st.lists(st.floats(-1e6, 1e6), min_size=12, max_size=40))
def test_limits_lie_about_the_middle_and_drift_within_them(values: list[float]) -> None:
    first = [Reading(str(n), datetime.now(UTC), {}, {"ground_red": value}) for n, value in enumerate(values)]
    chart = charts(first, RULE)["ground_red"]
    assert chart.low is not None
    assert chart.drift_low is not None
    assert chart.low < chart.drift_low < chart.centre < chart.drift_high < chart.high
    assert min(values) <= chart.centre <= max(values)
    assert chart.low <= chart.average(values, RULE.weight) <= chart.high


def test_a_reading_holds_what_was_measured() -> None:
    result = replace(mixed(200), naming=Naming(site=FAR))
    reading = reading_of(result)
    assert reading.slide == result.slide.id
    assert reading.figures["distance_wbc"] == 1.2
    assert set(GROUND) < set(reading.figures)
    assert all(np.isfinite(value) for value in reading.figures.values())
