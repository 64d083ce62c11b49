"""Boxes with captions on images: the one way that predictions, tracks and labels are drawn."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Steps of the golden ratio round the colour circle: neighbouring indices look different, however many there are.
_GOLDEN = 0.618033988749895


def colour(index: int) -> Colour:
    """The BGR colour of a class or an identity: always the same for the same index."""
    red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN % 1, 0.85 if index % 2 else 0.65, 1.0)
    return int(255 * blue), int(255 * green), int(255 * red)


def line_width(image: Image) -> int:
    """Pixels that a line needs to be seen in an image of this size."""
    return max(1, round(sum(image.shape[:2]) / 800))


def draw_box(image: Image, box: npt.NDArray[np.floating] | Sequence[float], caption: str, tint: Colour) -> None:
    """Draw a box (x1 y1 x2 y2 in pixels) and its caption into the image, in place.

    The caption stands on the box, or inside it where there is no room above.
    """
    width = line_width(image)
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    cv2.rectangle(image, (x1, y1), (x2, y2), tint, width, cv2.LINE_AA)
    if not caption:
        return
    scale = 0.4 + 0.1 * width
    (w, h), below = cv2.getTextSize(caption, _FONT, scale, 1)
    h += below + 2
    left = max(0, min(x1, image.shape[1] - w))
    bottom = y1 if y1 >= h else min(y1 + h, image.shape[0])
    cv2.rectangle(image, (left, bottom - h), (left + w, bottom), tint, cv2.FILLED)
    dark = sum(tint) < 384
    ink = (255, 255, 255) if dark else (0, 0, 0)
    cv2.putText(image, caption, (left, bottom - below), _FONT, scale, ink, 1, cv2.LINE_AA)
