"""``evaluate suite`` on a small data folder made of the examples, and its composed slides on made-up answers."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hema_models.evaluation.answers import Answers, answers_of
from hema_models.evaluation.composed import Pool, pool

from hema_stream.cli.evaluate.suite import command
from hema_stream.cli.evaluate.suite.cells import fewer
from hema_stream.cli.evaluate.suite.claims import Claims
from hema_stream.cli.evaluate.suite.recipe import Recipe
from hema_stream.cli.evaluate.suite.slides import Pools, plan, pools_of, red_of_answers, slide_figures
from hema_stream.core.taxonomy import load_taxonomy

EXAMPLES = Path(__file__).parents[2] / "examples" / "fields"
RED, WHITE = load_taxonomy("rbc").names, load_taxonomy("wbc").names
CELLS = {"basophil": "pbc-basophil.png", "eosinophil": "pbc-eosinophil.png", "monocyte": "pbc-monocyte.png"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for below in ("wbc", "rbc/chula_rbc12", "detection"):
        (folder / below).mkdir(parents=True)
    for name in CELLS.values():
        shutil.copy(EXAMPLES / name, folder / "wbc" / name)
    shutil.copy(EXAMPLES / "bccd-00000.png", folder / "detection" / "bccd-00000.png")
    white = [
        {"path": name, "class": label, "source": "pbc_barcelona", "split": "train", "mpp": "0.1389"}
        for label, name in CELLS.items()
    ]
    cv2.imwrite(str(folder / "wbc" / "small.png"), np.zeros((40, 40, 3), np.uint8))
    white.append({"path": "small.png", "class": "blast", "source": "bccd", "split": "train", "mpp": "0.1"})
    _table(folder / "wbc" / "labels.csv", white)
    image = {"id": 7, "file_name": "bccd-00000.png", "width": 384, "height": 288, "lab": "bccd", "mpp": 0.1342}
    document = {"images": [{**image, "exhaustive_for": ["rbc"]}], "annotations": []}
    (folder / "detection" / "train.json").write_text(json.dumps(document))
    return folder


def _table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_the_suite_answers_once_and_tells_what_made_its_figures(data: Path, tmp_path: Path) -> None:
    words = ["--data", str(data), "--out", str(tmp_path), "--task", "white", "--task", "fields", "--draws", "10"]
    first = CliRunner().invoke(command, words, catch_exceptions=False)
    assert first.exit_code == 0
    assert "0 of 4 pictures answered" in first.stderr
    assert "small.png" in first.stderr
    document = json.loads((tmp_path / "suite.json").read_text())
    assert set(document["product"]["white"]) == {"pbc_barcelona"}  # the picture that is too small is nobody's error
    assert document["made_of"]["without_result"] == {"wbc": {"bccd": 1}}
    assert document["product"]["white"]["pbc_barcelona"]["cells"] == 3
    assert document["product"]["white"]["pbc_barcelona"]["accuracy"] >= 0.6
    field = document["product"]["fields"]["bccd"]
    assert field["red_unknown"]["of"] > 5
    assert field["round"]["normal"]["of"] == 0  # nothing is labelled in it
    assert all(len(model["weights"]) == 64 for model in document["made_of"]["models"].values())
    assert set(document["made_of"]["tables"]) == {"wbc/labels.csv", "detection/train.json"}
    again = CliRunner().invoke(command, words, catch_exceptions=False)
    assert "0 of 1 pictures answered, 3 known before" in again.stderr  # what gave no result is asked again
    assert json.loads((tmp_path / "suite.json").read_text()) == document
    assert "pbc_barcelona" in (tmp_path / "suite.md").read_text()


def test_left_out_needs_its_folder(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["--data", str(tmp_path), "--out", str(tmp_path), "--task", "left-out"])
    assert done.exit_code == 2
    assert "needs --left-out" in done.output


def test_a_recipe_is_named_by_what_changes_an_answer() -> None:
    plain = Recipe("cpu", (), None)
    assert plain.identity("points") == Recipe("cpu", (), None).identity("points")
    assert plain.identity("points") != Recipe("cpu", ("clean.score=0.61",), None).identity("points")
    assert plain.identity("points") != plain.identity("central")
    assert plain.identity("central") == Recipe("cpu", ("tally.streams=none",), None).identity("central")


def test_fewer_takes_the_same_rows_whatever_their_order() -> None:
    rows = [{"path": f"{n}.jpg", "source": "a", "class": "x" if n % 2 else "y"} for n in range(20)]
    some = fewer(rows, 3)
    assert len(some) == 6
    assert {row["path"] for row in some} == {row["path"] for row in fewer(rows[::-1], 3)}
    assert fewer(rows, None) == rows


@dataclass(frozen=True)
class Counting:
    """Claims of known limits: schistocytes from 1%, any infected cell; a blast is a candidate."""

    panel: Any

    def names(self, stream: str) -> tuple[str, ...]:
        return load_taxonomy(stream).names

    def of(self, stream: str, counts: Mapping[str, int], unknown: int) -> tuple[set[str], set[str]]:
        cells = sum(counts.values()) + unknown
        flags = {"schistocytes_present"} if counts.get("schistocyte", 0) >= 0.01 * cells else set()
        flags |= {"parasite_suspected"} if counts.get("malaria_infected") else set()
        return flags, {"blast_detected"} if counts.get("blast") else set()


def all_of(name: str, names: tuple[str, ...], cells: int = 50) -> Pool:
    return pool(np.full(cells, names.index(name)), np.zeros(cells, bool), len(names))


def claimed(red: str = "normal") -> dict[str, Any]:
    kinds = {
        name: all_of(kind["label"], RED if kind["stream"] == "rbc" else WHITE) for name, kind in plan()["kinds"].items()
    }
    pools = Pools({"pbc": all_of(red, RED)}, {"pbc": all_of("lymphocyte", WHITE)}, kinds)
    return slide_figures(pools, {"pbc": Counting(Claims({}).panel)})  # type: ignore[dict-item]


def test_slides_of_normal_cells_raise_nothing_and_true_cells_are_found_by_their_share() -> None:
    told = claimed()
    assert told["healthy"]["all"]["flagged"]["k"] == 0
    assert told["healthy"]["all"]["slides"] == plan()["healthy"]
    schistocytes = told["power"]["schistocyte"]["at"]
    assert schistocytes["0.0000"]["flagged"] == schistocytes["0.0025"]["flagged"] == 0
    assert schistocytes["0.0200"]["flagged"] == plan()["abnormal"]
    assert told["power"]["infected"]["at"]["0.0050"]["flagged"] == plan()["abnormal"]
    blasts = told["power"]["blast"]["at"]["0.0800"]
    assert blasts == {"slides": plan()["abnormal"], "flagged": 0, "at_least_candidate": plan()["abnormal"]}


def test_slides_of_cells_falsely_called_are_flagged_without_a_true_one() -> None:
    told = claimed("malaria_infected")
    assert told["healthy"]["all"]["flagged"]["share"] == 1
    assert told["power"]["infected"]["at"]["0.0000"]["flagged"] == plan()["abnormal"]


def test_the_reports_own_rules_are_asked() -> None:
    claims = Claims({}, plan()["beside"])
    flags, candidates = claims.of("rbc", {"normal": 1900, "malaria_infected": 100}, 0)
    assert "parasite_suspected" in flags | candidates
    assert claims.of("rbc", {"normal": 2000}, 0) == (set(), set())
    assert claims.of("wbc", {"lymphocyte": 100}, 0) == (set(), set())


def answers(stream: str, cells: list[tuple[str, str, str]]) -> Answers:
    rows = [
        {
            "name": f"f{n % 3}.jpg#{n}",
            "source": source,
            "class": label,
            "predicted": said,
            "confidence": "1",
            "unknown": "0",
        }
        for n, (source, label, said) in enumerate(cells)
    ]
    return answers_of(stream, rows)


def test_white_cells_come_in_the_proportions_of_healthy_blood() -> None:
    cells = [(label, label) for label in ("neutrophil", "lymphocyte", "monocyte", "basophil", "erythroblast")]
    white = answers(
        "wbc", [("raabin_wbc", label, said.replace("neutrophil", "neutrophil_segmented")) for label, said in cells]
    )
    red = answers("rbc", [("raabin", "round", "normal"), ("raabin", "healthy", "normal"), ("pbc", "normal", "normal")])
    pools = pools_of(red_of_answers(red, len(RED)), {"wbc": [white], "rbc": [red]})
    assert pools.laboratories == ["raabin"]
    drawn = pools.white["raabin"].cells_drawn(20000, np.random.default_rng(0))
    assert drawn[WHITE.index("erythroblast")] == 0
    assert drawn[WHITE.index("neutrophil_segmented")] / drawn[WHITE.index("lymphocyte")] == pytest.approx(2, rel=0.1)
    assert pools.abnormal == {}


def test_kinds_that_no_cell_is_labelled_as_are_left_out() -> None:
    pools = Pools({"pbc": all_of("normal", RED)}, {"pbc": all_of("lymphocyte", WHITE)}, {})
    assert slide_figures(pools, {"pbc": Claims({}, plan()["beside"])})["power"] == {}
