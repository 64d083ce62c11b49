"""Loss of instance masks, worked out on the objects' own pixels only.

The positive cells of an object share its pixels, so these are read once: of an object with n pixels and t
cells, the mask logits are one product (n, 32) × (32, t). Objects of like size make one batch of such
products, whatever image they are in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid

from yolocore.train.assign import Targets
from yolocore.train.losses.cells import full, table

PIXEL = 4  # side of a prototype's pixel in pixels of the input
BLOCK = 1 << 17  # prototype pixels that are worked on at once: 16 MB of float32


def mask_loss(coefficients: Tensor, prototypes: Tensor, target: Tensor, targets: Targets) -> Tensor:
    """Sum over p positive cells of the mean binary cross-entropy over the pixels in the object's box.

    coefficients: (p, 32). prototypes: (b, 32, h, w), a pixel for each PIXEL × PIXEL pixels of the input.
    target: (p,) rows of `targets`. A box that holds no pixel's centre has the pixel that its own is in.
    Differentiable once.
    Source: Bolya et al., "YOLACT", ICCV 2019 (arXiv:1904.02689), sections 3.2 and 3.4.
    """
    assert targets.masks is not None
    objects, owner, count = target.unique(return_inverse=True, return_counts=True)
    if len(objects) == 0:
        return 0 * (coefficients.sum() + full(prototypes[:, :, :1, :1]).sum())
    order = owner.argsort(stable=True)
    slot = torch.empty_like(order)
    slot[order] = torch.arange(len(order), device=order.device) - (count.cumsum(0) - count)[owner[order]]
    spread = coefficients.new_zeros((len(objects), int(count.max()), coefficients.shape[1]))
    spread = spread.index_put((owner, slot), coefficients)

    image = targets.image[objects]
    number = 1 + objects - torch.searchsorted(targets.image, image)
    height, width = prototypes.shape[2:]
    boxes = targets.boxes[objects] / PIXEL
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    border = torch.tensor((width - 1, height - 1), device=boxes.device)
    first = torch.minimum((boxes[:, :2] - 0.5).ceil(), middle.floor()).long().clamp(min=0)
    last = torch.maximum((boxes[:, 2:] - 0.5).floor(), middle.floor()).long()
    first, last = torch.minimum(first, border), torch.minimum(last, border)
    columns, rows = (last - first + 1).unbind(1)
    corner = (image * height + first[:, 1]) * width + first[:, 0]
    crops = torch.stack((corner, columns, columns * rows, number, count), 1)
    return _MaskLoss.apply(spread, prototypes, targets.masks, crops)


def _blocks(crops: Tensor, width: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Objects of like size. rows: (g,) of crops. pixels: (g, n) of the prototypes, and whether they are the
    object's (the others fill up).
    """
    _, _, size, *_ = crops.unbind(1)
    power = torch.log2(size.double()).ceil().long()  # exact: sizes are whole numbers below 2^52
    order = power.argsort(stable=True)
    start = 0
    for exponent, count in enumerate(torch.bincount(power).tolist()):
        for rows in order[start : start + count].split(max(BLOCK >> exponent, 1)):
            if len(rows):
                corner, columns, size, *_ = crops[rows, :, None].unbind(1)
                within = torch.arange(1 << exponent, device=crops.device)
                real = within < size
                within = torch.where(real, within, 0)
                line = torch.div(within, columns, rounding_mode="floor")
                yield rows, corner + line * width + within - line * columns, real
        start += count


class _MaskLoss(torch.autograd.Function):
    """The gradients are worked out along with the loss, while a block's pixels are at hand."""

    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, prototypes: Tensor, masks: Tensor, crops: Tensor) -> Tensor:
        """coefficients: (o, t, 32) of each object's cells. crops: (o, 5) as in `mask_loss`."""
        pixels, labels = table(prototypes), masks.flatten()
        by_coefficient = torch.zeros_like(coefficients)
        by_pixel = full(pixels.new_zeros(pixels.shape))
        loss = coefficients.new_zeros(())
        cell = torch.arange(coefficients.shape[1], device=crops.device)
        for rows, index, real in _blocks(crops, prototypes.shape[3]):
            _, _, size, number, count = crops[rows, :, None].unbind(1)
            weight = (real / size)[..., None] * (cell < count)[:, None]  # (g, n, t)
            basis, weights = full(pixels[index]), coefficients[rows]
            logits = basis @ weights.mT
            truth = (labels[index] == number)[..., None].to(logits.dtype)
            loss -= ((logsigmoid(-logits) + logits * truth) * weight).sum()
            by_logit = (logits.sigmoid() - truth) * weight
            by_coefficient[rows] = by_logit.mT @ basis
            by_pixel.index_add_(0, index.flatten(), (by_logit @ weights).flatten(0, 1))
        batch, _, height, width = prototypes.shape
        by_prototype = by_pixel.unflatten(0, (batch, height, width)).permute(0, 3, 1, 2)
        ctx.save_for_backward(by_coefficient, by_prototype)
        ctx.dtype = prototypes.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        by_coefficient, by_prototype = ctx.saved_tensors
        return by_coefficient * gradient, (by_prototype * gradient).to(ctx.dtype), None, None
