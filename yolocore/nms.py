"""Exact greedy non-maximum suppression in numpy, class-aware, deterministic, of upright and of rotated boxes.

Greedy suppression looks sequential, but box j survives exactly if no surviving better box overlaps it.
That equation over the graph of overlapping pairs has one solution, and repeating it from "all survive"
reaches the solution after as many rounds as the longest chain of suppressions, a handful in practice
(the fixed point of Cluster-NMS, Zheng et al. 2021, arXiv:2005.03572, here over a sparse graph).
The graph is found by a sweep along x, which needs to know how far apart two boxes may lie that overlap enough.
Boxes come in blocks: those that overlap a survivor of an earlier block are out before they meet each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yolocore import rotated
from yolocore.boxes import Boxes, paired_iou, xywh_to_xyxy
from yolocore.detections import Detections

MAX_CANDIDATES = 30_000
_BLOCK = 384  # fewest candidates of a block: large enough for numpy, small enough for max_det to stop early

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class Suppressed(NamedTuple):
    """What suppression left of one image's prediction.

    found: the detections, in letterbox pixels. extra: (n, e) float32, for each the numbers that stand behind
    the scores of its anchor point.
    """

    found: Detections
    extra: npt.NDArray[np.float32]


def non_max_suppression(
    prediction: npt.NDArray[np.float32],
    *,
    nc: int,
    conf: float,
    iou: float,
    max_det: int,
    multi_label: bool = False,
    classes: Sequence[int] | None = None,
    agnostic: bool = False,
    turned: bool = False,
) -> Suppressed:
    """Decode one image's raw output to detections in letterbox pixels, best score first.

    prediction: (4 + nc + e, N), rows cx cy w h in letterbox pixels, then nc scores in 0..1, then e numbers that
    the task adds. turned: the first of these is the angle of the box (see `yolocore.rotated`).
    conf: scores must exceed it. iou: a box goes when its overlap with a kept better one exceeds it: the IoU of
    upright boxes, `rotated.prob_iou` of rotated ones.
    multi_label: every class above conf makes a detection (validation), not only an anchor's best one.
    classes: keep only these class indices. agnostic: boxes of different classes suppress each other.

    Equal scores are ordered by anchor, then class, so the result depends on nothing but the input.
    """
    scores, anchors, labels = _candidates(prediction[4 : 4 + nc], conf, multi_label)
    if classes is not None:
        wanted = np.isin(labels, classes)
        scores, anchors, labels = scores[wanted], anchors[wanted], labels[wanted]
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    scores, anchors, labels = scores[order], anchors[order], labels[order]
    boxes = xywh_to_xyxy(prediction[:4, anchors].T)
    if turned:
        boxes = prediction[[0, 1, 2, 3, 4 + nc]][:, anchors].T
    keep = suppress(boxes, None if agnostic else labels, iou, max_det)
    kept = np.ascontiguousarray(boxes[keep])
    upright, full = (rotated.enclosing(kept), kept) if turned else (kept, None)
    found = Detections(upright, scores[keep], labels[keep], rotated=full)
    return Suppressed(found, prediction[4 + nc :, anchors[keep]].T)


def suppress(boxes: Boxes, labels: Indices | None, iou: float, max_det: int) -> Indices:
    """Indices of the survivors among boxes sorted best first: (n, 4) xyxy, or (n, 5) xywhr of rotated ones.

    labels: their classes; None: boxes of different classes suppress each other too.
    """
    turned = boxes.shape[1] == 5
    sweep_of, overlap_of = (_sweep_rotated, rotated.prob_iou) if turned else (_sweep_upright, paired_iou)
    sweep = sweep_of(boxes.astype(np.float64), iou)
    if labels is not None and len(boxes):
        # Classes are laid out side by side along x, farther apart than any sweep reaches.
        gap = np.ptp(sweep.at) + (sweep.before + sweep.after).max() + 1.0
        sweep = sweep._replace(at=sweep.at + labels * gap)

    def reached(a: Indices, b: Indices) -> tuple[Indices, Indices]:
        """Every box of a with every box of b that it reaches and overlaps too much: positions in a, and in b."""
        i, j = sweep.pairs(a, b)
        too_much = overlap_of(boxes[a[i]], boxes[b[j]]) > iou
        return i[too_much], j[too_much]

    kept = np.zeros(0, np.int64)
    start = 0
    while start < len(boxes) and len(kept) < max_det:
        stop = min(start + max(_BLOCK, len(kept)), len(boxes))
        new = np.arange(start, stop)
        if len(kept):
            alive = np.ones(len(new), bool)
            alive[reached(kept, new)[1]] = False
            alive[reached(new, kept)[0]] = False
            new = new[alive]
        kept = np.concatenate([kept, new[_survivors(len(new), *reached(new, new))]])
        start = stop
    return kept[:max_det]


class _Sweep(NamedTuple):
    """Where boxes stand along x, and how far before and after them stand those that may overlap them too much.

    Of two boxes that do, it is enough that one reaches the other.
    """

    at: Floats
    before: Floats
    after: Floats

    def pairs(self, a: Indices, b: Indices) -> tuple[Indices, Indices]:
        """Every box of a with every box of b that it reaches: positions in a, and in b."""
        order = np.argsort(self.at[b])
        at = self.at[b[order]]
        begin = np.searchsorted(at, self.at[a] - self.before[a], side="left")
        count = np.searchsorted(at, self.at[a] + self.after[a], side="right") - begin
        i = np.repeat(np.arange(len(a)), count)
        # Each box's range of b, one after the other.
        j = np.arange(len(i)) + np.repeat(begin - (np.cumsum(count) - count), count)
        return i, order[j]


def _sweep_upright(boxes: Floats, iou: float) -> _Sweep:
    """By left edges: an IoU above t needs the next left edge closer than (1 - t) widths."""
    # The slack covers rounding; a few pairs too many cost nothing, they are measured below.
    reach = (1 - iou) * (boxes[:, 2] - boxes[:, 0]) + 0.01
    return _Sweep(boxes[:, 0], np.zeros(len(boxes)), reach)


def _sweep_rotated(boxes: Floats, iou: float) -> _Sweep:
    """By centres: `prob_iou` above t needs a Bhattacharyya coefficient above c = 1 - (1 - t)².

    Seen along x alone, the coefficient of two Gaussians only grows, and is at most exp(-d² / 4(v + w)) at
    distance d with variances v and w. So d² < -4(v + w) ln c, no more than -8 v ln c for the wider of the two.
    """
    closeness = 1 - (1 - iou) ** 2
    variance = ((boxes[:, 2] * np.cos(boxes[:, 4])) ** 2 + (boxes[:, 3] * np.sin(boxes[:, 4])) ** 2) / 12
    reach = np.sqrt(-8 * math.log(closeness) * variance) + 0.01
    return _Sweep(boxes[:, 0], reach, reach)


def _candidates(
    scores: npt.NDArray[np.float32], conf: float, multi_label: bool
) -> tuple[npt.NDArray[np.float32], Indices, Indices]:
    """(nc, N) → scores, anchors and classes of all candidates, by anchor and then class."""
    anchors = np.flatnonzero(scores.max(axis=0) > conf)
    picked = scores[:, anchors].T
    if multi_label:
        rows, labels = np.nonzero(picked > conf)
    else:
        rows, labels = np.arange(len(anchors)), picked.argmax(axis=1)
    return picked[rows, labels], anchors[rows], labels


def _survivors(n: int, a: Indices, b: Indices) -> npt.NDArray[np.bool_]:
    """Mask of the greedy survivors among n boxes, best first, of which each a overlaps its b too much."""
    better, worse = np.minimum(a, b), np.maximum(a, b)
    others = better != worse
    better, worse = better[others], worse[others]
    alive = np.ones(n, bool)
    while True:
        survivors = np.ones(n, bool)
        survivors[worse[alive[better]]] = False
        if np.array_equal(survivors, alive):
            return alive
        alive = survivors
