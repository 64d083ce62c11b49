"""Losses of the tasks whose cells find objects: detect, segment, pose and obb. All of it in float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from yolocore.config.tree import TrainConfig
from yolocore.meta import KeypointShape, Task
from yolocore.model.decode import REG_MAX, decode_angles, decode_boxes, decode_rotated
from yolocore.model.head import PROTOTYPES, STRIDES
from yolocore.train.assign import Assignment, Grid, Pairs, Targets, candidates, choose, rotated_candidates
from yolocore.train.losses.boxes import rotated_losses, upright_losses
from yolocore.train.losses.cells import blocks, full, read, table
from yolocore.train.losses.keypoints import keypoint_losses
from yolocore.train.losses.masks import mask_loss
from yolocore.train.overlap import complete_iou, prob_iou

SIDES = 4 * REG_MAX  # channels of the distance logits, which come first
BLOCK = 1024  # cells whose boxes are decoded at once

DENSE_PARTS: dict[Task, tuple[str, ...]] = {
    "detect": ("box_loss", "cls_loss", "dfl_loss"),
    "segment": ("box_loss", "seg_loss", "cls_loss", "dfl_loss"),
    "pose": ("box_loss", "pose_loss", "kobj_loss", "cls_loss", "dfl_loss"),
    "obb": ("box_loss", "cls_loss", "dfl_loss"),
}


def dense_loss(
    task: Task,
    raw: Sequence[Tensor],
    targets: Targets,
    config: TrainConfig,
    keypoints: KeypointShape | None,
    class_weights: Tensor | None,
    total: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """See `task_loss`.

    The class term looks at every cell, and is normalised by the sum of the target scores, as are the box
    terms, which touch positive cells alone and are weighted by their scores. What segment and pose add is a
    mean over the positive cells.
    """
    maps = raw[: len(STRIDES)]
    grid = Grid(len(maps[0]), tuple((*m.shape[2:], stride) for m, stride in zip(maps, STRIDES, strict=True)))
    extra = {"segment": PROTOTYPES, "pose": math.prod(keypoints or ()), "obb": 1}.get(task, 0)
    classes = slice(SIDES, maps[0].shape[1] - extra)
    positive = _assign(task == "obb", maps, grid, targets, classes)

    background, rows = read(maps, grid, positive.cell, classes)
    distances, logits, added = rows.split((SIDES, len(background), extra), 1)
    centres, strides = grid.places(positive.cell)
    score, kind = positive.score, targets.classes[positive.target]
    counts = torch.stack((score.sum(), *score.new_tensor((len(score), grid.images))))
    per_score, per_cell, images = total(counts).clamp(min=1)

    weights = background.new_ones(len(background)) if class_weights is None else class_weights
    claimed = logits.gather(1, kind[:, None])[:, 0]
    parts = {"cls_loss": (background @ weights - (claimed * score * weights[kind]).sum()) * config.cls / per_score}
    if task == "obb":
        assert targets.rotated is not None
        truth, angles = targets.rotated[positive.target], decode_angles(added[:, 0])
        box, dfl = rotated_losses(distances, angles, centres, strides, truth, score)
    else:
        box, dfl = upright_losses(distances, centres, strides, targets.boxes[positive.target], score)
    parts |= {"box_loss": box * config.box / per_score, "dfl_loss": dfl * config.dfl / per_score}
    if task == "segment":
        parts["seg_loss"] = mask_loss(added, raw[-1], positive.target, targets) * config.box / per_cell
    if task == "pose":
        assert targets.keypoints is not None and keypoints is not None
        points, boxes = targets.keypoints[positive.target], targets.boxes[positive.target]
        location, visibility = keypoint_losses(added, centres, strides, points, boxes, keypoints)
        parts |= {"pose_loss": location * config.pose / per_cell, "kobj_loss": visibility * config.kobj / per_cell}
    values = torch.stack([parts[name] for name in DENSE_PARTS[task]])
    return values.sum() * images, values.detach()


@torch.no_grad()
def _assign(rotated: bool, maps: Sequence[Tensor], grid: Grid, targets: Targets, classes: slice) -> Assignment:
    """The positive cells. Boxes are decoded where there are candidates, once for all objects there."""
    tables = [table(m) for m in maps]
    if rotated:
        assert targets.rotated is not None
        truth, measure = targets.rotated, prob_iou
        pairs = rotated_candidates(grid, targets.image, truth)
    else:
        truth, measure = targets.boxes, complete_iou
        pairs = candidates(grid, targets.image, truth)
    wanted = torch.zeros(grid.ends[-1], dtype=torch.bool, device=pairs.cell.device)
    wanted[pairs.cell] = True
    boxes = _boxes(rotated, tables, grid, wanted.nonzero()[:, 0])
    column = (wanted.cumsum(0) - 1)[pairs.cell]
    # One coordinate after the other in memory, as they are worked with.
    overlap = measure(boxes[:, column].T, truth.T[:, pairs.target].T).clamp(min=0)
    return choose(pairs, _scores(tables, grid, pairs, targets.classes + classes.start), overlap)


def _boxes(rotated: bool, tables: Sequence[Tensor], grid: Grid, cells: Tensor) -> Tensor:
    """(4 or 5, p) predicted at cells (p,), as `decode_boxes` and `decode_rotated` put it."""
    centres, strides = grid.places(cells)
    boxes = []
    for rows, level in zip(tables, grid.split(cells), strict=True):
        for block in blocks(level, BLOCK):
            (centre, centres), (stride, strides) = (each.tensor_split([len(block)], -1) for each in (centres, strides))
            distances = full(rows[:, :SIDES][block]).T
            if rotated:
                boxes.append(decode_rotated(distances, decode_angles(full(rows[block, -1:])).T, centre, stride))
            else:
                boxes.append(decode_boxes(distances, centre, stride))
    return torch.cat(boxes, 1)


def _scores(tables: Sequence[Tensor], grid: Grid, pairs: Pairs, channels: Tensor) -> Tensor:
    """(p,) what each pair's cell gives to the class of the pair's object. channels: (n,) of the objects' logits."""
    levels = grid.split(pairs.cell)
    wanted = channels[pairs.target].split([len(cells) for cells in levels])
    logits = [rows[cells, channel] for rows, cells, channel in zip(tables, levels, wanted, strict=True)]
    return full(torch.cat(logits)).sigmoid()
