"""Classify: padded batches, a second look at cells in doubt, colours by the slide, and what a site corrects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hema_models.normalising import density_table, normalise
from hema_models.site.choice import Choice
from hema_models.site.learn import learn
from hema_models.site.profile import OwnClass, Profile
from hema_models.site.reviewed import Reviewed
from hema_models.site.statistics import slide_statistics
from hema_models.site.store import SiteStore
from hema_stages.classify import Classify
from smear import calibration

from hema_stream.core.crops import Crops
from hema_stream.core.errors import ConfigError, ModelError
from hema_stream.core.taxonomy import load_taxonomy
from hema_stream.flow import Caps

NAMES = load_taxonomy("wbc").names


class Doubtful:
    """A network that is sure of bright crops alone; it keeps the sizes of its batches."""

    batch, identity = 4, "doubtful"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        self.batches.append(len(pixels))
        logits = np.zeros((len(pixels), 12), np.float32)
        logits[:, 2] = np.where(pixels[:, 0, 0, 0] > 100, 9.0, 0.1)
        return logits, np.zeros((len(pixels), 8), np.float32)


@pytest.mark.parametrize(("level", "calls"), [(200, 1), (10, 4)])
def test_white_cells_in_doubt_are_asked_in_their_mirror_images(level: int, calls: int) -> None:
    stage = Classify("classify_wbc", stream="wbc", max_batch=4)
    stage.start()
    network = Doubtful()
    stage._network = network
    shown = crops([(level, level, level)] * 3)
    [labels] = stage.process_batch([shown], [stage.negotiate(Caps("image/crops"))[1]])
    assert network.batches == [4] * calls  # three cells upright, then nine mirror images
    assert len(labels.best) == 3
    np.testing.assert_allclose(labels.probabilities.sum(axis=1), 1, rtol=1e-5)


class Levels:
    """A network whose features are a crop's colours, and to which every cell is a monocyte; it keeps what it sees."""

    batch = 8

    def __init__(self, identity: str = "levels") -> None:
        self.identity = identity
        self.shown: list[np.ndarray] = []

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        self.shown.append(pixels)
        logits = np.zeros((len(pixels), len(NAMES)), np.float32)
        logits[:, NAMES.index("monocyte")] = 3.0
        return logits, features_of(pixels)


def features_of(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels[:, 80, 80] / 32.0, np.float32)


def crops(colours: list[tuple[int, int, int]], stream: str = "wbc") -> Crops:
    side, count = {"wbc": 176, "rbc": 96}[stream], len(colours)
    pixels = np.tile(np.array(colours, np.uint8)[:, None, None], (1, side, side, 1))
    keys = np.stack([np.zeros(count), np.arange(count)], axis=1).astype(np.int32)
    return Crops(stream, pixels, keys, np.ones(count, np.float32))


def started(network: Levels, monkeypatch: pytest.MonkeyPatch, **properties: object) -> Classify:
    monkeypatch.setattr("hema_models.backends.open_network", lambda *_, **__: network)
    stage = Classify("classify_wbc", **{"stream": "wbc", "max_batch": 8, **properties})
    stage.start()
    return stage


COLOURS = {"lymphocyte": (60, 40, 160), "eosinophil": (200, 90, 60), "hairy_cell": (40, 160, 90)}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A site that knows three colours by ten cells each, and one slide of a hundred cells."""
    monkeypatch.setenv("HEMA_STREAM_SITES", str(tmp_path))
    rng = np.random.default_rng(0)
    labels = np.repeat(list(COLOURS), 10)
    shown = np.array([COLOURS[name] for name in labels]) + rng.integers(-8, 9, (30, 3))
    features = np.asarray(shown / 32.0, np.float16)
    answers = np.full((30, len(NAMES)), np.log(0.01), np.float32)
    answers[:, NAMES.index("monocyte")] = np.log(0.89)
    reviewed = Reviewed(features, answers, labels, np.arange(30).astype(str))
    slide = slide_statistics(np.tile(features, (4, 1)), np.exp(np.tile(answers, (4, 1))))
    store = SiteStore()
    own = [OwnClass("hairy_cell", "Hairy cell")]
    store.save(learn(store.create("here"), "wbc", "levels", NAMES, reviewed, [slide], _allowed, own))
    store.use("here", 1)
    return "here"


def _allowed(label: str, names: list[str]) -> np.ndarray:
    return np.array([name == label for name in names])


def test_a_site_names_cells_its_own_way_and_the_caps_say_so(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = crops(list(COLOURS.values()))
    alone = started(Levels(), monkeypatch)
    [before] = alone.process_batch([shown], [alone.negotiate(Caps("image/crops"))[1]])
    assert {NAMES[b] for b in before.best} == {"monocyte"}
    stage = started(Levels(), monkeypatch, site=site)
    caps, state = stage.negotiate(Caps("image/crops"))
    taxonomy = caps.taxonomies["wbc"]
    [labels] = stage.process_batch([shown], [state])
    assert [taxonomy.names[b] for b in labels.best] == list(COLOURS)
    assert taxonomy.names[-1] == "hairy_cell"
    np.testing.assert_allclose(labels.probabilities.sum(axis=1), 1, rtol=1e-4)
    assert (caps.site.name, caps.site.version, caps.site.calibrated) == ("here", 1, ("wbc",))
    assert caps.site.identity == SiteStore().load("here").identity
    assert "site" not in alone.negotiate(Caps("image/crops"))[0]


def test_how_cells_are_batched_changes_no_name(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    colours = [tuple(int(v) for v in row) for row in rng.integers(0, 255, (11, 3))]
    stage = started(Levels(), monkeypatch, site=site)
    state = stage.negotiate(Caps("image/crops"))[1]
    [whole] = stage.process_batch([crops(colours)], [state])
    parts = stage.process_batch([crops(colours[:4]), crops(colours[4:])], [state, state])
    np.testing.assert_array_equal(np.concatenate([p.probabilities for p in parts]), whole.probabilities)


@pytest.mark.parametrize(("change", "elsewhere"), [(0, False), (90, True)])
def test_at_its_end_a_slide_is_compared_with_the_site(
    site: str, change: int, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = started(Levels(), monkeypatch, site=site)
    state = stage.negotiate(Caps("image/crops"))[1]
    rng = np.random.default_rng(2)
    base = np.repeat(list(COLOURS.values()), 10, axis=0) + rng.integers(-8, 9, (30, 3)) + [0, 0, change]
    stage.process_batch([crops([tuple(row) for row in base.clip(0, 255).tolist()])], [state])
    caps = stage.finish(state)
    assert caps is not None
    assert caps.site.streams["wbc"].distance is not None
    assert bool(caps.site.elsewhere) is elsewhere


def test_a_few_cells_are_not_compared(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = started(Levels(), monkeypatch, site=site)
    state = stage.negotiate(Caps("image/crops"))[1]
    stage.process_batch([crops([(0, 255, 0)] * 5)], [state])
    caps = stage.finish(state)
    assert caps is not None
    assert caps.site.streams["wbc"].distance is None


def test_a_site_that_was_learnt_with_another_network_or_is_off_is_refused(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="site learn here"):
        started(Levels("another"), monkeypatch, site=site)
    SiteStore().use(site, None)
    with pytest.raises(ConfigError, match="site use here"):
        started(Levels(), monkeypatch, site=site)


def test_a_site_that_knows_only_the_other_stream_changes_nothing(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SiteStore()
    store.save(Profile("here", 2, {}))
    store.use("here", 2)
    stage = started(Levels(), monkeypatch, site=site)
    caps, state = stage.negotiate(Caps("image/crops"))
    [labels] = stage.process_batch([crops([(60, 40, 160)])], [state])
    assert NAMES[labels.best[0]] == "monocyte"
    assert caps.site.calibrated == ()


def test_features_are_kept_only_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = crops([(60, 40, 160), (200, 90, 60)])
    for keep in (False, True):
        stage = started(Levels(), monkeypatch, keep_features=keep)
        [labels] = stage.process_batch([shown], [stage.negotiate(Caps("image/crops"))[1]])
        assert (labels.features is not None) is keep
        if labels.features is not None:
            np.testing.assert_allclose(labels.features, features_of(shown.pixels), rtol=1e-3)


def test_slides_in_one_batch_are_each_brought_to_one_density_by_their_own_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = Levels()
    stage = started(network, monkeypatch)
    stage._card = stage._card.model_copy(update={"colours": "density", "views": 1})
    grounds = [np.array(ground, np.uint8) for ground in ((230, 220, 200), (180, 190, 150))]
    red_cells = [np.array([0.1, 0.2, 0.1], np.float32), None]
    slides = [calibration(background=g, red_cell=r) for g, r in zip(grounds, red_cells, strict=True)]
    states = [stage.negotiate(Caps("image/crops", calibration=slide))[1] for slide in slides]
    items = [crops([(150, 90, 160)]), crops([(150, 90, 160), (60, 60, 60)])]
    stage.process_batch(items, states)
    wanted = [
        normalise(item.pixels, density_table(ground, red))
        for item, ground, red in zip(items, grounds, red_cells, strict=True)
    ]
    np.testing.assert_array_equal(network.shown[0][:3], np.concatenate(wanted))
    assert not np.array_equal(network.shown[0][0], network.shown[0][1])


def test_slides_of_one_batch_are_named_each_by_the_site_it_was_told_of(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = crops(list(COLOURS.values()))
    stage = started(Levels(), monkeypatch, keep_features=True)
    plain_caps, plain = stage.negotiate(Caps("image/crops"))
    caps, told = stage.negotiate(Caps("image/crops", site_choice=Choice(site, 1)))
    alone, corrected, again = stage.process_batch([shown] * 3, [plain, told, plain])
    names = caps.taxonomies["wbc"].names
    assert [names[b] for b in corrected.best] == list(COLOURS)
    assert {NAMES[b] for b in alone.best} == {NAMES[b] for b in again.best} == {"monocyte"}
    assert ("site" in plain_caps, caps.site.version) == (False, 1)
    assert corrected.answers is not None
    np.testing.assert_array_equal(alone.answers, corrected.answers)  # the network's own, whatever the site
    np.testing.assert_allclose(np.exp(corrected.answers), alone.probabilities, atol=2e-6)
    assert caps.networks == {"wbc": "levels"}


def test_a_choice_that_was_learnt_with_another_network_is_refused(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = started(Levels("another"), monkeypatch)
    with pytest.raises(ModelError, match="site learn here"):
        stage.negotiate(Caps("image/crops", site_choice=Choice(site, 1)))
    assert stage.negotiate(Caps("image/crops"))[1].namer.site is None
