"""Which site a service reads its slides with: a file names it, so that it can change while the service runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hema_models.site.profile import Profile, read_profile
from hema_models.site.store import SUFFIX, SiteStore, write_whole
from hema_stream.core.errors import ConfigError


@dataclass(frozen=True)
class Choice:
    """What a slide is read with.

    Attributes:
        site: its name, or a profile's file; version: None for a file.
    """

    site: str
    version: int | None

    def profile(self) -> Profile:
        """Read it; ConfigError or ModelError where it cannot be."""
        if self.version is None:
            return read_profile(Path(self.site))
        return SiteStore().load(self.site, self.version)


def chosen_site(file: Path) -> str | None:
    """The site that a file names; None where there is no such file, or an empty one.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        remedy = "remove it, or switch a site on again"
        raise ConfigError(f"does not name a site: {error}", place=str(file), remedy=remedy) from error


def choose_site(file: Path, site: str | None) -> None:
    """Let a file name a site, or none."""
    if site is None:
        file.unlink(missing_ok=True)
    else:
        write_whole(file, f"{site}\n".encode())


def current_choice(file: Path) -> Choice | None:
    """The version in use of the site that a file names; None where it names none, or that site is switched off.

    Raises:
        ConfigError: there is no such site.
    """
    site = chosen_site(file)
    if site is None:
        return None
    if site.endswith(SUFFIX):
        return Choice(site, None)
    version = SiteStore().in_use(site)
    return None if version is None else Choice(site, version)
