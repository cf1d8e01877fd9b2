"""Calibrate: what a slide's scale, stain, focus and ground are, measured once on samples and then frozen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_stages.calibration.focus import laplacian_variance
from hema_stages.calibration.foreground import background_colour, foreground_mask
from hema_stages.calibration.measuring import Measuring, red_cell_of
from hema_stages.calibration.scale import estimate_mpp
from hema_stages.calibration.stain_fit import LEAST_SIDE_UM
from hema_stages.calibration.surround import surround, without_surround
from hema_stages.readers import Reader, open_reader
from hema_stream.core.calibration import Calibration, Foreground, StainFit
from hema_stream.core.errors import InputCode
from hema_stream.core.slide import Scale, ScaleSource, Slide
from hema_stream.core.units import CANONICAL_MPP, believable_mpp
from hema_stream.flow import Caps, Policy, Transform, process, prop

WHITE = np.full(3, 255, np.uint8)


class Calibrate(Measuring, Transform[Slide, Slide]):
    """Measure a slide on up to nine sampled places and publish the result as caps.

    The scale is the file's or the caller's; else it is estimated from round red cells, else assumed and said so.
    """

    accepts = Caps("image/slide")
    produces = Caps("image/slide")
    runs_on = process(workers=1)
    on_error = Policy.FAIL_SLIDE
    deadline = 60.0

    places: int = prop(9, doc="sampled places", ge=1)
    place_um: float = prop(128.0, doc="side of a sampled place", unit="um", ge=16.0)
    overview: int = prop(1024, doc="longest side of the map of tissue", unit="px", ge=64)

    def process(self, slide: Slide, state: Any) -> Iterator[Any]:  # type: ignore[override]
        """Yield caps with the calibration, then the slide with its scale."""
        reader = open_reader(slide, "plain")
        try:
            calibration = self._measure(slide, reader)
        finally:
            reader.close()
        scaled = replace(slide, mpp=calibration.scale.mpp, scale_source=calibration.scale.source)
        yield Caps("image/slide", slide=scaled, calibration=calibration)
        yield scaled

    def _measure(self, slide: Slide, reader: Reader) -> Calibration:
        shrink = max(max(slide.width, slide.height) / self.overview, 1.0)
        view = (max(round(slide.width / shrink), 1), max(round(slide.height / shrink), 1))
        overview = reader.read((0, 0, slide.width, slide.height), view, WHITE)
        outside = surround(overview)
        ground = background_colour(overview[~outside])
        foreground = Foreground(foreground_mask(overview, ground) & ~outside, shrink)
        scale = self._scale(slide, reader, foreground, ground)
        patches = self._patches(slide, reader, foreground, ground, scale.mpp, CANONICAL_MPP)
        focus = float(np.median([laplacian_variance(patch) for patch in patches]))
        low = (InputCode.LOW_FOCUS.value,) if focus < self.low_focus else ()
        stain = self._stain(slide, scale, patches, ground)
        return Calibration(
            scale=scale,
            stain=stain,
            background=ground,
            focus_threshold=self.focus_share * focus,
            focus=focus,
            foreground=foreground,
            red_cell=red_cell_of([without_surround(overview, ground)] if shrink == 1.0 else patches, ground),
            warnings=(*slide.warnings, *low, *(() if stain.in_range else ("stain_out_of_range",))),
        )

    def _scale(self, slide: Slide, reader: Reader, foreground: Foreground, ground: NDArray[np.uint8]) -> Scale:
        if slide.mpp is not None and slide.scale_source is not None:
            return Scale(slide.mpp, slide.scale_source)
        native = self._patches(slide, reader, foreground, ground, self.assumed_mpp, self.assumed_mpp)
        estimated = estimate_mpp(native)
        if estimated is not None and believable_mpp(estimated):
            return Scale(estimated, ScaleSource.ESTIMATED)
        return Scale(self.assumed_mpp, ScaleSource.ASSUMED)

    def _stain(
        self, slide: Slide, scale: Scale, patches: list[NDArray[np.uint8]], ground: NDArray[np.uint8]
    ) -> StainFit:
        if self.method != "none" and min(slide.width, slide.height) * scale.mpp < LEAST_SIDE_UM:
            return StainFit(reason="small")
        return self.fit_stain(patches, ground)

    def _patches(
        self, slide: Slide, reader: Reader, foreground: Foreground, ground: NDArray[np.uint8], mpp: float, at_mpp: float
    ) -> list[NDArray[np.uint8]]:
        """Read the places with most tissue out of a regular grid, at ``at_mpp`` um a pixel, a black surround aside."""
        side = self.place_um / mpp
        boxes = [
            (x, y, min(x + side, slide.width), min(y + side, slide.height))
            for y in _starts(slide.height, side)
            for x in _starts(slide.width, side)
        ]
        boxes.sort(key=lambda box: -foreground.share(box))
        chosen = boxes[: self.places]
        sizes = [(round((b[2] - b[0]) * mpp / at_mpp), round((b[3] - b[1]) * mpp / at_mpp)) for b in chosen]
        read = (reader.read(box, (max(w, 1), max(h, 1)), ground) for box, (w, h) in zip(chosen, sizes, strict=True))
        return [without_surround(pixels, ground) for pixels in read]


def _starts(length: int, side: float, most: int = 12) -> list[float]:
    count = min(max(round(length / side), 1), most)
    room = max(length - side, 0.0)
    return [room * (i + 0.5) / count if count > 1 else room / 2 for i in range(count)]
