"""A scale on the command line."""

from __future__ import annotations

from typing import Any

import click

from hema_stream.core.units import LEAST_MPP, MOST_MPP, believable_mpp


class Microns(click.FloatRange):
    """Microns a pixel that a microscope can have; a magnification or nanometres are none."""

    def __init__(self) -> None:
        super().__init__(LEAST_MPP, MOST_MPP)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Turn text into a scale; a usage error where it can be none, not a number included."""
        mpp = float(super().convert(value, param, ctx))
        if not believable_mpp(mpp):
            self.fail(f"{value} is no number of microns a pixel", param, ctx)
        return mpp


MPP = Microns()
