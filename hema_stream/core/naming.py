"""What named a slide's cells: the classes of each stream, how they did elsewhere, and the site that corrects them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hema_stream.core.rates import Rates
from hema_stream.core.site_use import SiteUse
from hema_stream.core.taxonomy import Taxonomy, load_taxonomy


@dataclass(frozen=True)
class Naming:
    """What is known of the names by ``rbc`` and ``wbc``.

    Attributes:
        taxonomies: classes, a site's own among them; a stream that is not in it has the shipped ones.
        rates: how its classes did in laboratories left out of training.
        site: what the answers were calibrated to; None for no laboratory.
    """

    taxonomies: Mapping[str, Taxonomy] = field(default_factory=dict)
    rates: Mapping[str, Rates] = field(default_factory=dict)
    site: SiteUse | None = None

    def taxonomy(self, stream: str) -> Taxonomy:
        """The classes of a stream."""
        return self.taxonomies.get(stream) or load_taxonomy(stream)

    def rates_of(self, stream: str) -> Rates:
        """The rates of a stream; empty where nothing is known."""
        return self.rates.get(stream, {})

    def own_classes(self, stream: str) -> frozenset[str]:
        """Classes that the site taught."""
        return frozenset(self.taxonomy(stream).names) - frozenset(load_taxonomy(stream).names)

    def joined(self, caps: Mapping[str, Any]) -> Naming:
        """This and what the caps of a further classifier tell; itself where that is nothing."""
        if not {"taxonomies", "rates", "site"} & set(caps):
            return self
        return Naming(
            {**self.taxonomies, **caps.get("taxonomies", {})},
            {**self.rates, **caps.get("rates", {})},
            _joined(self.site, caps.get("site")),
        )


def _joined(known: SiteUse | None, told: SiteUse | None) -> SiteUse | None:
    """One site's use by two classifiers."""
    if known is None or told is None or known.identity != told.identity:
        return told or known
    return SiteUse(told.name, told.version, told.identity, {**known.streams, **told.streams})
