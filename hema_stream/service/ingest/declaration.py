"""What a scanner declares when it opens a slide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hema_stream.core.field import Grid, Scan
from hema_stream.core.units import LEAST_MPP, MOST_MPP
from hema_stream.service.ingest.limits import IngestLimits

Um = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Step = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e6)]
LEAST_SIDE = 64
LEAST_STEP = 0.25
"""Share of a field's side that the next one lies further; less would make every cell one of many fields."""


class DeclarationError(ValueError):
    """A scan that this service does not take.

    Attributes:
        code: stable, for programs.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GridOpening(_Part):
    """Fields in a regular grid, numbered row by row from the upper left; all lengths in um."""

    columns: int = Field(ge=1, le=100_000)
    rows: int = Field(ge=1, le=100_000)
    step_x: Step = Field(description="From one column to the next, um.")
    step_y: Step = Field(description="From one row to the next, um.")
    x: Um = Field(0.0, description="Upper left corner of the first column and row, um.")
    y: Um = 0.0
    snake: bool = Field(False, description="Whether every second row runs backwards.")


class WantedOpening(_Part):
    """Cells with a class after which there are `enough`; what is missing is the panel's."""

    wbc: int | None = Field(default=None, ge=0, le=1_000_000)
    rbc: int | None = Field(default=None, ge=0, le=10_000_000)


class Opening(_Part):
    """A slide that a scanner is going to send field by field."""

    name: str = Field(min_length=1, max_length=255)
    width: int = Field(ge=LEAST_SIDE, le=65_535, description="Of every field, pixels.")
    height: int = Field(ge=LEAST_SIDE, le=65_535)
    mpp: (
        Annotated[float, Field(ge=LEAST_MPP, le=MOST_MPP, allow_inf_nan=False, description="Microns a pixel.")] | None
    ) = None
    grid: GridOpening | None = None
    area: Annotated[list[Um], Field(min_length=4, max_length=4)] | None = Field(
        None, description="x0, y0, x1, y1 within which fields will lie, um; where there is no grid."
    )
    priority: int = Field(0, ge=-100, le=100, description="Higher ones go first; 0 is routine.")
    wanted: WantedOpening = Field(default_factory=WantedOpening)

    @model_validator(mode="after")
    def _one_of_grid_and_area(self) -> Opening:
        if (self.grid is None) is (self.area is None):
            raise ValueError("declare either a grid or an area")
        if self.area is not None and not (self.area[0] < self.area[2] and self.area[1] < self.area[3]):
            raise ValueError("area: x0 < x1 and y0 < y1")
        return self

    def scan(self, limits: IngestLimits, folder: Path | None = None) -> Scan:
        """The scan, with the window that its fields are given.

        Raises:
            DeclarationError: fields or area are larger than this service takes.
        """
        if self.width * self.height > limits.pixels:
            raise DeclarationError("size", f"a field has at most {limits.pixels} pixels here")
        if self.grid is not None and self.grid.columns * self.grid.rows > limits.fields:
            raise DeclarationError("fields", f"a scan has at most {limits.fields} fields here")
        grid, origin = None, (0.0, 0.0)
        if self.grid is not None:
            given = self.grid
            grid = Grid(given.columns, given.rows, given.step_x, given.step_y, given.snake)
            origin = (given.x, given.y)
            if min(given.step_x / self.width, given.step_y / self.height) < LEAST_STEP * (self.mpp or LEAST_MPP):
                raise DeclarationError("step", f"fields overlap by at most {1 - LEAST_STEP:.0%} of their side here")
        area = (self.area[0], self.area[1], self.area[2], self.area[3]) if self.area else None
        window = limits.window(self.width * self.height * 3)
        scan = Scan(self.width, self.height, self.mpp, area, origin, grid, limits.fitted, window, folder)
        x0, y0, x1, y1 = scan.extent(self.mpp or 0.0)
        if max(x1 - x0, y1 - y0) > limits.farthest:
            raise DeclarationError("area", f"a scan is at most {limits.farthest:g} um long and wide here")
        return scan
