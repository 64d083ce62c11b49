"""Task-aligned assignment: which cells of the prediction answer for which object, and how strongly.

A cell is a candidate for an object when its centre lies in the object's box. Few cells are, so the
work is done on a flat list of (object, candidate) pairs whose length is the number of candidates, and
not on the dense objects × cells table: on mosaics of small objects that is about a hundredth of it.

Source: Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV 2021, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from yolocore.data.loader import Batch

TOPK = 10
ALPHA = 0.5
BETA = 6.0
# A box narrower than two cells of the finest grid may hold no cell's centre at all. It is taken this
# wide when candidates are looked for, so that every object is learnt.
SMALLEST_SIDE = 16.0

Level = tuple[int, int, int]  # height and width in cells, stride in pixels


@dataclass(frozen=True)
class Targets:
    """The objects of a batch of images, all in one table.

    image: (n,) int64 index of the object's image in the batch.
    classes: (n,) int64.
    boxes: (n, 4) float32, x1 y1 x2 y2 in pixels of the network's input.

    The rest is None where the task has no use for it.
    masks: (b, h/4, w/4) int16, in each pixel 1 + the number of the object among those of its image, or 0.
    keypoints: (n, k, 3) float32, x y in pixels, and 0 for a point that is not labelled, else 1 or 2.
    rotated: (n, 5) float32, centre x y, width, height in pixels, angle in radians.
    """

    image: Tensor
    classes: Tensor
    boxes: Tensor
    masks: Tensor | None = None
    keypoints: Tensor | None = None
    rotated: Tensor | None = None

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> Targets:
        """The objects of a loader's batch, on a device."""
        columns = {field.name: getattr(batch, field.name) for field in fields(cls)}
        return cls(**{n: None if c is None else torch.from_numpy(c).to(device) for n, c in columns.items()})


@dataclass(frozen=True)
class Assignment:
    """The positive cells, one row each; no cell occurs twice.

    image, cell: (p,) int64 position in the predictions. target: (p,) int64 row of `Targets`.
    score: (p,) float32 the class score that the cell should give, in 0..1.
    """

    image: Tensor
    cell: Tensor
    target: Tensor
    score: Tensor


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """CIoU of boxes row by row: (n, 4), (n, 4) x1 y1 x2 y2 → (n,), at most 1.

    Source: Zheng et al., "Distance-IoU Loss", AAAI 2020, equations 7–11. The weight of the aspect term
    is a constant to the gradient, as there.
    """
    ax1, ay1, ax2, ay2 = a.unbind(-1)
    bx1, by1, bx2, by2 = b.unbind(-1)
    aw, ah, bw, bh = ax2 - ax1, ay2 - ay1, bx2 - bx1, by2 - by1
    eps = 1e-7
    overlap = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0) * (
        torch.minimum(ay2, by2) - torch.maximum(ay1, by1)
    ).clamp(min=0)
    iou = overlap / (aw * ah + bw * bh - overlap + eps)
    diagonal = (torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)) ** 2 + (
        torch.maximum(ay2, by2) - torch.minimum(ay1, by1)
    ) ** 2
    distance = ((ax1 + ax2 - bx1 - bx2) ** 2 + (ay1 + ay2 - by1 - by2) ** 2) / 4
    aspect = (4 / math.pi**2) * (torch.atan(bw / (bh + eps)) - torch.atan(aw / (ah + eps))) ** 2
    with torch.no_grad():
        weight = aspect / (1 - iou + aspect + eps)
    return iou - distance / (diagonal + eps) - weight * aspect


@torch.no_grad()
def assign(logits: Tensor, boxes: Tensor, levels: Sequence[Level], targets: Targets) -> Assignment:
    """Choose the positive cells of a batch.

    logits: (b, nc, a) class logits. boxes: (b, 4, a) predicted x1 y1 x2 y2 in pixels. The a cells are
    those of all levels, row by row.

    The alignment of a candidate is score^ALPHA · CIoU^BETA. Each object takes its TOPK best candidates;
    a cell that several objects take goes to the one it overlaps most. A positive cell's target score is
    its alignment, scaled so that the object's best cell gets the object's best overlap.
    """
    cells = boxes.shape[2]
    target, cell, slot = _candidates(levels, targets)
    image = targets.image[target]
    score = logits[image, targets.classes[target], cell].float().sigmoid()
    overlap = complete_iou(boxes[image, :, cell], targets.boxes[target]).clamp(min=0)
    alignment = score**ALPHA * overlap**BETA

    best = _best_per_object(alignment, target, slot, len(targets.boxes))
    target, cell, image, overlap, alignment = target[best], cell[best], image[best], overlap[best], alignment[best]

    # Where two objects overlap a cell equally (twice the same label), the first row of the table wins.
    order = torch.argsort(overlap, descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    position = image * cells + cell
    first = torch.full((len(boxes) * cells,), len(order), device=order.device).scatter_reduce_(
        0, position, rank, "amin"
    )
    keep = first[position] == rank
    target, cell, image, overlap, alignment = target[keep], cell[keep], image[keep], overlap[keep], alignment[keep]

    zeros = overlap.new_zeros(len(targets.boxes))
    most_aligned = zeros.scatter_reduce(0, target, alignment, "amax")[target]
    most_overlap = zeros.scatter_reduce(0, target, overlap, "amax")[target]
    smallest = torch.finfo(alignment.dtype).tiny
    return Assignment(image, cell, target, alignment / most_aligned.clamp(min=smallest) * most_overlap)


def _candidates(levels: Sequence[Level], targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
    """All (object, cell) pairs whose cell centre lies in the object's box, grouped by object.

    Returns (p,) int64 each: the object's row, the cell, and the pair's number among its object's.
    """
    device = targets.boxes.device
    height, width, stride = torch.tensor(levels, device=device).unbind(1)
    offset = torch.cumsum(height * width, 0) - height * width

    centre = (targets.boxes[:, :2] + targets.boxes[:, 2:]) / 2
    half = ((targets.boxes[:, 2:] - targets.boxes[:, :2]) / 2).clamp(min=SMALLEST_SIDE / 2)
    # (n, levels, 2): first and last column and row whose centre, (index + 0.5) · stride, is inside.
    first = ((centre - half)[:, None] / stride[:, None] - 0.5).ceil().long().clamp(min=0)
    last = ((centre + half)[:, None] / stride[:, None] - 0.5).floor().long()
    last = torch.minimum(last, torch.stack((width, height), 1) - 1)
    columns, rows = (last - first + 1).clamp(min=0).unbind(2)

    count = columns * rows  # (n, levels)
    group = torch.repeat_interleave(count.flatten())
    pair = torch.arange(len(group), device=device)
    within = pair - (torch.cumsum(count.flatten(), 0) - count.flatten())[group]
    target, level = group // len(levels), group % len(levels)
    column = first[..., 0].flatten()[group] + within % columns.flatten()[group]
    row = first[..., 1].flatten()[group] + within // columns.flatten()[group]
    per_object = count.sum(1)
    slot = pair - (torch.cumsum(per_object, 0) - per_object)[target]
    return target, offset[level] + row * width[level] + column, slot


def _best_per_object(alignment: Tensor, target: Tensor, slot: Tensor, objects: int) -> Tensor:
    """Indices of the pairs that are among the TOPK best aligned of their object."""
    if len(target) == 0:
        return target
    widest = int(slot.max()) + 1
    table = alignment.new_full((objects, widest), -1.0)
    table[target, slot] = alignment
    values, slots = table.topk(min(TOPK, widest), dim=1)
    start = torch.searchsorted(target, torch.arange(objects, device=target.device))
    return (start[:, None] + slots)[values >= 0]
