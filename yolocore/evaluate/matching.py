"""Which detection found which object: COCO's greedy rule, and the confusion matrix's.

Both work on all images at once. Pairs of a detection and an object that can meet at all are listed
first; of COCO's millions few overlap enough to matter, and only those are matched. The greedy rule is
sequential within an image and class only, so the k-th best detections of all groups are matched
together, at all IoU thresholds together.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from yolocore.boxes import paired_iou

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_CHUNK = 1 << 16  # detections whose pairs are listed at once: bounds memory, stays in cache


def true_positives(
    boxes: Floats,
    groups: Indices,
    scores: npt.NDArray[np.float32],
    true_boxes: Floats,
    true_groups: Indices,
    ious: Floats,
) -> Mask:
    """Detections that are right, at each IoU threshold.

    boxes (n, 4), groups (n,), scores (n,): the detections; true_boxes (m, 4), true_groups (m,): the
    objects. A group is an image and class; only members of the same one can match.
    ious: (t,) ascending thresholds.
    Returns (n, t). As in COCO (Lin et al. 2014, cocoeval of pycocotools): by descending score, each
    detection takes the object of highest IoU (the last of equals) among those still free, if that reaches
    the threshold. Equal scores keep their order.
    """
    found, true, iou = overlapping_pairs(boxes, groups, true_boxes, true_groups, ious[0])
    turn = _turns(found, groups, scores)
    order = np.lexsort((true, iou, found, turn))
    found, true, iou, turn = found[order], true[order], iou[order], turn[order]

    right = np.zeros((len(boxes), len(ious)), bool)
    free = np.ones((len(ious), len(true_boxes)), bool)
    reached = iou >= ious[:, None]
    last_turn = turn[-1] if len(turn) else -1
    for start, stop in pairwise(np.searchsorted(turn, np.arange(last_turn + 2))):
        rows = np.arange(start, stop)
        detections, first = np.unique(found[rows], return_index=True)
        open_rows = np.where(reached[:, rows] & free[:, true[rows]], rows, -1)
        # A detection's pairs lie in ascending IoU: the last open one is the best.
        best = np.maximum.reduceat(open_rows, first, axis=1)
        threshold, column = np.nonzero(best >= 0)
        right[detections[column], threshold] = True
        free[threshold, true[best[threshold, column]]] = False
    return right


def one_to_one(
    boxes: Floats, images: Indices, true_boxes: Floats, true_images: Indices, iou: float
) -> tuple[Indices, Indices]:
    """Pairs (detections, objects) whose IoU exceeds `iou`, best IoU first, each member used once.

    Classes play no part: this is the matching of the confusion matrix.
    """
    found, true, overlap = overlapping_pairs(boxes, images, true_boxes, true_images, np.nextafter(iou, 1))
    order = np.argsort(-overlap, kind="stable")
    found, true = found[order], true[order]
    detections, objects = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    while len(found):
        # A pair that is the best one left for both of its members is what going down the list would take.
        best_found = np.unique(found, return_index=True)[1]
        best_true = np.unique(true, return_index=True)[1]
        taken = np.intersect1d(best_found, best_true)
        detections.append(found[taken])
        objects.append(true[taken])
        rest = ~(np.isin(found, found[taken]) | np.isin(true, true[taken]))
        found, true = found[rest], true[rest]
    return np.concatenate(detections), np.concatenate(objects)


def overlapping_pairs(
    boxes: Floats, groups: Indices, true_boxes: Floats, true_groups: Indices, iou: float
) -> tuple[Indices, Indices, Floats]:
    """All pairs of the same group with IoU of at least `iou` > 0: detection, object, IoU."""
    order = np.argsort(true_groups, kind="stable")
    sorted_groups = true_groups[order]
    detections, objects, overlaps = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for start in range(0, len(boxes), _CHUNK):
        group = groups[start : start + _CHUNK]
        begin = np.searchsorted(sorted_groups, group, "left")
        count = np.searchsorted(sorted_groups, group, "right") - begin
        found = start + np.repeat(np.arange(len(group)), count)
        true = order[np.arange(len(found)) + np.repeat(begin - np.cumsum(count) + count, count)]
        overlap = paired_iou(boxes[found], true_boxes[true])
        enough = overlap >= iou
        detections.append(found[enough])
        objects.append(true[enough])
        overlaps.append(overlap[enough].astype(np.float64))
    return np.concatenate(detections), np.concatenate(objects), np.concatenate(overlaps)


def rank_in_group(groups: Indices, scores: npt.NDArray[np.float32]) -> Indices:
    """(n,) place from 0 of each detection in its group by descending score; equal scores keep their order."""
    order = np.lexsort((-scores, groups))
    ordered = groups[order]
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups)) - np.searchsorted(ordered, ordered, "left")
    return rank


def _turns(found: Indices, groups: Indices, scores: npt.NDArray[np.float32]) -> Indices:
    """For each pair, the place of its detection among those of its group that have pairs."""
    detections, inverse = np.unique(found, return_inverse=True)
    return rank_in_group(groups[detections], scores[detections])[inverse]
