"""Microns a pixel as files tell it, kept where it can be true."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from hema_stages.readers.tiff_pages import ome_root
from hema_stream.core.units import LEAST_MPP

COARSEST = 2.0
"""Microns a pixel above which a file's own scale is doubted: it is a preview's or a printer's; a person may tell it."""

_MICRONS = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "mm": 1e3}
_CENTIMETRE, _INCH = 3, 2


def believable(across: float, down: float | None = None) -> float | None:
    """Keep a scale (microns a pixel) that a microscope can have and that is alike both ways."""
    if not LEAST_MPP <= across <= COARSEST:
        return None
    return across if down is None or abs(across - down) <= 0.05 * across else None


def png_scale(image: Any) -> float | None:
    """Take the scale of a PNG's pHYs chunk (pixels a metre; PIL gives them an inch)."""
    dpi = image.info.get("dpi")
    return believable(25_400.0 / dpi[0], 25_400.0 / dpi[1]) if dpi and dpi[0] and dpi[1] else None


def openslide_scale(properties: Any) -> float | None:
    """Take OpenSlide's microns a pixel."""
    try:
        across = float(properties["openslide.mpp-x"])
        return believable(across, float(properties.get("openslide.mpp-y", across)))
    except (KeyError, ValueError):
        return None


def tiff_scale(file: Any, page: Any) -> float | None:
    """Take the scale of a TIFF's picture: OME-XML first, then ImageJ's unit, then the page's resolution tags."""
    if file.is_ome:
        told = _ome_scale(file.ome_metadata or "")
        if told is not None:
            return told
    tags = page.tags
    across, down = _microns(tags.valueof("XResolution")), _microns(tags.valueof("YResolution"))
    if across is None:
        return None
    unit = _unit(file, page)
    return None if unit is None else believable(unit * across, unit * down if down else None)


def _unit(file: Any, page: Any) -> float | None:
    """Microns in the unit that the resolution tags count in."""
    if file.is_imagej:
        return _MICRONS.get(str((file.imagej_metadata or {}).get("unit", "")))
    named = page.tags.valueof("ResolutionUnit", _INCH)
    return {_INCH: 25_400.0, _CENTIMETRE: 10_000.0}.get(int(named))


def _microns(resolution: Any) -> float | None:
    """Turn a rational of pixels a unit into units a pixel."""
    try:
        pixels, units = resolution
        return float(units / pixels)
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _ome_scale(xml: str) -> float | None:
    """Read PhysicalSizeX and Y of the first image (OME model 2016-06)."""
    root = ome_root(xml)
    pixels = None if root is None else next((e for e in root.iter() if e.tag.endswith("}Pixels")), None)
    if pixels is None:
        return None
    across, down = (_physical(pixels, axis) for axis in "XY")
    return None if across is None else believable(across, down)


def _physical(pixels: ElementTree.Element, axis: str) -> float | None:
    unit = _MICRONS.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    try:
        return float(pixels.get(f"PhysicalSize{axis}", "")) * unit if unit else None
    except ValueError:
        return None
