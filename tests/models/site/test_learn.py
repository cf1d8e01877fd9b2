"""Learning: versions, what is kept from one to the next, and what a class of the site's own needs."""

from __future__ import annotations

import numpy as np
import pytest
from hema_models.calibration import softmax
from hema_models.site.learn import learn
from hema_models.site.profile import MOST_SLIDES, OwnClass, Profile
from hema_models.site.reviewed import Reviewed, empty
from hema_models.site.statistics import SlideStatistics, slide_statistics
from site_world import CLASSES, FEATURES, Laboratory, allowed, laboratory

from hema_stream.core.errors import ModelError

HAIRY = OwnClass("hairy_cell", "Hairy cell")
NOBODY = empty(FEATURES, len(CLASSES))


def slides(place: Laboratory, count: int) -> list[SlideStatistics]:
    features = [place.cells(np.arange(6).repeat(10), seed) for seed in range(count)]
    return [slide_statistics(f, softmax(place.answers(f))) for f in features]


def taught(reviewed: Reviewed, more: list[SlideStatistics] | None = None, own: tuple[OwnClass, ...] = ()) -> Profile:
    return learn(Profile("here", 0), "wbc", "network", CLASSES, reviewed, more or [], allowed, own)


def test_the_order_of_the_cells_changes_nothing() -> None:
    reviewed = laboratory(2.5).reviewed(4, 1)
    shuffled = reviewed.take(np.random.default_rng(0).permutation(len(reviewed)))
    assert taught(reviewed).identity == taught(shuffled).identity


def test_cells_of_an_earlier_version_stay_and_a_corrected_name_stands() -> None:
    place = laboratory(2.5)
    first = taught(place.reviewed(4, 1))
    again = place.reviewed(4, 1)
    again.labels[0] = "blast"
    second = learn(first, "wbc", "network", CLASSES, again.joined(place.reviewed(2, 7)), [], allowed)
    kept = second.streams["wbc"].reviewed
    assert second.version == first.version + 1
    assert len(kept) == 36
    assert kept.labels[kept.origins.tolist().index(again.origins[0])] == "blast"


def test_what_another_network_told_is_let_go() -> None:
    place = laboratory(2.5)
    first = taught(place.reviewed(4, 1), slides(place, 3))
    second = learn(first, "wbc", "newer", CLASSES, place.reviewed(2, 7), [], allowed)
    assert len(second.streams["wbc"].reviewed) == 12
    assert second.streams["wbc"].slides == ()
    assert second.streams["wbc"].network == "newer"


def test_only_the_newest_slides_are_kept() -> None:
    place = laboratory(1.0)
    told = slides(place, MOST_SLIDES + 3)
    part = taught(NOBODY, told).streams["wbc"]
    assert part.slides == tuple(told[3:])
    assert part.statistics.slides == MOST_SLIDES
    assert part.head is None


def test_a_head_that_is_no_better_is_off_and_the_statistics_stay() -> None:
    reviewed = laboratory(0.0).reviewed(6, 1)
    reviewed.labels[:] = np.random.default_rng(0).permutation(reviewed.labels)
    part = taught(reviewed).streams["wbc"]
    assert part.judgement is not None
    assert part.judgement.better is (part.head is not None)
    assert np.isfinite(part.statistics.mean).all()


def test_a_class_of_ones_own_is_read_against_cells_at_large() -> None:
    place = laboratory(1.0, extra=1)
    hairy = place.reviewed(10, 1, (6,))
    part = taught(hairy, slides(place, 3), (HAIRY,)).streams["wbc"]
    assert part.head is not None
    assert part.head.newcomers == 1
    with pytest.raises(ModelError, match="--unlabelled"):
        taught(hairy, own=(HAIRY,))


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing"):
        taught(NOBODY)
