"""The losses as their papers put them, one image, one object, one cell at a time: slow and obviously right."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from yolocore.rotated import prob_iou, to_corners


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


def rotated_iou(a, b) -> float:
    return float(prob_iou(np.array([a], float), np.array([b], float))[0])


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
    logits = raw[:64].reshape(4, 16)
    p = np.exp(logits - logits.max(1, keepdims=True))
    return (p / p.sum(1, keepdims=True)) @ np.arange(16)


def box_of(raw, cell):
    x, y, stride = cell
    left, top, right, bottom = expected_sides(raw) * stride
    return x - left, y - top, x + right, y + bottom


def rotated_box_of(raw, cell):
    """The last channel is the angle; the sides' distances are along the box's own axes."""
    x, y, stride = cell
    angle = math.pi * (1 / (1 + math.exp(-raw[-1])) - 0.25)
    left, top, right, bottom = expected_sides(raw) * stride
    along, across = (right - left) / 2, (bottom - top) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    return x + along * cos - across * sin, y + along * sin + across * cos, left + right, top + bottom, angle


def in_box(box, x, y, smallest=16.0):
    x1, y1, x2, y2 = box
    w, h = max(x2 - x1, smallest), max(y2 - y1, smallest)
    return abs(x - (x1 + x2) / 2) <= w / 2 and abs(y - (y1 + y2) / 2) <= h / 2


def in_rotated_box(box, x, y, smallest=16.0):
    """On the inner side of all four edges."""
    cx, cy, w, h, angle = box
    corners = to_corners(np.array([[cx, cy, max(w, smallest), max(h, smallest), angle]], float))[0]
    edges = np.roll(corners, -1, axis=0) - corners
    to_point = np.array([x, y]) - corners
    return bool((edges[:, 0] * to_point[:, 1] - edges[:, 1] * to_point[:, 0] >= -1e-6).all())


def assign_image(scores, boxes, grid, gt_boxes, gt_classes, rotated=False, topk=10, alpha=0.5, beta=6.0):
    """{cell: (object, target score)} of one image."""
    metric = np.zeros((len(gt_boxes), len(grid)))
    overlap = np.zeros((len(gt_boxes), len(grid)))
    claims: dict[int, list[int]] = {}
    for g, truth in enumerate(gt_boxes):
        contains, measure = (in_rotated_box, rotated_iou) if rotated else (in_box, ciou)
        inside = [i for i, (x, y, _) in enumerate(grid) if contains(truth, x, y)]
        for i in inside:
            overlap[g, i] = max(0.0, measure(boxes[i], truth))
            metric[g, i] = scores[i][gt_classes[g]] ** alpha * overlap[g, i] ** beta
        aligned = [i for i in inside if metric[g, i] > 0]
        for i in sorted(aligned, key=lambda i, g=g: -metric[g, i])[:topk]:
            claims.setdefault(i, []).append(g)
    owner = {i: max(objects, key=lambda g, i=i: (overlap[g, i], -g)) for i, objects in claims.items()}
    result = {}
    for i, g in owner.items():
        own = [j for j, other in owner.items() if other == g]
        top = max(metric[g, j] for j in own)
        result[i] = (g, metric[g, i] / top * max(overlap[g, j] for j in own))
    return result


def distance_loss(raw, wanted):
    """Distribution focal loss of one cell's (64,) logits, a mean over its four sides in strides."""
    total = 0.0
    for side, distance in enumerate(wanted):
        distance = min(max(distance, 0.0), 14.99)
        q = raw[16 * side : 16 * side + 16]
        log_p = q - q.max() - math.log(np.exp(q - q.max()).sum())
        low = math.floor(distance)
        total -= log_p[low] * (low + 1 - distance) + log_p[low + 1] * (distance - low)
    return total / 4


def sides_of(box, cell):
    x, y, stride = cell
    return np.array([x - box[0], y - box[1], box[2] - x, box[3] - y]) / stride


def rotated_sides_of(box, cell, predicted):
    """Of whichever of the rectangle's forms is turned least from the predicted one."""
    x, y, stride = cell
    cx, cy, w, h, angle = box
    forms = [(angle + k * math.pi / 2, *((h, w) if k % 2 else (w, h))) for k in range(-4, 5)]
    angle, w, h = min(forms, key=lambda form: abs(form[0] - predicted))
    along = (x - cx) * math.cos(angle) + (y - cy) * math.sin(angle)
    across = (y - cy) * math.cos(angle) - (x - cx) * math.sin(angle)
    return np.array([w / 2 + along, h / 2 + across, w / 2 - along, h / 2 - across]) / stride


def bce(logit, target):
    return max(logit, 0) - logit * target + math.log1p(math.exp(-abs(logit)))


def mask_loss(coefficients, prototypes, box, mask):
    """coefficients (32,), prototypes (32, h, w), mask (h, w) of the object. A pixel is 4 × 4 of the picture."""
    height, width = mask.shape
    x1, y1, x2, y2 = (float(n) / 4 for n in box)
    inside = [
        (row, column)
        for row in range(height)
        for column in range(width)
        if (x1 <= column + 0.5 <= x2 or column == math.floor((x1 + x2) / 2))
        and (y1 <= row + 0.5 <= y2 or row == math.floor((y1 + y2) / 2))
    ]
    return np.mean(
        [bce(float(coefficients @ prototypes[:, row, column]), float(mask[row, column])) for row, column in inside]
    )


def keypoint_loss(raw, truth, cell, box, sigmas):
    """(location, visibility) of one cell's (K, d) raw numbers."""
    x, y, stride = cell
    area = (box[2] - box[0]) * (box[3] - box[1])
    location, visibility, labelled = 0.0, 0.0, 0
    for numbers, (tx, ty, seen), sigma in zip(raw, truth, sigmas, strict=True):
        if seen > 0:
            px, py = ((2 * n + c / stride - 0.5) * stride for n, c in zip(numbers, (x, y), strict=False))
            location += 1 - math.exp(-((px - tx) ** 2 + (py - ty) ** 2) / (2 * area * (2 * sigma) ** 2))
            labelled += 1
        if len(numbers) == 3:
            visibility += bce(numbers[2], float(seen > 0)) / len(raw)
    return location / max(labelled, 1), visibility


def loss(task, raw, strides, targets, gains, sigmas=None, dims=None, weights=None):
    """Weighted parts of a batch by their names, in float64."""
    maps = [m.detach().double().numpy() for m in raw[:3]]
    extra = {"segment": 32, "obb": 1, "pose": len(sigmas or ()) * (dims or 0)}.get(task, 0)
    nc = maps[0].shape[1] - 64 - extra
    weights = torch.ones(nc) if weights is None else weights
    grid = cells([m.shape[2:] for m in maps], strides)
    rotated = task == "obb"
    sums = dict.fromkeys(("box_loss", "cls_loss", "dfl_loss", "seg_loss", "pose_loss", "kobj_loss"), 0.0)
    score_sum, positives = 0.0, 0
    for b in range(len(maps[0])):
        rows = np.concatenate([m[b].reshape(m.shape[1], -1).T for m in maps])
        logits = rows[:, 64 : 64 + nc]
        mine = [k for k in range(len(targets.image)) if targets.image[k] == b]
        truth = [(targets.rotated if rotated else targets.boxes)[k].tolist() for k in mine]
        kinds = [int(targets.classes[k]) for k in mine]
        predicted = [(rotated_box_of if rotated else box_of)(rows[i], grid[i]) for i in range(len(grid))]
        positive = assign_image(1 / (1 + np.exp(-logits)), predicted, grid, truth, kinds, rotated)
        target = np.zeros_like(logits)
        for i, (g, score) in positive.items():
            target[i, kinds[g]] = score
            score_sum, positives = score_sum + score, positives + 1
            if rotated:
                overlap = rotated_iou(predicted[i], truth[g])
                sides = rotated_sides_of(truth[g], grid[i], predicted[i][4])
            else:
                overlap, sides = ciou(predicted[i], truth[g]), sides_of(truth[g], grid[i])
            sums["box_loss"] += score * (1 - overlap)
            sums["dfl_loss"] += score * distance_loss(rows[i], sides)
            if task == "segment":
                mask = targets.masks[b].numpy() == g + 1
                sums["seg_loss"] += mask_loss(rows[i, -32:], raw[3][b].detach().double().numpy(), truth[g], mask)
            if task == "pose":
                points = rows[i, -extra:].reshape(len(sigmas), dims)
                found = keypoint_loss(points, targets.keypoints[mine[g]].tolist(), grid[i], truth[g], sigmas)
                sums["pose_loss"] += found[0]
                sums["kobj_loss"] += found[1]
        p, t = torch.from_numpy(logits), torch.from_numpy(target)
        sums["cls_loss"] += float(binary_cross_entropy_with_logits(p, t, weights.double(), reduction="sum"))
    per_score, per_cell = max(score_sum, 1.0), max(positives, 1)
    return {
        "box_loss": sums["box_loss"] * gains.box / per_score,
        "cls_loss": sums["cls_loss"] * gains.cls / per_score,
        "dfl_loss": sums["dfl_loss"] * gains.dfl / per_score,
        "seg_loss": sums["seg_loss"] * gains.box / per_cell,
        "pose_loss": sums["pose_loss"] * gains.pose / per_cell,
        "kobj_loss": sums["kobj_loss"] * gains.kobj / per_cell,
    }
