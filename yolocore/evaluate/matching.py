"""Which detection found which object: COCO's greedy rule, and the confusion matrix's.

Both work on all images at once. Pairs of a detection and an object that can meet at all are listed
first; of COCO's millions few are alike enough to matter, and only those are matched. What makes a pair
alike (see `similarity`) plays no part here. The greedy rule is sequential within an image and class only,
so the k-th best detections of all groups are matched together, at all thresholds together.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Rows of detections (p,) and rows of objects (p,), each pair within an image → how alike they are (p,) in 0..1.
Similarity = Callable[[Indices, Indices], Floats]

_CHUNK = 1 << 16  # pairs that are measured at once: bounds memory, stays in cache


class Pairs(NamedTuple):
    """Pairs of a detection and an object: rows of both, and how alike they are; each (p,)."""

    found: Indices
    true: Indices
    similarity: Floats

    def where(self, chosen: Mask | Indices) -> Pairs:
        return Pairs(self.found[chosen], self.true[chosen], self.similarity[chosen])


def similar_pairs(groups: Indices, true_groups: Indices, similarity: Similarity, least: float) -> Pairs:
    """All pairs of the same group that are at least so alike, `least` > 0.

    groups (n,), true_groups (m,): of each detection and object, its image, or its image and class.
    """
    order = np.argsort(true_groups, kind="stable")
    sorted_groups = true_groups[order]
    begin = np.searchsorted(sorted_groups, groups, "left")
    count = np.searchsorted(sorted_groups, groups, "right") - begin
    total = np.concatenate([[0], np.cumsum(count)])
    cuts = np.searchsorted(total, np.arange(0, total[-1], _CHUNK)).tolist()
    parts = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for start, stop in pairwise([*cuts, len(groups)]):
        found = np.repeat(np.arange(start, stop), count[start:stop])
        true = order[
            np.arange(total[start], total[stop]) + np.repeat((begin - total[:-1])[start:stop], count[start:stop])
        ]
        part = Pairs(found, true, similarity(found, true))
        parts.append(part.where(part.similarity >= least))
    return Pairs(*map(np.concatenate, zip(*parts, strict=True)))


def true_positives(
    pairs: Pairs, groups: Indices, scores: Scores, ignored: Mask, thresholds: Floats
) -> tuple[Mask, Mask, Floats]:
    """Detections that are right, and those that don't count, at each threshold of similarity, and how alike they are
    to what they take at the lowest.

    pairs: those of an image and class, at least as alike as the lowest threshold. groups (n,), scores (n,): of
    the detections. ignored (m,): objects that need not be found. thresholds: (t,) ascending.
    Returns two (n, t), and (n,), 0 where nothing is taken. As in COCO (Lin et al. 2014, cocoeval of pycocotools): by
    descending score, each detection takes the most similar object (the last of equals) among those still free, if
    that reaches the threshold; an ignored one only where there is no other, and then the detection doesn't count.
    Equal scores keep their order.
    """
    turn = _turns(pairs.found, groups, scores)
    order = np.lexsort((pairs.true, pairs.similarity, ~ignored[pairs.true], pairs.found, turn))
    (found, true, similarity), turn = pairs.where(order), turn[order]

    taking = np.zeros((2, len(groups), len(thresholds)), bool)  # objects that count, and ignored ones
    free = np.ones((len(thresholds), len(ignored)), bool)
    alike = np.zeros(len(groups))
    reached = similarity >= thresholds[:, None]
    last_turn = turn[-1] if len(turn) else -1
    for start, stop in pairwise(np.searchsorted(turn, np.arange(last_turn + 2))):
        rows = np.arange(start, stop)
        first = np.flatnonzero(np.diff(found[rows], prepend=-1))
        open_rows = np.where(reached[:, rows] & free[:, true[rows]], rows, -1)
        # A detection's pairs lie in ascending order: the last open one is the best.
        best = np.maximum.reduceat(open_rows, first, axis=1)
        threshold, column = np.nonzero(best >= 0)
        pair = best[threshold, column]
        taken, taker = true[pair], found[pair]
        taking[ignored[taken].astype(np.int64), taker, threshold] = True
        free[threshold, taken] = False
        lowest = threshold == 0
        alike[taker[lowest]] = similarity[pair[lowest]]
    right, void = taking
    return right, void, alike


def one_to_one(pairs: Pairs) -> tuple[Indices, Indices]:
    """Rows of detections and of objects, matched: the most similar pair first, each member used once.

    With pairs across classes, this is the matching of the confusion matrix.
    """
    found, true, _ = pairs.where(np.argsort(-pairs.similarity, kind="stable"))
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


def rank_in_group(groups: Indices, scores: Scores) -> Indices:
    """(n,) place from 0 of each detection in its group by descending score; equal scores keep their order."""
    order = np.lexsort((-scores, groups))
    ordered = groups[order]
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups)) - np.searchsorted(ordered, ordered, "left")
    return rank


def _turns(found: Indices, groups: Indices, scores: Scores) -> Indices:
    """For each pair, the place of its detection among those of its group that have pairs."""
    detections, inverse = np.unique(found, return_inverse=True)
    return rank_in_group(groups[detections], scores[detections])[inverse]
