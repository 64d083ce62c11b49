"""How well a predicted box matches an object, differentiable: upright boxes and rotated ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

EPS = 1e-7


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """CIoU of boxes row by row: (n, 4), (n, 4) x1 y1 x2 y2 → (n,), at most 1.

    Source: Zheng et al., "Distance-IoU Loss", AAAI 2020, equations 7–11. The weight of the aspect term
    is a constant to the gradient, as there.
    """
    ax1, ay1, ax2, ay2 = a.unbind(-1)
    bx1, by1, bx2, by2 = b.unbind(-1)
    aw, ah, bw, bh = ax2 - ax1, ay2 - ay1, bx2 - bx1, by2 - by1
    overlap = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0) * (
        torch.minimum(ay2, by2) - torch.maximum(ay1, by1)
    ).clamp(min=0)
    iou = overlap / (aw * ah + bw * bh - overlap + EPS)
    diagonal = (torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)) ** 2 + (
        torch.maximum(ay2, by2) - torch.minimum(ay1, by1)
    ) ** 2
    distance = ((ax1 + ax2 - bx1 - bx2) ** 2 + (ay1 + ay2 - by1 - by2) ** 2) / 4
    aspect = (4 / math.pi**2) * (torch.atan(bw / (bh + EPS)) - torch.atan(aw / (ah + EPS))) ** 2
    with torch.no_grad():
        weight = aspect / (1 - iou + aspect + EPS)
    return iou - distance / (diagonal + EPS) - weight * aspect


def prob_iou(a: Tensor, b: Tensor) -> Tensor:
    """Probabilistic IoU of rotated boxes row by row: (n, 5), (n, 5) x y w h angle → (n,), in 0..1.

    A box stands for the Gaussian of its own centre and of the covariance of a uniform distribution over
    it; the measure is 1 - the Hellinger distance of the two Gaussians.
    Source: Llerena et al., "Gaussian Bounding Boxes and Probabilistic Intersection-over-Union",
    arXiv:2106.06072, equations 3–8.

    All is computed along the axes of the first box. Thus the determinant of the summed covariances is a
    sum of terms that are all positive, and nothing cancels, however thin the boxes are.
    """
    ax, ay, aw, ah, angle = a.unbind(-1)
    bx, by, bw, bh, other = b.unbind(-1)
    x, y = turned(bx - ax, by - ay, -angle)
    cos, sin = torch.cos(other - angle), torch.sin(other - angle)
    # A side of no length has no Gaussian; a thousandth of a pixel is as good as none.
    along, across, b_along, b_across = (side.clamp(min=1e-3) ** 2 / 12 for side in (aw, ah, bw, bh))
    b_xx = b_along * cos**2 + b_across * sin**2
    b_yy = b_along * sin**2 + b_across * cos**2
    b_xy = (b_along - b_across) * cos * sin
    product = along * across * b_along * b_across
    determinant = along * across + b_along * b_across + along * b_yy + across * b_xx
    mahalanobis = ((across + b_yy) * x**2 - 2 * b_xy * x * y + (along + b_xx) * y**2) / determinant
    bhattacharyya = (mahalanobis / 4 + (determinant / (4 * product.sqrt())).log() / 2).clamp(min=0)
    squared = -torch.expm1(-bhattacharyya)
    # The square root, but for its endless slope at zero: there the boxes agree to within rounding.
    return 1 - squared / (squared + EPS).sqrt()


def turned(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """The points x, y turned round the origin by an angle in radians, from the x axis towards the y axis."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    return x * cos - y * sin, x * sin + y * cos
