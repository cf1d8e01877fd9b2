"""Text on a picture: OpenCV's own outline fonts where it has them (from 5.0), its stroke fonts else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INK = (40, 40, 40)
FAINT = (110, 110, 110)
REGULAR, BOLD = 400, 650
STROKE_PX = 22
"""Height in pixels of a line of FONT_HERSHEY_SIMPLEX at scale 1, capitals alone."""


def write(
    canvas: NDArray[np.uint8],
    text: str,
    at: tuple[int, int],
    size: int,
    colour: tuple[int, int, int] = INK,
    weight: int = REGULAR,
) -> None:
    """Write one line with its baseline's left end at (x, y), ``size`` pixels high, on (H, W, 3) uint8 RGB."""
    import cv2

    if hasattr(cv2, "FontFace"):
        cv2.putText(canvas, text, at, colour, cv2.FontFace("sans"), size, weight)
    else:
        scale, stroke = _stroke(size, weight)
        cv2.putText(canvas, _ascii(text), at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, stroke, cv2.LINE_AA)


def width(text: str, size: int, weight: int = REGULAR) -> int:
    """Pixels that a line takes."""
    import cv2

    if hasattr(cv2, "FontFace"):
        left, _, across, _ = cv2.getTextSize((1 << 14, 1 << 10), text, (0, 0), cv2.FontFace("sans"), size, weight)
        return int(left + across)
    scale, stroke = _stroke(size, weight)
    return int(cv2.getTextSize(_ascii(text), cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)[0][0])


def fitted(text: str, size: int, most: int, weight: int = REGULAR) -> str:
    """Shorten a line to ``most`` pixels; dots stand in its middle, for names often differ at their end."""
    if width(text, size, weight) <= most:
        return text
    for kept in range(len(text) - 1, 0, -1):
        short = f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"
        if width(short, size, weight) <= most:
            return short
    return ""


def _stroke(size: int, weight: int) -> tuple[float, int]:
    return 0.75 * size / STROKE_PX, 2 if weight > REGULAR else 1


def _ascii(text: str) -> str:
    return text.replace("µ", "u").encode("ascii", "replace").decode()
