"""What named the cells reaches the counts, who follows, and the result."""

from __future__ import annotations

import numpy as np
from hema_stages.aggregate.tally import Tally
from smear import calibration, mixed, slide

from hema_stream.core.cells import CellTable, Kind
from hema_stream.core.crops import Labels
from hema_stream.core.delta import CellDelta
from hema_stream.core.rates import ClassRates, Rate
from hema_stream.core.site_use import SiteUse, StreamUse
from hema_stream.core.slide import Scale, ScaleSource
from hema_stream.core.taxonomy import CellClass, load_taxonomy
from hema_stream.core.tile import TilePlan
from hema_stream.flow import Caps

NONE = np.zeros((0, 2), np.int32)


def test_a_sites_own_classes_are_counted_by_their_names() -> None:
    """They come with the caps of the classifier's pad, after the slide was opened."""
    stage, image = Tally("tally"), slide()
    caps = Caps(
        "any",
        slide=image,
        plan=TilePlan(image.width, image.height, Scale(0.25, ScaleSource.GIVEN)),
        calibration=calibration(),
    )
    _, state = stage.negotiate_pad("sink", caps, None)
    own = load_taxonomy("rbc").extended([CellClass.of_site("acanthocyte", "Acanthocyte", "#112233")])
    rates = {"rbc": {"sickle": ClassRates(Rate(1, 9), None, 0)}}
    use = SiteUse("ward", 3, "a" * 64, {"rbc": StreamUse(True, 25, 0.9)})
    caps = caps.with_(models={"classify_rbc": "ab"}, taxonomies={"rbc": own}, rates=rates, site=use)
    sent, state = stage.negotiate_pad("labels_rbc", caps, state)
    assert sent is None
    cells = mixed(400).cells
    red = cells.take(np.flatnonzero((cells.kind == Kind.RBC) & (cells.clump == 0)))
    stage.process(CellDelta(red, NONE, red.keys, NONE, {0: "analysed"}), state)
    best = np.where(np.arange(len(red)) < 5, len(own.names) - 1, 0).astype(np.int16)
    probabilities = np.eye(len(own.names), dtype=np.float32)[best]
    _, told = stage.process(Labels("rbc", red.keys, probabilities, best, np.zeros(len(red), bool)), state)
    assert told.counts["rbc/acanthocyte"] == 5
    assert told.naming.taxonomy("rbc") == own
    for tile in state.ledger.open():
        stage.process(CellDelta(CellTable.empty(), NONE, NONE, NONE, {tile: "background"}), state)
    ((_, result),) = stage.finish(state)
    assert (result.rates, result.site, result.taxonomy("rbc")) == (rates, use, own)
