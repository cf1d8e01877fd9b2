"""Stages called by themselves, without runtime or loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hema_models.normalising import red_cell_density
from hema_stages.calibrate import Calibrate
from hema_stages.calibration.foreground import background_colour
from hema_stages.calibration.scale import estimate_mpp
from hema_stages.calibration.stain_fit import StainLimits, fit_macenko, fit_reinhard
from hema_stages.clean import Clean
from hema_stages.decode import Decode
from hema_stages.plan import Plan
from hema_stages.segment.stage import _priorities
from hema_stages.source import find_inputs, name_inputs, safe_stem
from hema_stages.stain import Stain, macenko, normalise, red_cells
from hema_stages.validate import Validate

from hema_stream.core.calibration import Calibration, Foreground, MacenkoFit, StainFit
from hema_stream.core.cells import CellTable, Kind, Priority
from hema_stream.core.configs import load_config
from hema_stream.core.errors import InputError
from hema_stream.core.segmented import Segmented
from hema_stream.core.slide import InputImage, Scale, ScaleSource
from hema_stream.core.tile import Tile, TilePlan, TileSpec
from hema_stream.flow import Caps, Gap, PropertyError

FIELDS = Path(__file__).parents[2] / "examples" / "fields"


def opened(name: str, mpp: float | None = None):
    slide = Validate("v").process(InputImage("x", FIELDS / name, mpp), None)
    caps, scaled = Calibrate("c").process(slide, None)
    return scaled, caps.calibration


class TestSource:
    def test_names_are_files_stems_with_a_hash_where_two_clash(self) -> None:
        named = name_inputs([Path("a/one.png"), Path("b/One.jpg"), Path("c/two é.png")], None)
        assert named[2].id == "two é"
        assert {n.id.split("-")[0] for n in named[:2]} == {"one", "One"}
        assert len({n.id for n in named}) == 3

    def test_nothing_that_a_folder_cannot_hold(self) -> None:
        assert safe_stem(Path("a/we:ird?.png")) == "we_ird_"
        assert safe_stem(Path("a/...png"))

    def test_folders_patterns_and_what_is_not_there(self, tmp_path: Path) -> None:
        for name in ("a.png", "b.jpg", "c.txt"):
            (tmp_path / name).touch()
        (tmp_path / "empty").mkdir()
        found, errors = find_inputs([str(tmp_path), str(tmp_path / "*.gif"), str(tmp_path / "empty")], 0.2)
        assert [f.path.name for f in found] == ["a.png", "b.jpg"]
        assert found[0].mpp == 0.2
        assert [e.code for e in errors] == ["not_found", "empty_folder"]


class TestCalibrate:
    def test_a_told_scale_is_kept_and_small_pictures_fit_no_stain(self) -> None:
        slide, calibration = opened("pbc-basophil.png")
        assert calibration.scale.source is ScaleSource.METADATA
        assert slide.mpp == pytest.approx(0.1389, rel=1e-3)
        assert (calibration.stain.method, calibration.stain.reason) == ("none", "small")

    def test_a_field_that_is_large_enough_fits_its_stain(self) -> None:
        _, calibration = opened("chula-106.png")
        assert calibration.stain.method == "macenko"
        assert calibration.stain.matrix.shape == (3, 2)
        np.testing.assert_allclose(np.linalg.norm(calibration.stain.matrix, axis=0), 1, atol=1e-5)

    @pytest.mark.parametrize("name", ["chula-106.png", "pbc-basophil.png"])
    def test_a_small_picture_tells_its_red_cells_as_training_measures_them(self, name: str) -> None:
        import cv2

        _, calibration = opened(name)
        pixels = cv2.imread(str(FIELDS / name))[..., ::-1]
        wanted = red_cell_density(pixels, calibration.background)
        np.testing.assert_array_equal(calibration.red_cell, wanted)
        assert (np.asarray(calibration.red_cell) > 0).all()

    def test_a_large_picture_tells_them_by_its_sampled_places(self, tmp_path: Path) -> None:
        import cv2

        pixels = np.tile(cv2.imread(str(FIELDS / "chula-106.png")), (4, 4, 1))
        cv2.imwrite(str(tmp_path / "large.png"), pixels)
        slide = Validate("v").process(InputImage("x", tmp_path / "large.png", 0.19), None)
        caps, _ = Calibrate("c").process(slide, None)
        wanted = red_cell_density(pixels[..., ::-1], caps.calibration.background)
        np.testing.assert_allclose(caps.calibration.red_cell, wanted, rtol=0.15)

    def test_a_scale_is_estimated_from_round_cells(self) -> None:
        import cv2

        pixels = cv2.imread(str(FIELDS / "chula-106.png"))[..., ::-1]
        assert estimate_mpp([np.ascontiguousarray(pixels)]) == pytest.approx(0.191, rel=0.2)
        assert estimate_mpp([np.full((300, 300, 3), 220, np.uint8)]) is None

    def test_background_is_what_the_eye_sees(self) -> None:
        _, calibration = opened("pbc-basophil.png")
        assert (calibration.background > 200).all()
        assert 0.2 < calibration.foreground.mask.mean() < 0.8


def calibration_of(mask: np.ndarray, step: float, **more: object) -> Calibration:
    stain = StainFit()
    defaults = {"background": np.array([230, 220, 225], np.uint8), "focus_threshold": 0.0, "focus": 50.0}
    return Calibration(Scale(0.25, ScaleSource.GIVEN), stain, foreground=Foreground(mask, step), **{**defaults, **more})


class TestPlan:
    def test_tiles_without_tissue_are_background(self) -> None:
        slide, _ = opened("chula-106.png")
        wide = type(slide)(**{**slide.__dict__, "width": 3000, "height": 1000, "mpp": 0.25})
        mask = np.zeros((10, 30), bool)
        mask[:, :8] = True
        stage = Plan("plan")
        _, state = stage.negotiate_pad("sink", Caps("image/slide", calibration=calibration_of(mask, 100.0)), None)
        caps, *rest = stage.process(wide, state)
        assert len(caps.plan) == len(rest) == 4
        assert [isinstance(item, Gap) for item in rest] == [False, True, True, True]
        assert rest[1].outcome == "background"

    def test_tiles_are_counted_before_they_are_planned(self) -> None:
        slide, _ = opened("chula-106.png")
        huge = type(slide)(**{**slide.__dict__, "width": 400_000, "height": 400_000, "mpp": 5.0})
        stage = Plan("plan")
        calibration = replace(calibration_of(np.ones((1, 1), bool), 1e6), scale=Scale(5.0, ScaleSource.GIVEN))
        _, state = stage.negotiate_pad("sink", Caps("image/slide", calibration=calibration), None)
        with pytest.raises(InputError, match="tiles") as caught:
            next(stage.process(huge, state))
        assert caught.value.code == "too_large"

    def test_overlap_is_10_to_20_percent(self) -> None:
        with pytest.raises(PropertyError, match="10 to 20%"):
            Plan("plan", overlap=60)


class TestDecode:
    def test_both_scales_of_a_tile_and_padding(self) -> None:
        slide, calibration = opened("chula-106.png")
        plan = TilePlan(slide.width, slide.height, calibration.scale)
        stage = Decode("decode", engine="plain")
        _, state = stage.negotiate(Caps("image/tile", slide=slide, calibration=calibration, plan=plan))
        tile = stage.process(plan.spec(0), state)
        assert tile.pixels.shape == (1024, 1024, 3)
        assert tile.fine_scale == pytest.approx(0.25 / slide.mpp)
        assert (tile.pixels[-5:, -5:] == calibration.background).all()
        stage.close(state)

    def test_out_of_focus_is_rejected(self) -> None:
        slide, calibration = opened("chula-106.png")
        blurred = type(calibration)(**{**calibration.__dict__, "focus_threshold": 1e9})
        plan = TilePlan(slide.width, slide.height, calibration.scale)
        stage = Decode("decode", engine="plain")
        _, state = stage.negotiate(Caps("image/tile", slide=slide, calibration=blurred, plan=plan))
        gap = stage.process(plan.spec(0), state)
        assert (gap.reason, gap.outcome, tuple(gap.units)) == ("low_quality", "rejected", (0,))


class TestStain:
    def test_a_slide_without_a_fit_passes_untouched(self) -> None:
        stage = Stain("stain")
        _, apply = stage.negotiate(Caps("image/tile", calibration=calibration_of(np.ones((1, 1), bool), 1.0)))
        tile = Tile(TileSpec(0, (0, 0, 8, 8), (0, 0, 8, 8), (False,) * 4), *[np.zeros((8, 8, 3), np.uint8)] * 2, 1.0)
        assert stage.process(tile, apply) is tile

    def test_a_stain_out_of_range_is_left_alone(self) -> None:
        fit = MacenkoFit(
            matrix=np.eye(3, 2, dtype=np.float32),
            strength=np.ones(2, np.float32),
            red_cells=np.full(3, 0.2, np.float32),
            in_range=False,
            reason="stain out of range",
        )
        calibration = replace(calibration_of(np.ones((1, 1), bool), 1.0), stain=fit)
        assert Stain("stain").negotiate(Caps("image/tile", calibration=calibration))[1] is None

    @pytest.mark.parametrize(
        ("method", "match"), [("macenko", "red_cells"), ("macenko", "stains"), ("reinhard", "red_cells")]
    )
    def test_two_stainings_of_one_field_come_closer(self, method: str, match: str) -> None:
        import cv2

        field = cv2.imread(str(FIELDS / "chula-106.png"))[..., ::-1]
        other = (255 * (field / 255.0) ** np.array([0.8, 1.1, 1.3])).astype(np.uint8)
        mapped = []
        for pixels in (np.ascontiguousarray(field), other):
            ground = background_colour(pixels)
            fit = fit_macenko(pixels, ground, StainLimits()) if method == "macenko" else fit_reinhard(pixels, ground)
            calibration = replace(calibration_of(np.ones((1, 1), bool), 1.0), stain=fit, background=ground)
            _, apply = Stain("stain", match=match).negotiate(Caps("image/tile", calibration=calibration))
            assert apply is not None
            mapped.append(apply(pixels).astype(float))
        before = np.abs(field.astype(float) - other).mean()
        assert np.abs(mapped[0] - mapped[1]).mean() < 0.5 * before

    def test_red_cells_and_ground_get_the_reference(self) -> None:
        reference = load_config("stain_reference.yaml")
        ground, density = np.array([200, 210, 180], np.uint8), np.array([0.2, 0.15, 0.08], np.float32)
        fit = MacenkoFit(matrix=np.eye(3, 2, dtype=np.float32), strength=np.ones(2, np.float32), red_cells=density)
        red = ((ground + 1.0) * 10**-density - 1).round().astype(np.uint8)
        mapped = red_cells(fit, ground)(np.stack([ground, red])[None])[0].astype(float)
        wanted = (np.array(reference["background"]) + 1) * 10 ** -np.array(reference["red_cells"]) - 1
        assert np.abs(mapped - [reference["background"], wanted]).max() <= 2

    def test_the_share_of_nuclei_in_the_sample_does_not_move_the_red_cells(self) -> None:
        rng = np.random.default_rng(0)
        ground = np.array([222, 215, 220], np.uint8)

        def sample(nuclei: int) -> np.ndarray:
            density = np.concatenate(
                [np.tile([0.1, 0.25, 0.12], (20_000 - nuclei, 1)), np.tile([0.6, 0.7, 0.3], (nuclei, 1))]
            )
            return ((ground + 1) * 10 ** -(density * rng.normal(1, 0.1, (20_000, 1))) - 1).clip(0, 255).astype(np.uint8)

        few, many = (fit_macenko(sample(n), ground, StainLimits()).red_cells for n in (100, 4_000))
        np.testing.assert_allclose(few, many, rtol=0.05)

    @pytest.mark.parametrize(
        ("channels", "said"),
        [((1, 1, 1), "one stain"), ((1, 0, 2), "not those of a Romanowsky"), ((0, 1, 2), "")],
    )
    def test_what_is_no_romanowsky_stain_is_told(self, channels: tuple[int, ...], said: str) -> None:
        import cv2

        field = cv2.imread(str(FIELDS / "chula-106.png"))[..., ::-1]
        pixels = np.ascontiguousarray(field[..., list(channels)])
        fit = fit_macenko(pixels, background_colour(pixels), StainLimits())
        assert said in fit.reason
        assert fit.in_range == (not said)

    def test_macenko_is_the_exact_mapping_within_a_grey_level(self) -> None:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (200, 300, 3), np.uint8)
        ground = np.array([230, 220, 225], np.uint8)
        own = np.array([[0.65, 0.1], [0.70, 0.85], [0.29, 0.5]], np.float32)
        fit = MacenkoFit(
            matrix=own / np.linalg.norm(own, axis=0),
            strength=np.array([1.2, 0.5], np.float32),
            red_cells=np.full(3, 0.2, np.float32),
        )
        reference = load_config("stain_reference.yaml")
        target, background = np.array(reference["matrix"]).T, np.array(reference["background"])
        density = -np.log((pixels + 1.0) / (ground + 1.0))
        amounts = density @ np.linalg.pinv(fit.matrix).T * (np.array(reference["strength"]) / fit.strength)
        exact = np.clip((background + 1) * np.exp(-amounts @ target.T) - 0.5, 0, 255).astype(np.uint8)
        assert np.abs(macenko(fit, ground)(pixels).astype(int) - exact).max() <= 1
        state = np.zeros((3, 256), np.float32), np.eye(3, dtype=np.float32), np.zeros((3, 8), np.uint8)
        np.testing.assert_array_equal(normalise(pixels[:2, :2], *state), 0)  # beyond the table is its last colour


def cells_of(**columns: list) -> CellTable:
    count = len(next(iter(columns.values())))
    base = {
        "tile": np.zeros(count, np.int32),
        "index": np.arange(count, dtype=np.int32),
        "kind": np.zeros(count, np.int8),
        "score": np.full(count, 0.9, np.float32),
        "boxes": np.tile([0.0, 0, 30, 30], (count, 1)),
        "centroid": np.full((count, 2), 15.0),
        "area": np.full(count, 700, np.float32),
        "solidity": np.full(count, 0.95, np.float32),
        "priority": np.full(count, Priority.OWNED, np.int8),
        "clump": np.zeros(count, np.int16),
        "vertices": np.zeros((3 * count, 2), np.int16),
        "starts": np.arange(0, 3 * count + 1, 3),
    }
    base |= {name: np.array(values, base[name].dtype) for name, values in columns.items()}
    return CellTable(**base)


class TestClean:
    def clean(self, cells: CellTable, **props: object) -> Segmented:
        stage = Clean("clean", **props)
        stage.start()
        tile = Tile(TileSpec(0, (0, 0, 8, 8), (0, 0, 8, 8), (False,) * 4), *[np.zeros((8, 8, 3), np.uint8)] * 2, 1.0)
        return stage.process(Segmented(tile, cells), None)

    def test_each_limit_removes_and_counts_by_reason(self) -> None:
        boxes = [[0, 0, 30, 30]] * 5 + [[0, 0, 60, 10]]
        out = self.clean(
            cells_of(
                boxes=boxes,
                score=[0.9, 0.4, 0.9, 0.9, 0.9, 0.9],
                area=[700, 700, 40, 60_000, 700, 400],
                solidity=[0.95, 0.95, 0.95, 0.95, 0.6, 0.95],
            )
        )
        assert out.cells.index.tolist() == [0]
        assert out.removed == {"low_score": 1, "too_small": 1, "too_large": 1, "solidity": 1, "aspect": 1}

    def test_platelets_may_be_smaller(self) -> None:
        out = self.clean(cells_of(area=[30, 30, 15], kind=[Kind.PLATELET, Kind.RBC, Kind.PLATELET]))
        assert out.cells.index.tolist() == [0]

    def test_edge_views_are_marked_not_dropped(self) -> None:
        out = self.clean(cells_of(area=[20, 20], solidity=[0.3, 0.3], priority=[Priority.EDGE, Priority.OWNED]))
        assert out.cells.index.tolist() == [0]

    def test_only_views_that_the_tile_owns_are_counted_as_removed(self) -> None:
        assert self.clean(cells_of(score=[0.1, 0.1], priority=[Priority.OWNED, Priority.WHOLE])).removed == {
            "low_score": 1
        }

    def test_a_clump_stays_with_an_estimate(self) -> None:
        out = self.clean(cells_of(area=[3500, 700], solidity=[0.5, 0.95]))
        assert out.cells.clump.tolist() == [5, 0]

    def test_thresholds_are_properties(self) -> None:
        assert len(self.clean(cells_of(score=[0.1]), score=0.05).cells) == 1


def test_priorities_of_views() -> None:
    spec = TileSpec(0, (0, 0, 1024, 1024), (0, 0, 944, 944), (False, False, True, True))
    boxes = np.array([[0, 0, 30, 30], [990, 100, 1020, 130], [950, 100, 980, 130]], np.float32)
    centres = (boxes[:, :2] + boxes[:, 2:]).astype(float) / 2
    assert _priorities(boxes, centres, spec, 10.0).tolist() == [Priority.OWNED, Priority.EDGE, Priority.WHOLE]


def test_too_little_tissue_fits_no_stain() -> None:
    fit = fit_macenko(np.full((100, 100, 3), 220, np.uint8), np.full(3, 221, np.uint8), StainLimits())
    assert (fit.method, fit.reason) == ("none", "too little tissue")
