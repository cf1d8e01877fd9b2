"""The site that a command was told to use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
