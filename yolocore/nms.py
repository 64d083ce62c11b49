"""Exact greedy non-maximum suppression in numpy, class-aware, deterministic.

Greedy suppression looks sequential, but box j survives exactly if no surviving better box overlaps it.
That equation over the graph of overlapping pairs has one solution, and repeating it from "all survive"
reaches the solution after as many rounds as the longest chain of suppressions, a handful in practice
(the fixed point of Cluster-NMS, Zheng et al. 2021, arXiv:2005.03572, here over a sparse graph).
The graph is found by a sweep along x: IoU > t needs the left edges closer than (1 - t) widths.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from yolocore.boxes import Boxes, paired_iou, xywh_to_xyxy
from yolocore.detections import Detections

MAX_CANDIDATES = 30_000
_BLOCK = 1024  # fewest candidates resolved at once: bounds the pairs in memory, and lets max_det stop early


def non_max_suppression(
    prediction: npt.NDArray[np.float32],
    *,
    conf: float,
    iou: float,
    max_det: int,
    multi_label: bool = False,
    classes: Sequence[int] | None = None,
    agnostic: bool = False,
) -> Detections:
    """Decode one image's raw output to detections in letterbox pixels, best score first.

    prediction: (4 + nc, N), rows cx cy w h in letterbox pixels, then nc scores in 0..1.
    conf: scores must exceed it. iou: a box goes when its IoU with a kept better one exceeds it.
    multi_label: every class above conf makes a detection (validation), not only an anchor's best one.
    classes: keep only these class indices. agnostic: boxes of different classes suppress each other.

    Equal scores are ordered by anchor, then class, so the result depends on nothing but the input.
    """
    scores, anchors, labels = _candidates(prediction[4:], conf, multi_label)
    if classes is not None:
        wanted = np.isin(labels, classes)
        scores, anchors, labels = scores[wanted], anchors[wanted], labels[wanted]
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    scores, anchors, labels = scores[order], anchors[order], labels[order]
    boxes = xywh_to_xyxy(prediction[:4, anchors].T)
    keep = suppress(boxes, None if agnostic else labels, iou, max_det)
    return Detections(np.ascontiguousarray(boxes[keep]), scores[keep], labels[keep])


def suppress(boxes: Boxes, labels: npt.NDArray[np.int64] | None, iou: float, max_det: int) -> npt.NDArray[np.int64]:
    """Indices of the survivors among boxes (n, 4) xyxy sorted best first; labels None: class-agnostic."""
    # Classes are laid out side by side along x, farther apart than any sweep reaches.
    left = boxes[:, 0].astype(np.float64)
    if labels is not None and len(boxes):
        left += labels * (np.ptp(left) + np.ptp(boxes[:, [0, 2]]) + 1.0)
    kept = np.zeros(0, np.int64)
    start = 0
    while start < len(boxes) and len(kept) < max_det:
        # Those kept so far go first and don't overlap each other: one call compares new with kept and new.
        stop = min(start + max(_BLOCK, len(kept)), len(boxes))
        rows = np.concatenate([kept, np.arange(start, stop)])
        kept = rows[_survivors(boxes[rows], left[rows], iou)]
        start = stop
    return kept[:max_det]


def _candidates(
    scores: npt.NDArray[np.float32], conf: float, multi_label: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(nc, N) → scores, anchors and classes of all candidates, by anchor and then class."""
    anchors = np.flatnonzero(scores.max(axis=0) > conf)
    picked = scores[:, anchors].T
    if multi_label:
        rows, labels = np.nonzero(picked > conf)
    else:
        rows, labels = np.arange(len(anchors)), picked.argmax(axis=1)
    return picked[rows, labels], anchors[rows], labels


def _survivors(boxes: Boxes, left: npt.NDArray[np.float64], iou: float) -> npt.NDArray[np.bool_]:
    """(n, 4) xyxy sorted best first → mask of the greedy survivors. left: x1 with classes set apart."""
    order = np.argsort(left, kind="stable")
    edges = left[order]
    # The slack covers rounding; a few pairs too many cost nothing, they are measured below.
    reach = (1 - iou) * (boxes[order, 2] - boxes[order, 0]) + 0.01
    count = np.searchsorted(edges, edges + reach, side="right") - np.arange(1, len(edges) + 1)
    first = np.repeat(np.arange(len(edges)), count)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    a, b = order[first], order[second]
    overlapping = paired_iou(boxes[a], boxes[b]) > iou
    a, b = a[overlapping], b[overlapping]
    better, worse = np.minimum(a, b), np.maximum(a, b)

    alive = np.ones(len(boxes), bool)
    while True:
        survivors = np.ones(len(boxes), bool)
        survivors[worse[alive[better]]] = False
        if np.array_equal(survivors, alive):
            return alive
        alive = survivors
