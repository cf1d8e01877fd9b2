"""When a count is a flag, when a candidate, what it says, and what it was counted on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hema_stream.clinical.claims import CHANCE, chance_by_error
from hema_stream.clinical.flags import Flags, Raised, claims, raised
from hema_stream.clinical.panel import load_panel
from hema_stream.core.rates import ClassRates, Rate, Rates
from hema_stream.core.report import Flag

PANEL = load_panel()
FLAGS = Flags(PANEL)


def known(*names: str, false: tuple[int, int] = (2, 20_000), recall: tuple[int, int] = (190, 200)) -> Rates:
    return {name: ClassRates(Rate(*false), Rate(*recall), 3) for name in names}


IMMATURE = known("promyelocyte", "myelocyte", "metamyelocyte")


def codes(flags: list[Flag]) -> set[str]:
    return {flag.code for flag in flags}


def white(counts: dict[str, int], rates: Rates | None = None, unknown: int = 0) -> Raised:
    return raised(PANEL, "wbc", counts, unknown, rates or {})


def red(counts: dict[str, int], rates: Rates | None = None, unknown: int = 0) -> Raised:
    return raised(PANEL, "rbc", counts, unknown, rates or {})


def test_one_blast_opens_review_where_it_is_hardly_ever_an_error() -> None:
    flags, candidates = white({"blast": 1, "lymphocyte": 149}, known("blast", false=(0, 10_000_000)))
    [flag] = flags
    assert (flag.code, flag.n, flag.of, flag.figure) == ("blast_detected", 1, 150, "1 of 150 cells")
    assert (flag.wording, flag.note) == ("Blast cells suspected: review required", "")
    assert not candidates


def test_one_blast_of_a_network_that_errs_is_a_candidate_and_says_why() -> None:
    flags, [candidate] = white({"blast": 1, "lymphocyte": 149}, known("blast", false=(100, 10_000)))
    assert not flags
    assert (candidate.code, candidate.figure) == ("blast_detected", "1 of 150 cells")
    assert candidate.wording == PANEL.flags["blast_detected"].candidate
    assert candidate.note == PANEL.telling.by_error


def test_a_class_of_which_nothing_is_known_gives_candidates_only() -> None:
    flags, candidates = white({"blast": 90, "lymphocyte": 60, "myelocyte": 30}, IMMATURE)
    assert codes(flags) == {"immature_granulocytes"}
    assert codes(candidates) == {"blast_detected", "possible_leukemia"}
    assert {flag.note for flag in candidates} == {PANEL.telling.unproven}


@pytest.mark.parametrize(
    ("blasts", "told"), [(0, ""), (9, ""), (10, "candidate"), (15, "candidate"), (30, "flag"), (200, "flag")]
)
def test_many_blasts_need_more_than_five_percent_beyond_doubt(blasts: int, told: str) -> None:
    flags, candidates = white({"blast": blasts, "lymphocyte": 200 - blasts}, known("blast"))
    assert ("possible_leukemia" in codes(flags)) is (told == "flag")
    assert ("possible_leukemia" in codes(candidates)) is (told == "candidate")


def test_no_wording_names_a_disease() -> None:
    for code, rule in PANEL.flags.items():
        assert "leuk" not in (rule.wording + rule.candidate).lower(), code


@pytest.mark.parametrize(("cells", "seen"), [(2, False), (3, True)])
def test_immature_granulocytes_are_looked_for_from_one_in_a_hundred_unrounded(cells: int, seen: bool) -> None:
    counts = {"myelocyte": cells - 1, "metamyelocyte": 1, "lymphocyte": 201 - cells}
    assert ("immature_granulocytes" in codes(white(counts, IMMATURE).candidates)) is seen
    assert not white({"neutrophil_band": 50, "lymphocyte": 151}).candidates


def test_a_flag_says_whose_cells_it_counted() -> None:
    counts = {"metamyelocyte": 2, "myelocyte": 1, "lymphocyte": 97}
    [candidate] = white(counts, IMMATURE).candidates
    assert (candidate.n, candidate.classes) == (3, ["myelocyte", "metamyelocyte"])
    assert not FLAGS.platelets(1, 9)[0].classes


def test_nucleated_red_cells_do_not_go_silent_where_nothing_else_was_found() -> None:
    flags, [candidate] = white({"erythroblast": 3}, known("erythroblast"))
    assert (candidate.code, candidate.figure) == ("nrbc_present", "3 of 3 cells")
    assert "3 cells are too few" in candidate.note
    assert codes(flags) == {"insufficient_cells"}
    assert "nrbc_present" in codes(white({"erythroblast": 60}, known("erythroblast")).flags)
    assert "nrbc_present" in codes(white({"erythroblast": 1}, known("erythroblast"), unknown=300).candidates)
    assert "smudge_cells" in codes(white({"smudge": 2}, known("smudge")).candidates)
    assert not white({"erythroblast": 1, "lymphocyte": 101}, known("erythroblast")).candidates


@pytest.mark.parametrize(
    ("fragments", "of", "told"),
    [
        (10, 1000, ""),
        (11, 1000, "candidate"),
        (40, 2000, "flag"),
        (20, 499, "candidate"),
        (20, 500, "flag"),
        (0, 5000, ""),
    ],
)
def test_schistocytes_above_one_percent_beyond_doubt(fragments: int, of: int, told: str) -> None:
    flags, candidates = red({"schistocyte": fragments, "normal": of - fragments}, known("schistocyte"))
    assert ("schistocytes_present" in codes(flags)) is (told == "flag")
    assert ("schistocytes_present" in codes(candidates)) is (told == "candidate")


def test_fragments_that_the_error_rate_explains_are_a_candidate() -> None:
    counts = {"schistocyte": 60, "normal": 1940}
    flags, [candidate] = red(counts, known("schistocyte", false=(600, 20_000)))
    assert not flags
    assert candidate.note == PANEL.telling.by_error


def test_above_the_limit_but_not_surely_says_so() -> None:
    _, [candidate] = red({"schistocyte": 26, "normal": 1974}, known("schistocyte"))
    assert candidate.note == PANEL.telling.open


def test_no_share_is_a_flag_where_too_many_are_unknown() -> None:
    counts, rates = (
        {"schistocyte": 100, "malaria_infected": 50, "normal": 1850},
        known("schistocyte", "malaria_infected"),
    )
    flags, [candidate] = red(counts, rates, unknown=1334)
    assert codes(flags) == {"parasite_suspected"}
    assert (candidate.code, candidate.note) == ("schistocytes_present", PANEL.telling.not_gradable)
    assert codes(red(counts, rates, unknown=1333).flags) == {"parasite_suspected", "schistocytes_present"}


def test_a_count_that_a_person_confirmed_needs_no_error_rate() -> None:
    flags, candidates = raised(PANEL, "wbc", {"blast": 1, "lymphocyte": 99}, 0, {}, confirmed={"blast"})
    assert codes(flags) == {"blast_detected"}
    assert not candidates


@pytest.mark.parametrize(
    ("median", "told"),
    [
        (5.99, {"microcytosis_detected"}),
        (6.0, set()),
        (8.5, set()),
        (8.51, {"macrocytosis_detected"}),
        (None, set()),
    ],
)
def test_size_flags_need_a_median_of_a_hundred_cells(median: float | None, told: set[str]) -> None:
    flags, candidates = raised(PANEL, "rbc", {"normal": 1200}, 0, {}, median_um=median, sized=100)
    assert (codes(flags), candidates) == (told, [])
    assert all(
        (flag.of, flag.n, flag.figure) == (100, median, f"median {median:.1f} µm of 100 cells") for flag in flags
    )
    flags, candidates = raised(PANEL, "rbc", {"normal": 1200}, 0, {}, median_um=median, sized=99)
    assert (flags, codes(candidates)) == ([], told)


def test_one_parasite() -> None:
    counts = {"malaria_infected": 1, "normal": 3999}
    assert codes(red(counts, known("malaria_infected", false=(0, 20_000_000))).flags) == {"parasite_suspected"}
    assert codes(red(counts, known("malaria_infected", false=(20, 20_000))).candidates) == {"parasite_suspected"}


@given(
    k=st.integers(0, 40),
    others=st.integers(0, 3000),
    unknown=st.integers(0, 1000),
    false_of=st.integers(1, 50_000),
    data=st.data(),
)
def test_a_count_that_the_rate_explains_is_never_a_flag(
    k: int, others: int, unknown: int, false_of: int, data: st.DataObject
) -> None:
    rate = Rate(data.draw(st.integers(0, false_of)), false_of)
    names = {name for stream in ("rbc", "wbc") for claim in claims(PANEL, stream) for name in claim.classes}
    rates = {name: ClassRates(rate, None, 2) for name in names}
    of = k + others + unknown
    for stream, name, plain, code in (
        ("rbc", "malaria_infected", "normal", "parasite_suspected"),
        ("rbc", "schistocyte", "normal", "schistocytes_present"),
        ("wbc", "blast", "lymphocyte", "blast_detected"),
    ):
        flags, candidates = raised(PANEL, stream, {name: k, plain: others}, unknown, rates)
        told = code in codes(flags)
        assert not (told and code in codes(candidates))
        if k <= rate.share * of:
            assert not told
        if code in ("parasite_suspected", "blast_detected") and k:
            assert told is (chance_by_error(Rate(k, of), rate) < CHANCE)
            assert told is not (code in codes(candidates))


def test_few_cells_say_how_many_are_wanted() -> None:
    [few_white], [few_red] = white({"lymphocyte": 99}).flags, red({"normal": 999}).flags
    assert (few_white.code, few_white.n, few_white.of) == ("insufficient_cells", 99, 100)
    assert (few_red.code, few_red.n, few_red.figure) == ("insufficient_cells", 999, "999 of 1,000 cells wanted")
    assert not white({"lymphocyte": 100}).flags
    assert not red({"normal": 1000}).flags


def test_quality() -> None:
    assert codes(FLAGS.stain(False, 8)) == {"poor_stain"}
    assert not FLAGS.stain(True, 8)
    assert codes(FLAGS.monolayer(21, 200)) == {"out_of_monolayer"}
    assert not FLAGS.monolayer(20, 200)
    assert not FLAGS.monolayer(50, 99)
    assert codes(FLAGS.platelets(1, 9)) == {"platelet_clumps"}
    assert not FLAGS.platelets(0, 9)
    [rescan] = FLAGS.focus(0.5, 4, 8)
    assert (rescan.code, rescan.figure) == ("rescan_advised", "4 of 8 tiles")
    assert not FLAGS.focus(0.5, 0, 8)
    assert not FLAGS.focus(0.9, 1, 10)
    assert not FLAGS.focus(None, 0, 0)
