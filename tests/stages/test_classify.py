"""Classify: padded batches, and a second look at cells in doubt where the card asks for it."""

from __future__ import annotations

import numpy as np
import pytest
from hema_stages.classify import Classify

from hema_stream.core.crops import Crops
from hema_stream.flow import Caps


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
    crops = Crops("wbc", np.full((3, 176, 176, 3), level, np.uint8), np.zeros((3, 2), np.int32), np.ones(3, np.float32), np.zeros(3, bool))
    [labels] = stage.process_batch([crops], [stage.negotiate(Caps("image/crops"))[1]])
    assert network.batches == [4] * calls  # three cells upright, then nine mirror images
    assert len(labels.best) == 3
    np.testing.assert_allclose(labels.probabilities.sum(axis=1), 1, rtol=1e-5)
