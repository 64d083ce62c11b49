"""From the network's raw numbers to boxes: the one decoding, shared by the head and by the loss.

An anchor point predicts, for each of its box's four sides, a distribution over distances of
0, 1, …, REG_MAX - 1 strides; the distance is the distribution's mean.
Source: Li et al., "Generalized Focal Loss", NeurIPS 2020 (arXiv:2006.04388), section 3.2.

Anchor points are the last axis throughout, as the network's maps have them: ONNX Runtime is six times
faster so than with the bins last, and nothing has to be transposed.
"""

from __future__ import annotations

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
    probability = logits.unflatten(-2, (4, REG_MAX)).softmax(-2)
    bins = torch.arange(REG_MAX, dtype=probability.dtype, device=probability.device)
    before, after = ((bins @ probability) * strides).split((2, 2), -2)
    return torch.cat((centres - before, centres + after), -2)
