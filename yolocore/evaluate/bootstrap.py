"""How sure the difference of two models on a split is: the paired bootstrap over its images.

A resample draws as many images as there are, with replacement, and both models are measured on the same ones
(Efron and Tibshirani 1993, An Introduction to the Bootstrap). Detections are matched within an image, so nothing
is matched again: a resample only says how often the detections and objects of each image count. The figures are
exactly those of `measure` on the repeated images. Blocks of resamples are computed together, class by class, and
only where something is right: of the detections in between, their number is all that precision knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from yolocore.evaluate.accuracy import RECALL_POINTS, THRESHOLDS, Accuracy
from yolocore.evaluate.matching import Floats, Indices, Mask, Scores
from yolocore.progress import SILENT, Listener

_ENTRIES = 1 << 22  # detections times resamples that are looked at together: bounds memory


class Gains(NamedTuple):
    """What the challenger has more than the champion in each of r resamples.

    map50_95: (r,). ap50_95: (r, k) of each class that has objects; 0 in a resample without objects of the class.
    """

    map50_95: Floats
    ap50_95: Floats


def paired_bootstrap(
    challenger: Accuracy,
    champion: Accuracy,
    images: int,
    *,
    resamples: int,
    seed: int,
    listener: Listener = SILENT,
) -> Gains:
    """challenger, champion: of the same split, which has so many images. The same seed draws the same images."""
    largest = max(int((each.ranking.end - each.ranking.begin).max(initial=1)) for each in (challenger, champion))
    maps, classes = np.zeros(resamples), np.zeros((resamples, len(challenger.classes)))
    listener.start("resample", resamples)
    start = 0
    for counts in _draws(images, resamples, max(1, _ENTRIES // largest), seed):
        rows = slice(start, start + len(counts))
        present = _objects(challenger, counts) > 0
        of_challenger, of_champion = resampled_ap(challenger, counts), resampled_ap(champion, counts)
        classes[rows] = of_challenger - of_champion
        # As everywhere, classes without objects are left out of the mean.
        known = np.maximum(present.sum(axis=1), 1)
        maps[rows] = of_challenger.sum(axis=1) / known - of_champion.sum(axis=1) / known
        start += len(counts)
        listener.advance(len(counts))
    return Gains(maps, classes)


def interval(samples: Floats, confidence: float) -> Floats:
    """(r, …) → (2, …): the ends between which so large a share of the resamples lies, as many below as above."""
    return np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)


def resampled_ap(accuracy: Accuracy, counts: Indices) -> Floats:
    """(b, images) how often each image is there in b resamples → (b, k) AP50-95 of each class with boxes.

    0 where a resample has no objects of the class. Raises ValueError where objects need not be found (keypoints).
    """
    ranking = accuracy.ranking
    if ranking.void.any():
        raise ValueError("objects that need not be found cannot be resampled")
    positives = _objects(accuracy, counts)
    result = np.zeros(positives.shape)
    for k, (begin, end) in enumerate(zip(ranking.begin.tolist(), ranking.end.tolist(), strict=True)):
        images, scores, right = ranking.images[begin:end], ranking.scores[begin:end], ranking.right[begin:end]
        result[:, k] = _average_precision(images, scores, right, counts, positives[:, k])
    return result


def _draws(images: int, resamples: int, block: int, seed: int) -> Iterator[Indices]:
    """(b, images) int32 how often each image is drawn in each of the next resamples, at most `block` of them."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = rng.integers(images, size=(size, images)) + np.arange(size)[:, None] * images
        yield np.bincount(drawn.ravel(), minlength=size * images).reshape(size, images).astype(np.int32)


def _objects(accuracy: Accuracy, counts: Indices) -> Indices:
    """(b, k) objects of each class in each resample."""
    ranking, k = accuracy.ranking, len(accuracy.classes)
    places = (counts[:, ranking.true_images[ranking.true_classes == each]].sum(axis=1) for each in range(k))
    return np.stack([np.zeros(len(counts), np.int64), *places], axis=1)[:, 1:]


def _average_precision(images: Indices, scores: Scores, right: Mask, counts: Indices, positives: Indices) -> Floats:
    """(b,) AP50-95 of a class. images, scores (n,), right (n, 10): of its detections, by descending score.

    A detection whose image is there w times is w in a row. Among right ones precision only rises, so the last of
    them is the one that matters, and one that is there 0 times is never better than the one before it.
    """
    rows, copies, tied = _in_order(images, scores, int(counts.max(initial=0)))
    right = right[rows]
    hits = np.flatnonzero(right.any(axis=1))
    if not len(hits):
        return np.zeros(len(counts))
    last = hits[-1] + 1
    rows, copies, tied = rows[:last], copies[:last], tied[:last]
    weights = counts.take(images[rows], axis=1)
    if tied.any():
        weights[:, tied] = (weights[:, tied] - copies[tied]).clip(0, 1)
    between = np.add.reduceat(weights, np.append(0, hits[:-1] + 1), axis=1, dtype=np.int32)
    place, weights = np.cumsum(between, axis=1, dtype=np.int32), weights[:, hits]

    known, which = np.unique(positives, return_inverse=True)
    reached, offset = _recall_points_reached(known)
    total = np.zeros(len(counts))
    for column in right[hits].T:
        chosen = np.flatnonzero(column)
        found = np.cumsum(weights[:, chosen], axis=1, dtype=np.int32)
        precision = found / np.maximum(place[:, chosen], 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        points = np.diff(reached[offset[which][:, None] + found], axis=1, prepend=0)
        total += np.einsum("bh,bh->b", envelope, points)
    return total / (len(THRESHOLDS) * len(RECALL_POINTS))


def _in_order(images: Indices, scores: Scores, most: int) -> tuple[Indices, Indices, Mask]:
    """(n,) detections by descending score → the order in which they stand when images are there several times.

    That is their own, except where detections of one image have equal scores: all of the image's first copy come
    before those of its second. Such detections are listed once for each of up to `most` copies.
    Returns rows, the number of the copy, and whether it is one of several: three times (N,).
    """
    first = np.flatnonzero(np.append(True, (images[1:] != images[:-1]) | (scores[1:] != scores[:-1]))[: len(images)])
    length = np.diff(np.append(first, len(images)))
    size = np.where(length > 1, length * most, 1)
    run = np.repeat(np.arange(len(first)), size)
    within = np.arange(len(run)) - np.repeat(np.cumsum(size) - size, size)
    copies, member = np.divmod(within, length[run])
    return first[run] + member, copies, length[run] > 1


def _recall_points_reached(positives: Indices) -> tuple[Floats, Indices]:
    """How many of RECALL_POINTS are reached with 0, 1, 2, … of so many objects found; none with 0.

    positives: (p,). Returns the answers for each of them one after the other, and (p,) where each one's begin.
    """
    tables = [np.searchsorted(RECALL_POINTS, np.arange(1, p + 1) / max(p, 1), "right") for p in positives.tolist()]
    offset = np.cumsum([0, *(len(table) + 1 for table in tables[:-1])])[: len(positives)]
    return np.concatenate([np.append(0.0, table) for table in tables]), offset
