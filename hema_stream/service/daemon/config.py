"""The daemon's configuration: a YAML file, checked whole, every fault with its line and key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from hema_stream.core.configs import load_config
from hema_stream.core.errors import ConfigError
from hema_stream.core.faults import Document, FaultyConfigError
from hema_stream.core.units import LEAST_MPP, MOST_MPP
from hema_stream.service.part import Part
from hema_stream.service.quantities import Seconds, Wait
from hema_stream.service.settings import LIMITS, ServiceLimits, ServiceSettings


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path: a daemon has no folder of its own to start from")
    return path


Place = Annotated[Path, AfterValidator(_absolute)]


class TlsConfig(Part):
    """Certificate chain and private key, PEM."""

    certificate: Place
    key: Place


class ListenConfig(Part):
    """Where the service listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    tls: TlsConfig | None = None


class FolderConfig(Part):
    """A watched folder.

    Attributes:
        mpp: microns a pixel of its images, where they do not say so themselves.
        ahead: files that may be claimed and not have ended; the others stay where they are.
    """

    path: Place
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    mpp: Annotated[float, Field(ge=LEAST_MPP, le=MOST_MPP)] | None = None
    ahead: Annotated[int, Field(ge=1, le=1000)] = 8


class StopConfig(Part):
    """Seconds: what is under way gets to end by itself, and after which the process is gone whatever happens."""

    finish: Wait = 10.0
    within: Seconds = 30.0


class DaemonConfig(Part):
    """A daemon. ``limits`` lies over configs/service.yaml."""

    data: Place
    listen: ListenConfig = ListenConfig()
    profile: str = "edge"
    settings: tuple[str, ...] = ()
    roots: tuple[Place, ...] = ()
    origins: tuple[str, ...] = ()
    database: str = ""
    site: str | None = None
    folders: tuple[FolderConfig, ...] = ()
    stop: StopConfig = StopConfig()
    retry: Seconds = 10.0
    limits: ServiceLimits

    def service(self) -> ServiceSettings:
        """The same as the service is told it."""
        return ServiceSettings(
            data=self.data,
            roots=self.roots,
            folders=tuple(folder.path for folder in self.folders),
            origins=self.origins,
            profile=self.profile,
            settings=self.settings,
            database=self.database,
            site=self.site,
            limits=self.limits,
        )


def read_config(path: Path) -> tuple[DaemonConfig, Document]:
    """Read a configuration; whether its paths lead anywhere is not looked at.

    Raises:
        FaultyConfigError: names line and key of each fault.
        ConfigError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", place=str(path), remedy="name a readable file") from error
    document = Document(str(path), text)
    values = {**document.values, "limits": _laid_over(load_config(LIMITS), document.values.get("limits", {}))}
    try:
        return DaemonConfig.model_validate(values), document
    except ValidationError as error:
        raise FaultyConfigError(document.name, document.faults(error)) from error


def _laid_over(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    laid = {key: _laid_over(below[key], value) if key in below else value for key, value in above.items()}
    return {**below, **laid}
