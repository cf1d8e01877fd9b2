"""The site that a command was told to use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hema_stream.core.crops import Labels
    from hema_stream.core.taxonomy import Taxonomy


def site_taxonomy(stream: str, site: str | None) -> Taxonomy:
    """Classes of a stream, those of the site's own among them."""
    from hema_stream.core.taxonomy import load_taxonomy

    known = load_taxonomy(stream)
    if site is None:
        return known
    from hema_models.site.store import find_profile

    learnt = find_profile(site).streams.get(stream)
    return known if learnt is None else learnt.taxonomy(known)


def check_site(site: str | None) -> None:
    """Refuse a site that is not there or not switched on, before anything is loaded; ConfigError or ModelError."""
    if site is not None:
        from hema_models.site.store import find_profile

        find_profile(site)


def check_known(site: str | None) -> str:
    """Refuse a site that is not there; a service begins with one that is switched off, and what to say of that is told.

    Raises:
        ConfigError: no such site. ModelError: its version in use, or its file, cannot be read.
    """
    if site is None:
        return ""
    from hema_models.site.store import SUFFIX, SiteStore, find_profile

    if not site.endswith(SUFFIX) and SiteStore().in_use(site) is None:
        return f"site {site} is switched off: nothing is calibrated until a version is used"
    find_profile(site)
    return ""


def far_line(stream: str, site: str, labels: Sequence[Labels]) -> str:
    """How far these cells together lie from the site's own; empty where that cannot be told."""
    from hema_models.site.statistics import LEAST_TOLD, Gathering, distance
    from hema_models.site.store import find_profile

    learnt = find_profile(site).streams.get(stream)
    if learnt is None or not learnt.slides:
        return ""
    gathered = Gathering(len(learnt.statistics.mean), len(learnt.classes))
    for part in labels:
        if part.features is not None:
            gathered.add(part.features, part.probabilities[:, : len(learnt.classes)])
    found = distance(gathered.statistics(), learnt.statistics) if gathered.cells >= LEAST_TOLD else None
    if found is None:
        return ""
    said = "they look like another laboratory's" if found > learnt.limit else "they look like the site's own"
    return f"site {site}: these cells lie {found:.2f} deviations from it, limit {learnt.limit:.2f}: {said}"
