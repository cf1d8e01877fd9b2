"""Training canvases for the segmenter: fields packed side by side, turned, rescaled and recoloured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hema_models.training.fields import KINDS, Field

KNOWN_STRIDE = 8
LEAST_VISIBLE = 0.15  # less than this of a cell is neither asked for nor punished
TRIMMED = 0.35  # share of fields that are cut, so that cells halved by a picture's border are learnt
SLIVERS = 0.5  # share of those with a white cell that are cut through it: a sliver of one is neither red nor platelet
RESTAINED = 0.35  # share of fields whose optical densities are changed; the others' hue, saturation and value are


@dataclass
class Canvas:
    """A square picture of packed fields with its labels.

    Attributes:
        pixels: (S, S, 3) uint8 RGB at 0.25 um a pixel.
        boxes: (N, 4) float32 xyxy, clipped to what is seen of the field.
        frames: (N, 4) float32 xyxy of the unclipped box, in which ``masks`` is drawn.
        views: (N, 4) float32 xyxy, where the canvas shows the label's field.
        kinds, masks, has_mask: as in ``Field``.
        known: (3, S/8, S/8) float32, 1 where an unmatched prediction of the kind counts as wrong.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    frames: NDArray[np.float32]
    views: NDArray[np.float32]
    kinds: NDArray[np.int64]
    masks: NDArray[np.bool_]
    has_mask: NDArray[np.bool_]
    known: NDArray[np.float32]


class CanvasComposer:
    """Draws canvases at random from a set of fields.

    Args:
        fields: labelled fields at the canonical scale.
        side: side of the canvas in pixels, a multiple of 32.
        rng: source of all randomness.
        repeat_platelets: how often a field with platelets is drawn for one without (platelets are rare).
    """

    def __init__(self, fields: list[Field], side: int, rng: np.random.Generator, repeat_platelets: float = 3.0) -> None:
        self._fields = fields
        self._side = side
        self._rng = rng
        platelet = KINDS.index("platelet")
        weights = np.array([repeat_platelets if (f.kinds == platelet).any() else 1.0 for f in fields])
        self._weights = weights / weights.sum()

    def compose(self) -> Canvas:
        """Draw one canvas: three in four are packed full, the others hold a few fields on bare ground."""
        draw = _Drawing(self._side)
        packed = self._rng.random() < 0.75
        gap = int(self._rng.integers(3, 40)) if self._rng.random() < 0.5 else 0
        left = -int(self._rng.integers(0, 100))
        y, x, shelf = -int(self._rng.integers(0, 100)), left, 0
        budget = 10_000 if packed else int(self._rng.integers(1, 5))
        while y < self._side - 20 and budget:
            field = augment(self._fields[self._rng.choice(len(self._fields), p=self._weights)], self._rng)
            if draw.empty:
                draw.fill(background_colour(field.pixels))
            view = self._view(field)
            budget -= draw.paste(field, x - view[0], y - view[1], view)
            x += view[2] - view[0] + gap
            shelf = max(shelf, view[3] - view[1])
            if x > self._side - 20:
                x, y, shelf = left, y + shelf + gap, 0
        return draw.finish()

    def _view(self, field: Field) -> tuple[int, int, int, int]:
        """Choose the part of a field that is shown: all of it, or cut by its sides or through a white cell."""
        height, width = field.pixels.shape[:2]
        whole = (0, 0, width, height)
        if self._rng.random() >= TRIMMED:
            return whole
        white = field.boxes[field.kinds == KINDS.index("wbc")]
        cut_through = len(white) and self._rng.random() < SLIVERS
        view = self._through(white[self._rng.integers(len(white))], whole) if cut_through else self._by_sides(whole)
        return whole if view[2] - view[0] < 16 or view[3] - view[1] < 16 else view

    def _by_sides(self, whole: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """Cut one or two sides by up to 0.6 of the length."""
        view = list(whole)
        for side in self._rng.choice(4, size=self._rng.integers(1, 3), replace=False):
            length = whole[2 + side % 2]
            depth = int(self._rng.uniform(0.05, 0.6) * length)
            view[side] = depth if side < 2 else length - depth
        return view[0], view[1], view[2], view[3]

    def _through(self, box: NDArray[np.float32], whole: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """Leave between ``LEAST_VISIBLE`` and 0.6 of a cell's box at one side of the view."""
        view, side = list(whole), int(self._rng.integers(4))
        left = self._rng.uniform(LEAST_VISIBLE, 0.6)
        low, high = box[side % 2], box[side % 2 + 2]
        view[side] = int(np.ceil(high - left * (high - low)) if side < 2 else np.floor(low + left * (high - low)))
        return view[0], view[1], view[2], view[3]


class _Drawing:
    def __init__(self, side: int) -> None:
        self.empty = True
        self._side = side
        self._pixels = np.zeros((side, side, 3), np.uint8)
        self._known = np.ones((len(KINDS), side // KNOWN_STRIDE, side // KNOWN_STRIDE), np.float32)
        self._parts: list[tuple[NDArray[np.float32], NDArray[np.float32], Field]] = []

    def fill(self, colour: NDArray[np.uint8]) -> None:
        self._pixels[:] = colour
        self.empty = False

    def paste(self, field: Field, x: int, y: int, view: tuple[int, int, int, int]) -> bool:
        """Lay the part ``view`` (xyxy within the field) down, with the field's corner at (x, y); whether any shows."""
        x0, y0 = max(x + view[0], 0), max(y + view[1], 0)
        x1, y1 = min(x + view[2], self._side), min(y + view[3], self._side)
        if x1 <= x0 or y1 <= y0:
            return False
        self._pixels[y0:y1, x0:x1] = field.pixels[y0 - y : y1 - y, x0 - x : x1 - x]
        self._mark_unknown(np.array([[x0, y0, x1, y1]], np.float32), ~field.exhaustive)
        shift = np.array([x, y, x, y], np.float32)
        self._mark_unknown(field.ignore + shift, np.ones(len(KINDS), bool))
        self._parts.append((field.boxes + shift, np.array([x0, y0, x1, y1], np.float32), field))
        return True

    def _mark_unknown(self, boxes: NDArray[np.float32], kinds: NDArray[np.bool_]) -> None:
        limit = self._known.shape[1]
        for box in boxes:
            x0, y0 = np.clip(np.floor(box[:2] / KNOWN_STRIDE).astype(int), 0, limit)
            x1, y1 = np.clip(np.ceil(box[2:] / KNOWN_STRIDE).astype(int), 0, limit)
            self._known[kinds, y0:y1, x0:x1] = 0

    def finish(self) -> Canvas:
        frames = np.concatenate([boxes for boxes, _, _ in self._parts])
        views = np.concatenate([np.broadcast_to(view, boxes.shape) for boxes, view, _ in self._parts])
        boxes = np.clip(frames, np.tile(views[:, :2], 2), np.tile(views[:, 2:], 2))
        visible = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        share = visible / np.maximum(np.prod(frames[:, 2:] - frames[:, :2], axis=1), 1e-6)
        self._mark_unknown(boxes[(share < LEAST_VISIBLE) & (visible > 0)], np.ones(len(KINDS), bool))
        keep = (share >= LEAST_VISIBLE) & (visible > 4)
        fields = [field for _, _, field in self._parts]
        return Canvas(
            self._pixels,
            boxes[keep],
            frames[keep],
            views[keep],
            np.concatenate([f.kinds for f in fields])[keep],
            np.concatenate([f.masks for f in fields])[keep],
            np.concatenate([f.has_mask for f in fields])[keep],
            self._known,
        )


def augment(field: Field, rng: np.random.Generator) -> Field:
    """Turn, mirror, rescale (scales are known to 10% only), recolour and blur one field."""
    factor = float(np.exp(rng.normal(0, 0.08)))
    pixels, boxes, ignore, masks = _rescale(field, factor)
    if rng.random() < 0.5:
        pixels, masks = pixels[:, ::-1], masks[:, :, ::-1]
        boxes, ignore = _mirror(boxes, pixels.shape[1]), _mirror(ignore, pixels.shape[1])
    for _ in range(int(rng.integers(0, 4))):
        boxes, ignore = _quarter_turn(boxes, pixels.shape[1]), _quarter_turn(ignore, pixels.shape[1])
        pixels, masks = np.rot90(pixels), np.rot90(masks, axes=(1, 2))
    pixels = np.ascontiguousarray(pixels)
    pixels = restain(pixels, rng) if rng.random() < RESTAINED else recolour(pixels, rng)
    pixels = soften(pixels, rng)
    return Field(
        field.name, field.lab, field.group, pixels, boxes, field.kinds, masks, field.has_mask, ignore, field.exhaustive
    )


def recolour(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Shift hue, saturation and value; half of the pictures strongly, which an unseen laboratory's white cells need.

    The other half stays near its own colours, by which platelets are told.
    """
    import cv2

    hue, saturation, value = (0.12, 0.8, 0.5) if rng.random() < 0.5 else (0.03, 0.4, 0.3)
    gains = rng.uniform(-1, 1, 3) * (hue, saturation, value) + (0, 1, 1)
    ramp = np.arange(256, dtype=np.float32)
    tables = (
        ((ramp + gains[0] * 180) % 180).astype(np.uint8),
        np.clip(ramp * gains[1], 0, 255).astype(np.uint8),
        np.clip(ramp * gains[2], 0, 255).astype(np.uint8),
    )
    channels = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV))
    shifted = cv2.merge([cv2.LUT(channel, table) for channel, table in zip(channels, tables, strict=True)])
    return np.asarray(cv2.cvtColor(shifted, cv2.COLOR_HSV2RGB), np.uint8)


def restain(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Strengthen or weaken each channel's optical density over a ground of another colour, as normalisation does."""
    ground = background_colour(pixels).astype(np.float32) + 1
    gain = np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.15, 3))
    light = np.minimum(rng.uniform(170, 245) * np.exp(rng.normal(0, 0.08, 3)), 250)
    ramp = np.arange(1, 257, dtype=np.float32)[:, None]
    table = np.clip(light * (ramp / ground) ** gain, 0, 255).astype(np.uint8)
    return np.stack([table[:, c][pixels[..., c]] for c in range(3)], axis=-1)


def soften(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blur or add noise to one picture in three, as poor focus and cameras do."""
    import cv2

    choice = rng.random()
    if choice < 0.2:
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), float(rng.uniform(0.4, 1.6))), np.uint8)
    if choice < 0.33:
        noise = rng.normal(0, rng.uniform(2, 10), pixels.shape)
        return np.clip(pixels + noise, 0, 255).astype(np.uint8)
    return pixels


def background_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Estimate the bare ground's colour (3,) uint8: the median of the brightest fifth of the pixels."""
    flat = pixels.reshape(-1, 3)
    brightness = flat.sum(axis=1, dtype=np.int32)
    bright = flat[brightness >= np.quantile(brightness, 0.8)]
    return np.asarray(np.median(bright, axis=0), np.uint8)


def _rescale(
    field: Field, factor: float
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    import cv2

    height, width = field.pixels.shape[:2]
    size = (round(width * factor), round(height * factor))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    pixels = np.asarray(cv2.resize(field.pixels, size, interpolation=interpolation), np.uint8)
    scale = np.tile(np.array(size, np.float32) / (width, height), 2).astype(np.float32)
    return pixels, field.boxes * scale, field.ignore * scale, field.masks


def _mirror(boxes: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)


def _quarter_turn(boxes: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Follow np.rot90 (counter-clockwise): (x, y) goes to (y, width - x)."""
    return np.stack([boxes[:, 1], width - boxes[:, 2], boxes[:, 3], width - boxes[:, 0]], axis=1)
