"""Axis-aligned box geometry on numpy arrays, shared by everything that handles boxes.

Boxes are (n, 4) and 'xyxy' (x1 y1 x2 y2) unless a name says 'xywh' (centre x, centre y, width, height).
Coordinates are continuous: a box's width is x2 - x1. Functions keep the input's float type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.floating[Any]]


def xywh_to_xyxy(boxes: Boxes) -> Boxes:
    """(…, 4) centres and sizes → (…, 4) corners."""
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def xyxy_to_xywh(boxes: Boxes) -> Boxes:
    """(…, 4) corners → (…, 4) centres and sizes."""
    return np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], axis=-1)


def clip(boxes: Boxes, shape: tuple[int, int]) -> Boxes:
    """Boxes cut at the border of an image of shape (height, width)."""
    height, width = shape
    return np.clip(boxes, 0, np.array([width, height, width, height], boxes.dtype))


def area(boxes: Boxes) -> Boxes:
    """(n, 4) → (n,) areas in square pixels."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def paired_iou(a: Boxes, b: Boxes) -> Boxes:
    """Intersection over union of a[i] with b[i]: (n, 4), (n, 4) → (n,). Two empty boxes have 0."""
    width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    return _ratio(np.maximum(width, 0) * np.maximum(height, 0), area(a) + area(b))


def iou_matrix(a: Boxes, b: Boxes) -> Boxes:
    """Intersection over union of every a with every b: (n, 4), (m, 4) → (n, m). Two empty boxes have 0."""
    width = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0])
    height = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    return _ratio(np.maximum(width, 0) * np.maximum(height, 0), area(a)[:, None] + area(b))


def _ratio(intersection: Boxes, areas: Boxes) -> Boxes:
    union = areas - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
