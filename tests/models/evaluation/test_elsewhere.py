from __future__ import annotations

import csv
import gzip
import json
from itertools import count
from pathlib import Path

import pytest
from hema_models.cards import ClassElsewhere, read_card
from hema_models.evaluation.answers import Answers, answers_of, read_answers
from hema_models.evaluation.elsewhere import elsewhere, errors_by_laboratory, write_card
from hypothesis import given
from hypothesis import strategies as st

from hema_stream.core.errors import ConfigError
from hema_stream.core.taxonomy import load_taxonomy

CARD = Path(__file__).parents[3] / "models/hema_models/weights/rbc.card.json"
COLUMNS = ("group", "name", "source", "class", "predicted", "confidence", "unknown")
NUMBERS = count()
LABELS = ("normal", "healthy", "round", "uninfected", "malaria_infected", "schistocyte", "microcyte", "other")
SOURCES = ("pbc", "bccd", "iml_malaria", "chula_rbc12", "nih_fields", "nih_malaria")


def row(source: str, label: str, predicted: str, unknown: int = 0, group: str = "A") -> dict[str, str]:
    return dict(
        zip(COLUMNS, (group, f"{next(NUMBERS)}.jpg", source, label, predicted, "0.9", str(unknown)), strict=True)
    )


def red(*rows: dict[str, str]) -> Answers:
    return answers_of("rbc", rows)


def test_an_unknown_cell_was_not_called() -> None:
    did = elsewhere(red(row("pbc", "normal", "schistocyte"), row("pbc", "normal", "schistocyte", unknown=1)))
    assert did["schistocyte"]["false_positive"] == [1, 2]
    assert did["normal"] == {"false_positive": [0, 0], "recall": [0, 2], "laboratories": 1, "worst": None, "note": ""}


def test_a_class_that_the_label_allows_is_no_error_and_no_evidence() -> None:
    did = elsewhere(red(row("pbc", "healthy", "schistocyte"), row("pbc", "round", "schistocyte")))
    assert did["schistocyte"]["false_positive"] == [1, 1]  # of the round one alone
    assert did["schistocyte"]["recall"] is None
    assert did["sickle"]["false_positive"] == [0, 2]


def test_sources_of_one_laboratory_are_one_laboratory() -> None:
    did = elsewhere(red(row("nih_fields", "malaria_infected", "malaria_infected"),
                        row("nih_malaria", "malaria_infected", "normal"),
                        row("iml_malaria", "malaria_infected", "malaria_infected")))  # fmt: skip
    assert did["malaria_infected"]["recall"] == [2, 3]
    assert did["malaria_infected"]["laboratories"] == 2


def test_a_source_dealt_to_the_runs_is_told_in_the_note_alone() -> None:
    did = elsewhere(red(row("chula_rbc12", "schistocyte", "schistocyte"), row("chula_rbc12", "normal", "schistocyte")))
    assert did["schistocyte"] == {
        "false_positive": [0, 0],
        "recall": None,
        "laboratories": 0,
        "worst": None,
        "note": "1 of 1 found in held-out cells of chula_rbc12, whose other cells were trained on",
    }


def test_sources_can_be_named_that_the_networks_saw() -> None:
    answers = red(row("pbc", "normal", "sickle"), row("bccd", "normal", "sickle"))
    assert elsewhere(answers, dealt=("pbc",))["sickle"]["false_positive"] == [1, 1]
    assert elsewhere(answers, dealt=())["sickle"]["false_positive"] == [2, 2]


def test_a_cell_that_two_runs_answered_counts_once(tmp_path: Path) -> None:
    first = row("bbbc041", "uninfected", "malaria_infected")
    table = written(tmp_path, [first, {**first, "group": "B", "predicted": "normal"}, row("pbc", "normal", "normal")])
    assert elsewhere(read_answers(table, "rbc"))["malaria_infected"]["false_positive"] == [1, 2]


def test_errors_by_laboratory_add_up() -> None:
    cells = [
        ("pbc", "normal", "sickle"),
        ("pbc", "normal", "normal"),
        ("bccd", "round", "sickle"),
        ("bccd", "sickle", "sickle"),
    ]
    answers = red(*(row(*cell) for cell in cells))
    assert errors_by_laboratory(answers)["sickle"] == {"bccd": [1, 1], "pbc": [1, 2]}
    assert elsewhere(answers)["sickle"]["false_positive"] == [2, 3]


def test_the_worst_laboratory_is_one_of_enough_cells() -> None:
    cells = [row("pbc", "normal", "sickle")] * 3 + [row("bccd", "round", "normal")] * 199
    assert elsewhere(red(*cells))["sickle"]["worst"] is None
    told = elsewhere(red(*cells, row("bccd", "round", "sickle")))["sickle"]
    assert told["worst"] == [1, 200]
    assert told["false_positive"] == [4, 203]


def test_measured_classes_are_no_networks() -> None:
    assert set(elsewhere(red(row("pbc", "normal", "normal")))) == set(load_taxonomy("rbc").learnt)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(SOURCES),
            st.sampled_from(LABELS),
            st.sampled_from(load_taxonomy("rbc").names),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_counts_lie_within_their_denominators_and_more_unknown_never_calls_more(
    cells: list[tuple[str, str, str, bool]],
) -> None:
    said = elsewhere(red(*(row(source, label, name, int(odd)) for source, label, name, odd in cells)))
    shown = elsewhere(red(*(row(source, label, name) for source, label, name, _ in cells)))
    for name, did in said.items():
        for pair in (did["false_positive"], did["recall"] or [0, 0]):
            assert 0 <= pair[0] <= pair[1]
        assert did["false_positive"][0] <= shown[name]["false_positive"][0]
        assert (did["recall"] is None) == (did["laboratories"] == 0)
        assert ClassElsewhere.model_validate(did).rates().laboratories == did["laboratories"]


def written(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "rbc.csv.gz"
    with gzip.open(path, "wt", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_card_takes_the_table(tmp_path: Path) -> None:
    card = tmp_path / "rbc.card.json"
    card.write_bytes(CARD.read_bytes())
    before = read_card(card)
    write_card(written(tmp_path, [row("pbc", "normal", "sickle"), row("bccd", "round", "normal")]), card)
    after = read_card(card)
    assert after.elsewhere["sickle"].false_positive == (1, 2)
    assert after.elsewhere["normal"].recall == (0, 1)
    assert after.model_copy(update={"elsewhere": {}}) == before.model_copy(update={"elsewhere": {}})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rbc.card.json", "rbc.csv.gz"]


def test_a_card_of_no_classifier_is_refused(tmp_path: Path) -> None:
    card = tmp_path / "seg.card.json"
    card.write_text(json.dumps({"task": "segment"}))
    with pytest.raises(ConfigError, match="not the card of a classifier"):
        write_card(written(tmp_path, [row("pbc", "normal", "normal")]), card)


def test_a_table_without_a_column_names_it(tmp_path: Path) -> None:
    rows = [row("pbc", "normal", "normal")]
    del rows[0]["unknown"]
    with pytest.raises(ConfigError, match="no column unknown"):
        read_answers(written(tmp_path, rows), "rbc")
