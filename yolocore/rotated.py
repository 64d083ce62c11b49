"""Geometry of rotated boxes on numpy arrays.

A rotated box is `xywhr`: centre x y, width, height, and the angle in radians by which its width axis is
turned clockwise (y points down) from the x axis. The same rectangle has several such forms; `regularize`
gives the one with the width not shorter than the height and the angle in [0, π).

Computed in float64 and returned in the input's float type.
"""

from __future__ import annotations

import numpy as np

from yolocore.boxes import Boxes

# Corners of a box whose half width and half height are 1, in order round it.
_SQUARE = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float64)
_FIRST, _SECOND = np.triu_indices(4, 1)  # the six pairs of four corners


def to_corners(boxes: Boxes) -> Boxes:
    """(n, 5) xywhr → (n, 4, 2) corners x y in order round the box, the first edge along its width."""
    wide = boxes.astype(np.float64)
    offsets = _turned(_SQUARE * wide[:, None, 2:4] / 2, wide[:, None, 4])
    return (wide[:, None, :2] + offsets).astype(boxes.dtype)


def from_corners(corners: Boxes) -> Boxes:
    """(n, 4, 2) corners x y → (n, 5) the smallest rectangle round each four, regularized.

    It has a side along an edge of their convex hull (Freeman and Shapira 1975), and thus along the line
    through two of them.
    """
    wide = corners.astype(np.float64)
    along = wide[:, _SECOND] - wide[:, _FIRST]
    angles = np.arctan2(along[..., 1], along[..., 0])
    turned = _turned(wide[:, None], -angles[..., None])
    low, high = turned.min(axis=2), turned.max(axis=2)
    best = np.prod(high - low, axis=-1).argmin(axis=1)
    rows = np.arange(len(wide))
    low, high, angle = low[rows, best], high[rows, best], angles[rows, best]
    centres = _turned((low + high) / 2, angle)
    return regularize(np.column_stack([centres, high - low, angle]).astype(corners.dtype))


def regularize(boxes: Boxes) -> Boxes:
    """(n, 5) → the same rectangles with the width not shorter than the height and the angle in [0, π)."""
    x, y, width, height, angle = boxes.astype(np.float64).T
    tall = height > width
    result = np.column_stack([x, y, np.maximum(width, height), np.minimum(width, height), angle + tall * (np.pi / 2)])
    result = result.astype(boxes.dtype)
    half_turn = np.array(np.pi, boxes.dtype)
    result[:, 4] %= half_turn
    # The remainder of a tiny negative angle rounds to the half turn itself.
    result[result[:, 4] >= half_turn, 4] = 0
    return result


def enclosing(boxes: Boxes) -> Boxes:
    """(n, 5) xywhr → (n, 4) the upright boxes x1 y1 x2 y2 round them."""
    wide = boxes.astype(np.float64)
    cosine, sine = np.abs(np.cos(wide[:, 4])), np.abs(np.sin(wide[:, 4]))
    width, height = wide[:, 2], wide[:, 3]
    half = np.column_stack([width * cosine + height * sine, width * sine + height * cosine]) / 2
    return np.concatenate([wide[:, :2] - half, wide[:, :2] + half], axis=1).astype(boxes.dtype)


def paired_iou(a: Boxes, b: Boxes) -> Boxes:
    """Exact intersection over union of a[i] with b[i]: (n, 5), (n, 5) → (n,). Two empty boxes have 0."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    intersection = _intersection(wide_a, wide_b)
    union = wide_a[:, 2] * wide_a[:, 3] + wide_b[:, 2] * wide_b[:, 3] - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0).astype(a.dtype)


def prob_iou(a: Boxes, b: Boxes) -> Boxes:
    """Likeness in 0..1 of the Gaussians that stand for a[i] and b[i]: (n, 5), (n, 5) → (n,). Empty boxes have 0.

    One less their Hellinger distance, where a box has its own centre and the covariance of a uniform
    distribution over it (Llerena et al. 2021, "Gaussian Bounding Boxes and Probabilistic
    Intersection-over-Union", arXiv:2106.06072).
    """
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    xx, yy, xy = ((p + q) / 2 for p, q in zip(_covariance(wide_a), _covariance(wide_b), strict=True))
    x, y = (wide_a[:, :2] - wide_b[:, :2]).T
    determinant = xx * yy - xy * xy
    solid = determinant > 0
    safe = np.where(solid, determinant, 1)
    distance = (yy * x * x + xx * y * y - 2 * xy * x * y) / safe
    # det of a box's own covariance is (width · height / 12)², whatever its angle.
    own = np.sqrt(wide_a[:, 2] * wide_a[:, 3] * wide_b[:, 2] * wide_b[:, 3]) / 12
    coefficient = np.where(solid, own / np.sqrt(safe) * np.exp(-distance / 8), 0)
    return (1 - np.sqrt(np.clip(1 - coefficient, 0, 1))).astype(a.dtype)


def _covariance(boxes: Boxes) -> tuple[Boxes, Boxes, Boxes]:
    """(n, 5) → variances along x and y, and the covariance of the two."""
    cosine, sine = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    along, across = boxes[:, 2] ** 2 / 12, boxes[:, 3] ** 2 / 12
    return (
        along * cosine**2 + across * sine**2,
        along * sine**2 + across * cosine**2,
        (along - across) * cosine * sine,
    )


def _intersection(a: Boxes, b: Boxes) -> Boxes:
    """Area that a[i] and b[i] share: (n, 5), (n, 5) → (n,).

    Seen from a's centre along its axes, a is the region |x| ≤ w/2, |y| ≤ h/2. At each x, what b and a share
    reaches from b's lower to b's upper border, both clamped to ±h/2; so the shared area is the integral of
    clamped y along clamped x once round b. On a piece of an edge between places where it meets one of a's
    four lines, both are linear and the trapezoid is exact. Nothing is decided by the sign of a small number:
    touching and coincident edges are harmless.
    """
    half = a[:, None, None, 2:4] / 2
    corners = _turned(to_corners(b) - a[:, None, :2], -a[:, None, 4])
    start, along = corners[:, :, None], (np.roll(corners, -1, axis=1) - corners)[:, :, None]
    meets = [
        np.divide(line - start, along, out=np.zeros_like(along), where=along != 0).clip(0, 1) for line in (half, -half)
    ]
    ends = np.broadcast_to([0.0, 1.0], (*corners.shape[:2], 2))
    cuts = np.sort(np.concatenate([ends, *(each[:, :, 0] for each in meets)], axis=2), axis=2)
    points = np.clip(start + cuts[..., None] * along, -half, half)
    width = np.diff(points[..., 0], axis=2)
    height = (points[:, :, 1:, 1] + points[:, :, :-1, 1]) / 2
    return np.abs((width * height).sum(axis=(1, 2)))


def _turned(points: Boxes, angles: Boxes) -> Boxes:
    """Points (…, 2) turned round the origin by angles (…)."""
    cosine, sine = np.cos(angles), np.sin(angles)
    x, y = points[..., 0], points[..., 1]
    return np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=-1)
