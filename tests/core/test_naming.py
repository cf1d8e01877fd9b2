"""What several classifiers tell of their names, put together."""

from __future__ import annotations

from hema_stream.core.naming import Naming
from hema_stream.core.rates import ClassRates, Rate
from hema_stream.core.site_use import SiteUse, StreamUse
from hema_stream.core.taxonomy import CellClass, load_taxonomy

HAIRY = CellClass.of_site("hairy_cell", "Hairy cell", "#112233")
WHITE = load_taxonomy("wbc").extended([HAIRY])
RATES = {"blast": ClassRates(Rate(1, 100), Rate(3, 4), 2)}


def use(stream: str, identity: str = "a" * 64) -> SiteUse:
    return SiteUse("ward", 3, identity, {stream: StreamUse(True, 25, 0.9)})


def test_without_being_told_the_shipped_classes_stand() -> None:
    made = Naming()
    assert made.taxonomy("wbc") is load_taxonomy("wbc")
    assert (made.rates_of("rbc"), made.site, made.own_classes("rbc")) == ({}, None, frozenset())


def test_caps_that_tell_nothing_change_nothing() -> None:
    made = Naming(site=use("rbc"))
    assert made.joined({"slide": "a", "models": {}}) is made


def test_both_classifiers_of_a_site_are_joined() -> None:
    red = Naming().joined({"rates": {"rbc": {}}, "site": use("rbc")})
    made = red.joined({"rates": {"wbc": RATES}, "taxonomies": {"wbc": WHITE}, "site": use("wbc")})
    assert made.site is not None
    assert made.site.calibrated == ("rbc", "wbc")
    assert made.taxonomy("wbc").names[-1] == "hairy_cell"
    assert made.own_classes("wbc") == {"hairy_cell"}
    assert made.taxonomy("rbc") is load_taxonomy("rbc")
    assert made.rates == {"rbc": {}, "wbc": RATES}


def test_another_version_of_a_site_takes_the_place_of_the_one_before() -> None:
    made = Naming(site=use("rbc")).joined({"site": use("wbc", "b" * 64)})
    assert made.site == use("wbc", "b" * 64)
