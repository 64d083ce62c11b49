"""From the network's raw numbers to boxes and keypoints: the one decoding, shared by the heads and by the losses.

An anchor point predicts, for each of its box's four sides, a distribution over distances of
0, 1, …, REG_MAX - 1 strides; the distance is the distribution's mean.
Source: Li et al., "Generalized Focal Loss", NeurIPS 2020 (arXiv:2006.04388), section 3.2.

Anchor points are the last axis throughout, as the network's maps have them: ONNX Runtime is six times
faster so than with the bins last, and nothing has to be transposed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

REG_MAX = 16


def anchor_points(
    shapes: Sequence[Sequence[int]], strides: Sequence[int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """The cells' centres in the order in which predictions are flattened: level, row, column.

    shapes: (height, width) of each level's map. strides: pixels per cell of each level.
    Returns centres (2, a) float32 x, y and strides (a,) float32, both in pixels.
    """
    centres, sizes = [], []
    for (height, width), stride in zip(shapes, strides, strict=True):
        # Under tracing the shapes are symbols: only operations that stay in the graph may touch them. A range of
        # integers plus a Python float would be traced as double, and so would everything after it.
        x = (torch.arange(width, dtype=torch.float32, device=device) + 0.5) * stride
        y = (torch.arange(height, dtype=torch.float32, device=device) + 0.5) * stride
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        centres.append(torch.stack((grid_x, grid_y)).flatten(1))
        sizes.append(torch.full_like(grid_x, float(stride)).flatten())
    return torch.cat(centres, 1), torch.cat(sizes)


def decode_boxes(logits: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Boxes from the distributions of their sides' distances.

    logits: (…, 4 * REG_MAX, a), the sides left, top, right, bottom.
    centres: (2, a) pixels. strides: (a,) pixels.
    Returns (…, 4, a) x1 y1 x2 y2 in pixels.
    """
    before, after = _distances(logits, strides)
    return torch.cat((centres - before, centres + after), -2)


def decode_rotated(logits: Tensor, angles: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Rotated boxes: the distances are measured along the axes of the box, from the anchor point.

    logits, centres, strides: as in `decode_boxes`. angles: (…, 1, a) radians.
    Returns (…, 5, a): centre x, y, width, height in pixels before rotation, angle in radians.
    """
    before, after = _distances(logits, strides)
    x, y = ((after - before) / 2).split((1, 1), -2)  # from the anchor point to the centre, in the box's own axes
    cos, sin = angles.cos(), angles.sin()
    offset = torch.cat((x * cos - y * sin, x * sin + y * cos), -2)
    return torch.cat((centres + offset, before + after, angles), -2)


def decode_angles(raw: Tensor) -> Tensor:
    """Angles in radians, from -π/4 to 3π/4: a half turn, for a rectangle turned by more is another such one."""
    return (raw.sigmoid() - 0.25) * math.pi


def decode_keypoints(raw: Tensor, centres: Tensor, strides: Tensor, dims: int) -> Tensor:
    """Keypoints, each relative to its anchor point's cell and in half strides.

    raw: (…, K * dims, a), of each keypoint x, y and, where dims is 3, the logit of its visibility.
    centres: (2, a) pixels. strides: (a,) pixels.
    Returns (…, K * dims, a): x, y in pixels, and the probability that the point is visible.
    """
    points, *visibility = raw.unflatten(-2, (-1, dims)).split((2, 1)[: dims - 1], -2)
    points = (2 * points - 0.5) * strides + centres  # the cell's corner lies half a stride before its centre
    return torch.cat((points, *(logit.sigmoid() for logit in visibility)), -2).flatten(-3, -2)


def _distances(logits: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """(…, 2, a) left and top, and (…, 2, a) right and bottom, in pixels."""
    probability = logits.unflatten(-2, (4, REG_MAX)).softmax(-2)
    bins = torch.arange(REG_MAX, dtype=probability.dtype, device=probability.device)
    before, after = ((bins @ probability) * strides).split((2, 2), -2)
    return before, after
