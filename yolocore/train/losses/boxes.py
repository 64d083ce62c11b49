"""Losses of boxes at the positive cells: overlap, and the distributions of the sides' distances."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from yolocore.model.decode import REG_MAX, decode_boxes, decode_rotated
from yolocore.train.overlap import complete_iou, prob_iou, turned

# Of a cell's four distributions. A distance of the last whole number has no number above it.
FURTHEST = REG_MAX - 1.01


def upright_losses(
    distances: Tensor, centres: Tensor, strides: Tensor, truth: Tensor, score: Tensor
) -> tuple[Tensor, Tensor]:
    """Sums over p positive cells of (1 - CIoU) and of the distribution focal loss, weighted by score (p,).

    distances: (p, 4·REG_MAX) logits. centres (2, p), strides (p,): of the cells. truth: (p, 4) xyxy pixels.
    """
    overlap = complete_iou(decode_boxes(distances.T, centres, strides).T, truth)
    sides = torch.cat((centres.T - truth[:, :2], truth[:, 2:] - centres.T), 1)
    return ((1 - overlap) * score).sum(), _distance_loss(distances, sides, strides, score)


def rotated_losses(
    distances: Tensor, angles: Tensor, centres: Tensor, strides: Tensor, truth: Tensor, score: Tensor
) -> tuple[Tensor, Tensor]:
    """The same of rotated boxes, with the probabilistic IoU.

    angles: (p,) predicted. truth: (p, 5) x y w h angle.
    The distances are those along the axes of the true box, which is what decoding needs to give that box
    back once the angle is right. A rectangle turned by quarters, with width and height exchanged for the odd
    ones, is the same rectangle. The overlap does not tell these forms apart, and a cell is taught the one that
    it is nearest to.
    """
    overlap = prob_iou(decode_rotated(distances.T, angles[None], centres, strides).T, truth)
    x, y, width, height, angle = truth.unbind(1)
    quarters = ((angles.detach() - angle) / (math.pi / 2)).round()
    odd = quarters % 2 == 1
    angle = angle + quarters * (math.pi / 2)
    width, height = torch.where(odd, height, width), torch.where(odd, width, height)
    along, across = turned(centres[0] - x, centres[1] - y, -angle)
    sides = torch.stack((width / 2 + along, height / 2 + across, width / 2 - along, height / 2 - across), 1)
    return ((1 - overlap) * score).sum(), _distance_loss(distances, sides, strides, score)


def _distance_loss(distances: Tensor, sides: Tensor, strides: Tensor, score: Tensor) -> Tensor:
    """Sum of the distribution focal loss, the mean of four sides (p, 4) in pixels, weighted by score."""
    target = (sides / strides[:, None]).clamp(0, FURTHEST)
    return (distribution_focal_loss(distances.unflatten(1, (4, REG_MAX)), target).mean(1) * score).sum()


def distribution_focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy against the two whole numbers around a real target, weighted by nearness.

    logits: (…, REG_MAX). target: (…) in [0, REG_MAX - 1). Returns (…).
    Source: Li et al., "Generalized Focal Loss", NeurIPS 2020, equation 6.
    """
    below = target.floor()
    log_probability = logits.log_softmax(-1)
    index = below.long()[..., None]
    at_below = log_probability.gather(-1, index).squeeze(-1)
    at_above = log_probability.gather(-1, index + 1).squeeze(-1)
    return -(at_below * (below + 1 - target) + at_above * (target - below))
