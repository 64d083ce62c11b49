"""Outlines of masks: what is written of a mask where pictures of it would be too large."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.masks import Masks

_FINE = (
    2  # a mask is traced at this scale, so that the line runs inside the outermost pixels, not through their centres
)
_DEVIATION = 0.5  # pixels by which a line may miss the traced one: what a staircase of pixels differs from its slope


def outlines(masks: Masks, index: int) -> list[npt.NDArray[np.float32]]:
    """The outer lines of a mask, the longest part first; holes are not told.

    Parts are (k, 2) float32 x y in pixels of the image, at least a triangle each; none of an empty mask.
    """
    fine = np.kron(masks.crops[index], np.ones((_FINE, _FINE), np.uint8)).astype(np.uint8)
    parts, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    lines = [_smoothed(part) for part in sorted(parts, key=len, reverse=True)]
    return [((line[:, 0] + 0.5) / _FINE + masks.corners[index]).astype(np.float32) for line in lines]


def _smoothed(part: cv2.typing.MatLike) -> cv2.typing.MatLike:
    """Fewer points, but for parts so thin that they would shrink to a line."""
    smooth = cv2.approxPolyDP(part, _DEVIATION * _FINE, True)
    return smooth if len(smooth) > 2 else part
