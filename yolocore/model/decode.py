"""From the network's raw numbers to boxes: the one decoding, shared by the head and by the loss.

An anchor point predicts, for each of its box's four sides, a distribution over distances of
0, 1, …, REG_MAX - 1 strides; the distance is the distribution's mean.
Source: Li et al., "Generalized Focal Loss", NeurIPS 2020 (arXiv:2006.04388), section 3.2.
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
    Returns centres (a, 2) float32 x, y and strides (a,) float32, both in pixels.
    """
    centres, sizes = [], []
    for (height, width), stride in zip(shapes, strides, strict=True):
        # Under tracing the shapes are symbols: only operations that stay in the graph may touch them.
        y = (torch.arange(height, dtype=torch.float32, device=device) + 0.5) * stride
        x = (torch.arange(width, dtype=torch.float32, device=device) + 0.5) * stride
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        centres.append(torch.stack((grid_x, grid_y), 2).flatten(0, 1))
        sizes.append(torch.full_like(grid_x, float(stride)).flatten())
    return torch.cat(centres), torch.cat(sizes)


def decode_boxes(logits: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Boxes from the distributions of their sides' distances.

    logits: (…, a, 4 * REG_MAX), left, top, right, bottom. centres: (a, 2) pixels. strides: (a,) pixels.
    Returns (…, a, 4) x1 y1 x2 y2 in pixels.
    """
    probability = logits.unflatten(-1, (4, REG_MAX)).softmax(-1)
    bins = torch.arange(REG_MAX, dtype=probability.dtype, device=probability.device)
    before, after = ((probability @ bins) * strides[:, None]).chunk(2, -1)
    return torch.cat((centres - before, centres + after), -1)
