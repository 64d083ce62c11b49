"""The loss as its papers put it, one image, one object, one cell at a time: slow and obviously right."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits


def ciou(a, b) -> float:
    """Complete IoU of two x1 y1 x2 y2 boxes (Zheng et al. 2020, equations 7–11)."""
    ax1, ay1, ax2, ay2 = map(float, a)
    bx1, by1, bx2, by2 = map(float, b)
    inter = max(0.0, min(ax2, bx2) - max(ax1, bx1)) * max(0.0, min(ay2, by2) - max(ay1, by1))
    iou = inter / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - inter)
    rho2 = ((ax1 + ax2 - bx1 - bx2) / 2) ** 2 + ((ay1 + ay2 - by1 - by2) / 2) ** 2
    c2 = (max(ax2, bx2) - min(ax1, bx1)) ** 2 + (max(ay2, by2) - min(ay1, by1)) ** 2
    v = 4 / math.pi**2 * (math.atan((bx2 - bx1) / (by2 - by1)) - math.atan((ax2 - ax1) / (ay2 - ay1))) ** 2
    alpha = v / (1 - iou + v) if v else 0.0
    return iou - rho2 / c2 - alpha * v


def cells(shapes, strides):
    """(x, y, stride) of every cell's centre, in the order of the flattened predictions."""
    return [
        ((column + 0.5) * stride, (row + 0.5) * stride, stride)
        for (height, width), stride in zip(shapes, strides, strict=True)
        for row in range(height)
        for column in range(width)
    ]


def expected_sides(raw):
    """Means of the four distributions of one cell's (64,) logits."""
    logits = raw.reshape(4, 16)
    p = np.exp(logits - logits.max(1, keepdims=True))
    return (p / p.sum(1, keepdims=True)) @ np.arange(16)


def box_of(raw, cell):
    x, y, stride = cell
    left, top, right, bottom = expected_sides(raw) * stride
    return x - left, y - top, x + right, y + bottom


def assign_image(scores, boxes, grid, gt_boxes, gt_classes, topk=10, alpha=0.5, beta=6.0, smallest=16.0):
    """{cell: (object, target score)} of one image."""
    metric = np.zeros((len(gt_boxes), len(grid)))
    overlap = np.zeros((len(gt_boxes), len(grid)))
    claims: dict[int, list[int]] = {}
    for g, (x1, y1, x2, y2) in enumerate(gt_boxes):
        cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
        w, h = max(x2 - x1, smallest), max(y2 - y1, smallest)
        inside = [
            i for i, (x, y, _) in enumerate(grid) if cx - w / 2 <= x <= cx + w / 2 and cy - h / 2 <= y <= cy + h / 2
        ]
        for i in inside:
            overlap[g, i] = max(0.0, ciou(boxes[i], gt_boxes[g]))
            metric[g, i] = scores[i][gt_classes[g]] ** alpha * overlap[g, i] ** beta
        for i in sorted(inside, key=lambda i, g=g: -metric[g, i])[:topk]:
            claims.setdefault(i, []).append(g)
    owner = {i: max(objects, key=lambda g, i=i: (overlap[g, i], -g)) for i, objects in claims.items()}
    result = {}
    for i, g in owner.items():
        own = [j for j, other in owner.items() if other == g]
        top = max(metric[g, j] for j in own)
        result[i] = (g, metric[g, i] / top * max(overlap[g, j] for j in own) if top > 0 else 0.0)
    return result


def loss(maps, strides, image, classes, boxes, gains):
    """Weighted (box, cls, dfl) of a batch, in float64."""
    raw = [m.detach().double().numpy() for m in maps]
    grid = cells([m.shape[2:] for m in maps], strides)
    box_sum = cls_sum = dfl_sum = score_sum = 0.0
    for b in range(len(raw[0])):
        rows = np.concatenate([m[b].reshape(m.shape[1], -1).T for m in raw])
        logits = rows[:, 64:]
        scores = 1 / (1 + np.exp(-logits))
        mine = [k for k in range(len(image)) if image[k] == b]
        gt_boxes, gt_classes = [boxes[k].tolist() for k in mine], [int(classes[k]) for k in mine]
        predicted = [box_of(rows[i, :64], grid[i]) for i in range(len(grid))]
        positive = assign_image(scores, predicted, grid, gt_boxes, gt_classes)
        target = np.zeros_like(logits)
        for i, (g, score) in positive.items():
            target[i, gt_classes[g]] = score
            score_sum += score
            box_sum += score * (1 - ciou(predicted[i], gt_boxes[g]))
            x, y, stride = grid[i]
            x1, y1, x2, y2 = gt_boxes[g]
            for side, wanted in enumerate(np.array([x - x1, y - y1, x2 - x, y2 - y]) / stride):
                wanted = min(max(wanted, 0.0), 14.99)
                q = rows[i, 16 * side : 16 * side + 16]
                log_p = q - q.max() - math.log(np.exp(q - q.max()).sum())
                low = math.floor(wanted)
                dfl_sum -= score * (log_p[low] * (low + 1 - wanted) + log_p[low + 1] * (wanted - low)) / 4
        p = torch.from_numpy(logits)
        cls_sum += float(binary_cross_entropy_with_logits(p, torch.from_numpy(target), reduction="sum"))
    scale = max(score_sum, 1.0)
    return np.array([box_sum * gains.box, cls_sum * gains.cls, dfl_sum * gains.dfl]) / scale
