"""``hema-stream site``: from named pictures to corrected answers, through the product's own pipeline."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hema_models.site.labels import allowed_by
from hema_models.site.readings import Readings
from hema_models.site.store import SiteStore

from hema_stream.cli import group
from hema_stream.cli.site.cells import slides_of
from hema_stream.core.errors import ConfigError, InputError
from hema_stream.core.reading import Reading
from hema_stream.core.taxonomy import load_taxonomy

FIELDS = Path(__file__).parents[2] / "examples" / "fields"
KINDS = {"basophil": "pbc-basophil.png", "eosinophil": "pbc-eosinophil.png", "monocyte": "pbc-monocyte.png"}
MPP = 0.1389


def run(*args: object) -> Result:
    return CliRunner().invoke(group, [str(arg) for arg in args])


def said(*args: object) -> str:
    done = run(*args)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


@pytest.fixture(autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> SiteStore:
    monkeypatch.setenv("HEMA_STREAM_SITES", str(tmp_path_factory.mktemp("sites")))
    return SiteStore()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four views of each of three cells, of 20 um, darkened and yellowed as by another lamp."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, file in KINDS.items():
        pixels = cv2.imread(str(FIELDS / file))
        middle = [side // 2 for side in pixels.shape[:2]]
        cut = pixels[middle[0] - 72 : middle[0] + 72, middle[1] - 72 : middle[1] + 72]
        for turn in range(4):
            lit = np.clip(np.rot90(cut, turn) * np.array([0.7, 0.9, 0.95]), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"{name}-{turn}.png"), lit)
    return folder


def labels(folder: Path, name: str, renamed: dict[str, str] | None = None, repeats: int = 1) -> Path:
    rows = [
        {"path": f"{kind}-{turn}.png", "class": (renamed or {}).get(kind, kind), "mpp": MPP, "source": "here"}
        for kind in KINDS
        for turn in range(4)
    ]
    return written(folder / name, rows * repeats)


def written(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_site_is_taught_judged_switched_on_and_used(pictures: Path, store: SiteStore, tmp_path: Path) -> None:
    told = labels(pictures, "labels.csv")
    assert "made" in said("site", "new", "here")
    learnt = said("site", "learn", "here", "--stream", "wbc", "--labels", told, "--unlabelled", told)
    assert "basophil 4, eosinophil 4, monocyte 4" in learnt
    assert "version 1" in learnt
    part = store.load("here").streams["wbc"]
    assert part.reviewed.features.shape[0] == 12
    assert part.slides[0].counts.sum() == pytest.approx(12, rel=1e-3)
    shown = said("site", "evaluate", "here", "--stream", "wbc")
    for word in ("basophil", "balanced accuracy", "calibration error", "with head"):
        assert word in shown
    with pytest.raises(ConfigError, match="site use here"):
        CliRunner().invoke(
            group,
            [
                "evaluate",
                "detect",
                "--site",
                "here",
                "--coco",
                str(told),
                "--images",
                str(pictures),
                "--out",
                str(tmp_path / "x"),
            ],
            catch_exceptions=False,
        )
    assert "version 1 is in use" in said("site", "use", "here")
    assert "version 1 in use" in said("site", "list")
    out = tmp_path / "answers.csv"
    said("evaluate", "classify", "--stream", "wbc", "--labels", told, "--site", "here", "--out", out)
    with out.open(newline="") as handle:
        assert [row["predicted"] for row in csv.DictReader(handle)] == [k for k in KINDS for _ in range(4)]
    assert "off" in said("site", "use", "here", "--off")
    assert store.in_use("here") is None


def test_reports_name_the_site(pictures: Path, store: SiteStore, tmp_path: Path) -> None:
    said("site", "new", "here")
    said("site", "learn", "here", "--stream", "wbc", "--labels", labels(pictures, "labels.csv"))
    said("site", "use", "here")
    said("analyze", FIELDS / "pbc-basophil.png", "-o", tmp_path / "with", "--site", "here", "--json")
    said("analyze", FIELDS / "pbc-basophil.png", "-o", tmp_path / "without", "--json")
    told = [
        json.loads((tmp_path / where / "pbc-basophil" / "report.json").read_text())["site"]
        for where in ("with", "without")
    ]
    assert told[1] is None
    assert (told[0]["name"], told[0]["version"]) == ("here", 1)
    assert told[0]["identity"] == store.load("here").identity


def test_a_class_of_the_sites_own_needs_ten_cells_and_to_be_asked_for(pictures: Path, store: SiteStore) -> None:
    said("site", "new", "here")
    strange = labels(pictures, "strange.csv", {"basophil": "hairy_cell"})
    learn = ("site", "learn", "here", "--stream", "wbc", "--labels", strange)
    refused = run(*learn)
    assert isinstance(refused.exception, ConfigError)
    assert "--new-class hairy_cell" in str(refused.exception)
    few = run(*learn, "--new-class", "hairy_cell")
    assert isinstance(few.exception, ConfigError)
    assert "4 cells" in str(few.exception)
    for taken in ("blast", "Hairy Cell", "unknown"):
        assert isinstance(run(*learn, "--new-class", taken).exception, ConfigError)
    assert store.versions("here") == [0]


def test_a_profile_goes_to_another_machine(store: SiteStore, pictures: Path, tmp_path: Path) -> None:
    said("site", "new", "here")
    said("site", "learn", "here", "--stream", "rbc", "--unlabelled", FIELDS, "--mpp", MPP)
    identity = store.load("here").identity
    file = tmp_path / "here.site.npz"
    assert "bytes" in said("site", "export", "here", file)
    assert "removed" in said("site", "remove", "here")
    assert "taken in" in said("site", "import", file)
    assert store.load("here").identity == identity
    assert store.load("here").streams["rbc"].head is None
    assert "the network's own" in said("site", "use", "here")


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("site", "new", "../up"), "not a name"),
        (("site", "learn", "nowhere", "--stream", "wbc", "--unlabelled", "."), "no such site"),
        (("site", "evaluate", "nowhere"), "no such site"),
        (("site", "use", "nowhere"), "no such site"),
        (("analyze", str(FIELDS), "-o", "/nonexistent", "--site", "nowhere"), "no such site"),
        (("serve", "--data", "/nonexistent", "--site", "nowhere"), "no such site"),
        (("daemon", "--config", "/nonexistent.yaml", "--site", "nowhere"), "no such site"),
    ],
)
def test_what_is_not_there_is_told(args: tuple[str, ...], word: str) -> None:
    failed = run(*args)
    assert isinstance(failed.exception, ConfigError)
    assert word in str(failed.exception)


def test_nothing_to_learn_from_is_a_fault_of_usage() -> None:
    said("site", "new", "here")
    assert run("site", "learn", "here", "--stream", "wbc").exit_code == 2


def test_small_groups_are_put_together_and_every_cell_is_in_one_slide() -> None:
    groups = ["a"] * 70 + ["b"] * 10 + [""] * 100 + ["c"] * 30 + ["d"] * 25
    dealt = slides_of(groups, 50)
    assert sorted(np.concatenate(dealt).tolist()) == list(range(len(groups)))
    assert min(map(len, dealt)) >= 50
    assert len(dealt) == 3
    assert [rows.tolist() for rows in slides_of(["x"] * 3, 50)] == [[0, 1, 2]]


def test_no_label_leaves_a_class_possible_that_size_alone_tells() -> None:
    names = load_taxonomy("rbc").names
    for label in ("healthy", "uninfected", "round", "macrocyte", "normal"):
        allowed = allowed_by("rbc")(label, names)
        assert allowed.any()
        assert not allowed[[names.index("macrocyte"), names.index("microcyte")]].any()
    assert allowed_by("wbc")("neutrophil", load_taxonomy("wbc").names).sum() == 2


def test_control_limits_are_shown_and_drawn_anew(store: SiteStore) -> None:
    store.create("tehran")
    readings = Readings(store.folder("tehran"))
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    for n in range(13):
        figures = {"ground_red": 230.0 + n % 3, "focus": 5.0 if n < 12 else 1.0}
        readings.add(Reading(f"slide-{n}", begun + timedelta(days=n), {}, figures))
    shown = said("site", "watch", "tehran")
    assert "ground_red" in shown
    assert shown.splitlines()[-1] == "2026-01-13 00:00  slide-12  focus"
    assert "within limits" in shown.splitlines()[-2]
    assert "drawn anew" in said("site", "watch", "tehran", "--restart")
    assert said("site", "watch", "tehran") == "tehran: 0 slides so far; limits are drawn on 12\n"


def test_a_slide_is_read_again_without_running_it(pictures: Path, store: SiteStore, tmp_path: Path) -> None:
    said("site", "new", "here")
    said("site", "learn", "here", "--stream", "wbc", "--labels", labels(pictures, "labels.csv"))
    keep = ("--set", "classify_wbc.keep_features=true")
    said("analyze", FIELDS / "pbc-basophil.png", "-o", tmp_path / "alone", "--json", *keep)
    shown = said("site", "reread", "here", tmp_path / "alone" / "pbc-basophil")
    said("site", "use", "here")
    said("analyze", FIELDS / "pbc-basophil.png", "-o", tmp_path / "with", "--json", "--site", "here")
    report = json.loads((tmp_path / "with" / "pbc-basophil" / "report.json").read_text())
    counts = report["wbc_differential"]["distribution"]
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines()[2:]}
    assert rows["unknown"][-1] == str(report["wbc_differential"]["unknown"])
    for label, count in counts.items():
        assert str(count) in rows[label]


def test_without_kept_features_it_is_said_how_to_keep_them(store: SiteStore, tmp_path: Path) -> None:
    store.create("here")
    failed = run("site", "reread", "here", tmp_path).exception
    assert isinstance(failed, InputError)
    assert "keep_features=true" in failed.remedy
