"""Where profiles of sites lie: a folder a site, a file a version, and which version is in use."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from hema_models.site.profile import Profile, from_bytes, read_profile, to_bytes
from hema_stream.core.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
SUFFIX = ".site.npz"
IN_USE = "in-use"


def sites_folder() -> Path:
    """``HEMA_STREAM_SITES``, or the user's data folder."""
    told = os.environ.get("HEMA_STREAM_SITES")
    if told:
        return Path(told)
    return Path(os.environ.get("XDG_DATA_HOME", "~/.local/share")).expanduser() / "hema-stream" / "sites"


class SiteStore:
    """Profiles of all sites on this machine.

    A version is written once, under a temporary name first, and never changed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._root = folder or sites_folder()

    def names(self) -> list[str]:
        """Sites that there are."""
        found = self._root.iterdir() if self._root.is_dir() else iter(())
        return sorted(path.name for path in found if path.is_dir() and NAME.fullmatch(path.name))

    def create(self, name: str) -> Profile:
        """Make an empty site, version 0.

        Raises:
            ConfigError: the name is not allowed, or taken.
        """
        folder = self.folder(name)
        if folder.exists():
            raise ConfigError("there is a site of this name", place=name, remedy="hema-stream site list")
        return self.save(Profile(name, 0))

    def save(self, profile: Profile) -> Profile:
        """Write a version; ConfigError where it is there already."""
        path = self._path(profile.name, profile.version)
        if path.exists():
            raise ConfigError("this version is there already", place=str(path), remedy="hema-stream site list")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, to_bytes(profile))
        return profile

    def versions(self, name: str) -> list[int]:
        """Versions of a site, oldest first; ConfigError where there is no such site."""
        folder = self.folder(name)
        if not folder.is_dir():
            known = ", ".join(self.names()) or "none"
            raise ConfigError("no such site", place=name, remedy=f"hema-stream site new {name}; known: {known}")
        return sorted(int(path.name.split(".")[0]) for path in folder.glob(f"[0-9]*{SUFFIX}"))

    def load(self, name: str, version: int | None = None) -> Profile:
        """Read a version, or the newest."""
        versions = self.versions(name)
        if version is not None and version not in versions:
            known = ", ".join(map(str, versions))
            raise ConfigError(f"no version {version}", place=name, remedy=f"known: {known}")
        return read_profile(self._path(name, versions[-1] if version is None else version))

    def in_use(self, name: str) -> int | None:
        """The version that a person switched on."""
        self.versions(name)
        try:
            return int((self.folder(name) / IN_USE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def use(self, name: str, version: int | None) -> None:
        """Switch a version on; None switches the site off."""
        marker = self.folder(name) / IN_USE
        if version is None:
            self.versions(name)
            marker.unlink(missing_ok=True)
            return
        self.load(name, version)
        write_whole(marker, f"{version}\n".encode())

    def export(self, name: str, target: Path, version: int | None = None) -> Profile:
        """Copy a version to a file."""
        profile = self.load(name, version)
        write_whole(target, to_bytes(profile))
        return profile

    def take(self, source: Path, name: str | None = None) -> Profile:
        """Take a file that ``export`` wrote in as a site; it is not switched on.

        Raises:
            ModelError: it is no profile, or altered. ConfigError: there is such a version already.
        """
        profile = read_profile(source)
        taken = Profile(name or profile.name, profile.version, profile.streams)
        return self.save(taken)

    def remove(self, name: str) -> None:
        """Remove a site with all its versions."""
        self.versions(name)
        shutil.rmtree(self.folder(name))

    def every(self) -> Iterator[tuple[str, list[int], int | None]]:
        """Walk sites, their versions and the one in use."""
        for name in self.names():
            yield name, self.versions(name), self.in_use(name)

    def folder(self, name: str) -> Path:
        """Where a site lies; ConfigError where it cannot be a name."""
        if not NAME.fullmatch(name) or ".." in name:
            remedy = "letters, digits, dot, dash and underscore, at most 64"
            raise ConfigError("not a name of a site", place=name, remedy=remedy)
        return self._root / name

    def _path(self, name: str, version: int) -> Path:
        return self.folder(name) / f"{version:04d}{SUFFIX}"


def find_profile(site: str) -> Profile:
    """The version in use of a site, or a profile's file.

    Raises:
        ConfigError: no such site, or none of its versions is switched on.
    """
    if site.endswith(SUFFIX):
        return read_profile(Path(site))
    store = SiteStore()
    version = store.in_use(site)
    if version is None:
        raise ConfigError("no version of this site is switched on", place=site, remedy=f"hema-stream site use {site}")
    return store.load(site, version)


def parse(content: bytes, place: str) -> Profile:
    """Read a profile that came over a wire."""
    return from_bytes(content, place)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all."""
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    with partial.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    partial.replace(path)
