"""A session on one slide: which cells are asked for, and what is learnt of their names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hema_models.site.labels import names_to_give
from hema_models.site.profile import OwnClass, Profile
from hema_models.site.session import LEAST_OF_A_SLIDE, Key, cells_to_name, learnt_from, origin_of, suggestions

from hema_stream.core.errors import InputError
from hema_stream.core.features import CellFeatures
from hema_stream.core.taxonomy import load_taxonomy

NAMES = load_taxonomy("wbc").names


def kept(count: int = 80) -> CellFeatures:
    """Cells that the network takes for one of three classes in turn, by the first three of their features."""
    rng = np.random.default_rng(count)
    features = 3 * np.eye(3, 12)[np.arange(count) % 3] + rng.normal(0, 0.3, (count, 12))
    answers = np.full((count, len(NAMES)), -9.0, np.float32)
    answers[:, :3] = features[:, :3] - np.log(np.exp(features[:, :3]).sum(axis=1, keepdims=True))
    keys = np.stack([np.zeros(count), np.arange(count)], axis=1).astype(np.int32)
    return CellFeatures("wbc", "net", np.arange(count, dtype=np.int32), keys, features.astype(np.float16), answers)


def named(cells: CellFeatures, rows: np.ndarray) -> dict[Key, str]:
    best, _ = suggestions(cells)
    return {(0, int(cells.keys[row, 1])): NAMES[best[row]] for row in rows}


def test_what_was_named_before_is_not_asked_again_and_nothing_is_left_out() -> None:
    cells, asked = kept(40), []
    for _ in range(4):
        before = {origin_of("s", (0, key)) for key in asked}
        asked += cells.keys[cells_to_name(cells, 12, before, "s"), 1].tolist()
    assert sorted(asked) == list(range(40))


def test_a_slide_tells_of_its_cells_at_large_once_and_only_if_it_has_enough() -> None:
    cells = kept(LEAST_OF_A_SLIDE)
    once = learnt_from(Profile("here", 0), "s", cells, named(cells, np.arange(12)))
    again = learnt_from(once, "s", cells, named(cells, np.arange(12, 20)))
    other = learnt_from(again, "t", cells, named(cells, np.arange(6)))
    part = [profile.streams["wbc"] for profile in (once, again, other)]
    assert [len(p.slides) for p in part] == [1, 1, 2]
    assert [len(p.reviewed) for p in part] == [12, 20, 26]
    few = kept(LEAST_OF_A_SLIDE - 1)
    assert learnt_from(Profile("here", 0), "s", few, named(few, np.arange(12))).streams["wbc"].slides == ()


def test_the_last_name_of_a_cell_stands() -> None:
    cells = kept()
    once = learnt_from(Profile("here", 0), "s", cells, named(cells, np.arange(12)))
    again = learnt_from(once, "s", cells, {(0, 3): "smudge"})
    reviewed = again.streams["wbc"].reviewed
    assert reviewed.labels[reviewed.origins.tolist().index("s#0/3")] == "smudge"
    assert len(reviewed) == 12


def test_what_another_network_told_is_let_go() -> None:
    cells = kept()
    once = learnt_from(Profile("here", 0), "s", cells, named(cells, np.arange(12)))
    part = learnt_from(once, "s", replace(cells, network="new"), named(cells, np.arange(6))).streams["wbc"]
    assert (part.network, len(part.reviewed), len(part.slides)) == ("new", 6, 1)


def test_cells_that_were_not_kept_and_other_classes_are_refused() -> None:
    cells = kept()
    with pytest.raises(InputError, match="7/1"):
        learnt_from(Profile("here", 0), "s", cells, {(7, 1): "monocyte"})
    with pytest.raises(InputError, match="other classes"):
        learnt_from(Profile("here", 0), "s", replace(cells, answers=cells.answers[:, :5]), {(0, 1): "monocyte"})


def test_every_class_a_network_tells_can_be_given_and_none_that_is_measured() -> None:
    white = dict(names_to_give("wbc", [OwnClass("hairy_cell", "Hairy cell")]))
    assert [*white] == [*NAMES, "neutrophil", "hairy_cell"]
    assert "macrocyte" not in dict(names_to_give("rbc"))
