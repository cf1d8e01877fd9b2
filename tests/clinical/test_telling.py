"""What stands beside the figures in plain words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from smear import mixed, result_of

from hema_stream.clinical.compose import Composer
from hema_stream.clinical.panel import load_panel
from hema_stream.clinical.telling import calibration_note, elsewhere, ungraded, unknown_rule
from hema_stream.core.cells import Kind
from hema_stream.core.naming import Naming
from hema_stream.core.rates import ClassRates, Rate
from hema_stream.core.report import Identity
from hema_stream.core.site_use import SiteUse, StreamUse
from hema_stream.core.taxonomy import CellClass, load_taxonomy

PANEL = load_panel()
IDENTITY = Identity(software="hema-stream", models={}, configuration="0" * 64, panel="default", profile="cpu")
COMPOSER = Composer(PANEL, IDENTITY, True)
HAIRY = CellClass.of_site("hairy_cell", "Hairy cell", "#112233")
RATES = {
    "blast": ClassRates(Rate(12, 4000), Rate(87, 100), 3),
    "basophil": ClassRates(Rate(0, 5000), Rate(9, 10), 1),
    "erythroblast": ClassRates(Rate(5, 5000), None, 0),
}
SITE = SiteUse("ward", 3, "a" * 64, {"wbc": StreamUse(True, 25, 0.9), "rbc": StreamUse(False, 0, None)})
NAMING = Naming({"wbc": load_taxonomy("wbc").extended([HAIRY])}, {"wbc": RATES}, SITE)


def test_each_class_says_what_it_does_elsewhere() -> None:
    told = elsewhere(PANEL, "wbc", NAMING)
    assert list(told) == [*load_taxonomy("wbc").names, "hairy_cell"]
    assert (told["blast"].false_positive, told["blast"].recall, told["blast"].laboratories) == (
        (12, 4000),
        (87, 100),
        3,
    )
    assert "87 %" in told["blast"].text
    assert "3 laboratories" in told["blast"].text
    assert told["blast"].text.endswith("3 in 1,000 other cells are called this by error")


@pytest.mark.parametrize(
    ("false", "told"),
    [((285, 495), "576 in 1,000"), ((1, 1212), "0.83 in 1,000"), ((0, 500), "0 in 1,000"), ((9, 9), "1,000 in 1,000")],
)
def test_errors_are_told_in_plain_numbers(false: tuple[int, int], told: str) -> None:
    rates = {"target": ClassRates(Rate(*false), Rate(1, 2), 2)}
    assert f"; {told} other cells" in elsewhere(PANEL, "rbc", Naming({}, {"rbc": rates}))["target"].text


def test_a_class_without_a_second_laboratory_is_marked_so() -> None:
    told = elsewhere(PANEL, "wbc", NAMING)
    marked = {name for name, entry in told.items() if PANEL.telling.one_laboratory in entry.text}
    assert marked == {"basophil", "erythroblast"}
    assert "a laboratory" in told["basophil"].text
    assert told["erythroblast"].text.startswith(PANEL.telling.not_found)
    assert told["monocyte"].text == PANEL.telling.unmeasured
    assert told["hairy_cell"].text == PANEL.telling.own


def test_what_else_the_card_knows_of_a_class_is_said_last() -> None:
    noted = ClassRates(Rate(0, 5000), None, 0, note="424 of 1183 found in held-out cells")
    text = elsewhere(PANEL, "rbc", Naming({}, {"rbc": {"target": noted}}))["target"].text
    assert text.startswith(PANEL.telling.not_found)
    assert text.endswith("; 424 of 1183 found in held-out cells")


def test_the_rule_of_what_is_unknown_is_that_of_the_thresholds() -> None:
    rule = "a cell is unknown where its class is less than 60 % sure, one rule for all classes"
    assert unknown_rule(PANEL, "wbc", NAMING) == unknown_rule(PANEL, "rbc", Naming()) == rule
    wary = Naming({"wbc": load_taxonomy("wbc").extended([replace(HAIRY, threshold=0.75)])})
    assert unknown_rule(PANEL, "wbc", wary).endswith("its limit, 60 to 75 %")
    head = COMPOSER.head(result_of([(Kind.RBC, "normal")]))
    assert head.rbc_analysis.unknown_rule == head.wbc_differential.unknown_rule == rule


def test_classes_that_are_measured_are_not_the_networks() -> None:
    assert not {"macrocyte", "microcyte"} & set(elsewhere(PANEL, "rbc", Naming()))


def test_what_the_answers_are_calibrated_to() -> None:
    assert calibration_note(PANEL, SITE) == "calibrated: ward version 3 (white cells)"
    assert calibration_note(PANEL, None).startswith("not calibrated to this laboratory; expect")
    idle = replace(SITE, streams={"rbc": StreamUse(False, 0, None)})
    assert "site ward version 3 corrects no cells yet" in calibration_note(PANEL, idle)


def test_a_report_names_its_site_and_the_sites_own_classes() -> None:
    result = result_of([(Kind.WBC, "lymphocyte")] * 10, naming=NAMING)
    best = np.where(np.arange(10) < 3, len(load_taxonomy("wbc").names), result.best).astype(np.int16)
    result = replace(result, best=best)
    head = COMPOSER.head(result)
    assert head.site is not None
    assert head.site.model_dump() == {"name": "ward", "version": 3, "identity": "a" * 64, "alarms": []}
    assert head.calibration_note == "calibrated: ward version 3 (white cells)"
    assert head.wbc_differential.distribution == {"lymphocyte": 7, "hairy_cell": 3}
    assert [row["classification"] for row in COMPOSER.detections(result)][:3] == ["hairy_cell"] * 3


def test_a_report_without_a_site_says_so() -> None:
    head = COMPOSER.head(result_of([(Kind.RBC, "normal")]))
    assert head.site is None
    assert head.calibration_note == calibration_note(PANEL, None)


def test_too_many_unknown_take_the_place_of_percentages() -> None:
    result = result_of([(Kind.RBC, "normal")] * 80 + [(Kind.RBC, "target")] * 20)
    unsure = replace(result, unknown=np.arange(100) < 41)
    red = COMPOSER.head(unsure).rbc_analysis
    assert (red.gradable, red.gradable_note) == (False, "not gradable: 41 % of the red cells are unknown")
    assert red.gradable_note == ungraded(PANEL, "rbc", 41, 100)
    assert (red.abnormality_rate, red.distribution["target"].percent) == (None, None)
    assert (red.distribution["target"].count, red.classified, red.unknown) == (20, 59, 41)
    assert red.distribution["target"].with_unknown is not None
    red = COMPOSER.head(replace(result, unknown=np.arange(100) < 40)).rbc_analysis
    assert (red.gradable, red.gradable_note, red.distribution["target"].percent_of_all) == (True, "", 20.0)


def test_the_shares_of_a_report_count_unknown_cells() -> None:
    head = COMPOSER.head(mixed(600))
    for part in (head.rbc_analysis.distribution, head.wbc_differential.percentages):
        unknown = head.rbc_analysis.unknown if part is head.rbc_analysis.distribution else head.wbc_differential.unknown
        for entry in part.values():
            assert entry.percent_of_all is not None
            assert entry.percent is not None
            assert entry.percent_of_all == round(100 * entry.count / (entry.of + unknown), 2) <= entry.percent
