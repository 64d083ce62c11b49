"""The detection loss: binary cross-entropy for classes, CIoU and distribution focal loss for boxes.

Only the class term looks at every cell, and it is written so that no dense target is built: with
targets t, BCE(x, t) = softplus(x) - x·t, and t is zero but at the few positive cells. The box terms
touch positive cells alone. All of it runs in float32, whatever precision the network ran in.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from yolocore.config.tree import TrainConfig
from yolocore.model.decode import REG_MAX, anchor_points, decode_boxes
from yolocore.model.head import STRIDES
from yolocore.train.assign import Targets, assign, complete_iou

PARTS = ("box_loss", "cls_loss", "dfl_loss")


def detection_loss(maps: Sequence[Tensor], targets: Targets, config: TrainConfig) -> tuple[Tensor, Tensor]:
    """Loss of a batch.

    maps: raw output of each level, (b, 4·REG_MAX + nc, h, w). config: gives the parts' weights.
    Returns the scalar to differentiate, which is the weighted sum of the parts times the batch size (so
    that accumulated batches weigh by their images), and the weighted parts (3,), detached, as PARTS.
    """
    flat = torch.cat([m.flatten(2) for m in maps], 2).float()
    distances, logits = flat.split((4 * REG_MAX, flat.shape[1] - 4 * REG_MAX), 1)
    shapes = [(m.shape[2], m.shape[3]) for m in maps]
    centres, strides = anchor_points(shapes, STRIDES, flat.device)
    levels = [(height, width, stride) for (height, width), stride in zip(shapes, STRIDES, strict=True)]
    positive = assign(logits.detach(), decode_boxes(distances.detach(), centres, strides), levels, targets)

    scale = positive.score.sum().clamp(min=1)
    claimed = logits[positive.image, targets.classes[positive.target], positive.cell]
    cls = softplus(logits).sum() - (claimed * positive.score).sum()
    box, dfl = _box_losses(
        distances[positive.image, :, positive.cell],
        centres[:, positive.cell],
        strides[positive.cell],
        targets.boxes[positive.target],
        positive.score,
    )
    parts = torch.stack((box * config.box, cls * config.cls, dfl * config.dfl)) / scale
    return parts.sum() * len(flat), parts.detach()


def _box_losses(
    distances: Tensor, centres: Tensor, strides: Tensor, truth: Tensor, score: Tensor
) -> tuple[Tensor, Tensor]:
    """Sums over p positive cells of (1 - CIoU) and of the distribution focal loss, weighted by score (p,).

    distances: (p, 4·REG_MAX) logits. centres (2, p), strides (p,): of the cells. truth: (p, 4) xyxy pixels.
    """
    overlap = complete_iou(decode_boxes(distances.T, centres, strides).T, truth)
    sides = torch.cat((centres.T - truth[:, :2], truth[:, 2:] - centres.T), 1) / strides[:, None]
    dfl = distribution_focal_loss(distances.unflatten(1, (4, REG_MAX)), sides.clamp(0, REG_MAX - 1.01)).mean(1)
    return ((1 - overlap) * score).sum(), (dfl * score).sum()


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
