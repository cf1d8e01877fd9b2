"""When a flag is raised, what it says, and what it was counted on."""

from __future__ import annotations

import pytest

from hema_stream.clinical.flags import Flags
from hema_stream.clinical.panel import load_panel
from hema_stream.core.report import Flag

FLAGS = Flags(load_panel())


def codes(flags: list[Flag]) -> set[str]:
    return {flag.code for flag in flags}


def test_one_blast_opens_review() -> None:
    [flag] = FLAGS.white({"blast": 1}, 150)
    assert (flag.code, flag.n, flag.of) == ("blast_detected", 1, 150)
    assert flag.wording == "Blast cells suspected: review required"


@pytest.mark.parametrize(("blasts", "raised"), [(0, False), (9, False), (10, True)])
def test_five_percent_blasts(blasts: int, raised: bool) -> None:
    assert ("possible_leukemia" in codes(FLAGS.white({"blast": blasts}, 200))) is raised


def test_no_wording_names_a_disease() -> None:
    for code, rule in load_panel().flags.items():
        assert "leuk" not in rule.wording.lower(), code


@pytest.mark.parametrize(("cells", "raised"), [(2, False), (3, True)])
def test_immature_granulocytes_from_one_in_a_hundred_unrounded(cells: int, raised: bool) -> None:
    counts = {"myelocyte": cells - 1, "metamyelocyte": 1}
    assert ("immature_granulocytes" in codes(FLAGS.white(counts, 201))) is raised
    assert ("immature_granulocytes" in codes(FLAGS.white({"neutrophil_band": 50}, 201))) is False


def test_nucleated_red_cells_are_counted_on_the_differential() -> None:
    [flag] = FLAGS.white({"erythroblast": 1}, 100)
    assert (flag.code, flag.n, flag.of) == ("nrbc_present", 1, 100)
    assert not FLAGS.white({"erythroblast": 1}, 101)


@pytest.mark.parametrize(
    ("fragments", "of", "raised"), [(10, 1000, False), (11, 1000, True), (99, 999, False), (0, 5000, False)]
)
def test_schistocytes_above_one_percent_of_a_thousand(fragments: int, of: int, raised: bool) -> None:
    assert ("schistocytes_present" in codes(FLAGS.red({"schistocyte": fragments}, of, None, 0))) is raised


@pytest.mark.parametrize(
    ("median", "raised"),
    [
        (5.99, {"microcytosis_detected"}),
        (6.0, set()),
        (8.5, set()),
        (8.51, {"macrocytosis_detected"}),
        (None, set()),
    ],
)
def test_size_flags_need_a_median(median: float | None, raised: set[str]) -> None:
    flags = FLAGS.red({}, 1200, median, 1100)
    assert codes(flags) == raised
    assert all(flag.of == 1100 and flag.n == median for flag in flags)


def test_one_parasite() -> None:
    assert codes(FLAGS.red({"malaria_infected": 1}, 4000, None, 0)) == {"parasite_suspected"}


def test_few_cells_say_how_many_are_wanted() -> None:
    [white], [red] = FLAGS.white({}, 99), FLAGS.red({}, 999, None, 0)
    assert (white.code, white.n, white.of) == ("insufficient_cells", 99, 100)
    assert (red.code, red.n, red.of) == ("insufficient_cells", 999, 1000)
    assert not FLAGS.white({}, 100)
    assert not FLAGS.red({}, 1000, None, 0)


def test_quality() -> None:
    assert codes(FLAGS.stain(False, 8)) == {"poor_stain"}
    assert not FLAGS.stain(True, 8)
    assert codes(FLAGS.monolayer(21, 200)) == {"out_of_monolayer"}
    assert not FLAGS.monolayer(20, 200)
    assert not FLAGS.monolayer(50, 99)
    assert codes(FLAGS.platelets(1, 9)) == {"platelet_clumps"}
    assert not FLAGS.platelets(0, 9)
    assert codes(FLAGS.focus(0.5, 4, 8)) == {"rescan_advised"}
    assert not FLAGS.focus(0.5, 0, 8)
    assert not FLAGS.focus(0.9, 1, 10)
    assert not FLAGS.focus(None, 0, 0)
