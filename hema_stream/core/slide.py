"""The slide: what was opened, how large it is and at which scale."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hema_stream.core.units import CANONICAL_MPP

UPRIGHT = 1
"""Orientation (Exif 2.32 and TIFF 6.0, tag 274) of what is stored as it is seen."""


class ScaleSource(StrEnum):
    """Where the microns a pixel come from."""

    METADATA = "metadata"
    GIVEN = "given"
    ESTIMATED = "estimated"
    ASSUMED = "assumed"

    @property
    def measured(self) -> bool:
        """Whether sizes in microns may be reported from it."""
        return self in (ScaleSource.METADATA, ScaleSource.GIVEN)


@dataclass(frozen=True)
class InputImage:
    """One image that was asked for.

    Attributes:
        id: name of its result folder; unique within a run.
        path: the file.
        mpp: microns a pixel told by the caller, or None.
        parts: the other files of a slide of several, all submitted with it. A file that names others is read only with
            all of them here, so that what somebody uploads opens no other file of the machine.
    """

    id: str
    path: Path
    mpp: float | None = None
    parts: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Level:
    """One resolution of a pyramid: its size in pixels and how much smaller it is than level 0."""

    width: int
    height: int
    downsample: float


@dataclass(frozen=True)
class Slide:
    """A validated image.

    Attributes:
        id: as ``InputImage.id``.
        path: the file.
        width, height: level-0 pixels.
        mpp: microns a level-0 pixel, or None where the file does not tell.
        scale_source: where ``mpp`` comes from; None while unknown.
        levels: largest first; one for a plain image.
        reader: ``plain`` (decoded whole), ``tiled`` (TIFF tiles by index), ``openslide`` or
            ``fields`` (a folder of a scan's fields).
        warnings: codes that do not stop the analysis (``small``, ``no_scale``, ``alpha_dropped``).
        parts: as ``InputImage.parts``.
        orientation: how the levels of a tiled slide are stored (Exif's numbers); sizes here are upright.
    """

    id: str
    path: Path
    width: int
    height: int
    mpp: float | None
    scale_source: ScaleSource | None
    levels: tuple[Level, ...]
    reader: str
    warnings: tuple[str, ...] = ()
    parts: tuple[Path, ...] = ()
    orientation: int = UPRIGHT


@dataclass(frozen=True)
class Scale:
    """The scale a slide is analysed at.

    Attributes:
        mpp: microns a level-0 pixel.
        source: where it comes from.
    """

    mpp: float
    source: ScaleSource

    @property
    def canonical(self) -> float:
        """Level-0 pixels a canonical pixel."""
        return CANONICAL_MPP / self.mpp
