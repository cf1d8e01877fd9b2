"""Plan: which tiles there are, and which hold nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hema_stream.core.calibration import Calibration
from hema_stream.core.errors import InputCode, InputError
from hema_stream.core.slide import Slide
from hema_stream.core.tile import TilePlan
from hema_stream.flow import Caps, Gap, Policy, PropertyError, Transform, loop, prop


@dataclass
class _Planning:
    calibration: Calibration | None = None


class Plan(Transform[Slide, Any]):
    """Lay overlapping tiles at the canonical scale over the slide; name those under 5% tissue background."""

    accepts = Caps("image/slide")
    produces = Caps("image/tile")
    runs_on = loop()
    on_error = Policy.FAIL_SLIDE

    side: int = prop(1024, doc="side of a tile", unit="px", ge=256, le=4096)
    overlap: int = prop(160, doc="what neighbouring tiles share; 10 to 20% of the side", unit="px", ge=16)
    max_tiles: int = prop(200_000, doc="tiles of a slide; one of more is refused", ge=1)
    least_tissue: float = prop(0.05, doc="share of tissue under which a tile is background", ge=0.0, le=1.0)

    def __init__(self, name: str = "", **properties: Any) -> None:
        super().__init__(name, **properties)
        if not 0.1 <= self.overlap / self.side <= 0.2:
            raise PropertyError(f"{self.name}.overlap={self.overlap}: allowed is 10 to 20% of side={self.side}")

    def negotiate_pad(self, pad: str, caps: Caps, state: _Planning | None) -> tuple[Caps | None, _Planning]:
        """Keep the calibration, which comes in a second caps event once it is measured."""
        state = state or _Planning()
        state.calibration = caps.get("calibration")
        return None, state

    def process(self, slide: Slide, state: _Planning) -> Iterator[Any]:  # type: ignore[override]
        """Yield caps with the plan, then every tile's place, or a gap where there is nothing."""
        calibration = state.calibration
        assert calibration is not None
        plan = TilePlan(slide.width, slide.height, calibration.scale, self.side, self.overlap)
        if len(plan) > self.max_tiles:
            raise self._too_large(slide, plan)
        yield Caps("image/tile", slide=slide, calibration=calibration, plan=plan)
        for spec in plan:
            if calibration.foreground.share(plan.box(spec.index)) < self.least_tissue:
                yield Gap(spec.units, "under 5% tissue", "background")
            else:
                yield spec

    def _too_large(self, slide: Slide, plan: TilePlan) -> InputError:
        return InputError(
            f"{slide.width} x {slide.height} px of {plan.scale.mpp:g} um would make {len(plan):,} tiles",
            place=str(slide.path),
            remedy=f"check the scale, or raise {self.name}.max_tiles from {self.max_tiles:,}",
            code=InputCode.TOO_LARGE,
        )
