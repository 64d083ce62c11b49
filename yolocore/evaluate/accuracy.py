"""How well the objects of each class were found, for one kind of similarity: average precision and curves.

AP equals pycocotools' to rounding. Precision, recall, F1, and how alike to their objects the right detections are, are
stated at the confidence where the mean F1 is highest, which is where one would set the detector's threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yolocore.evaluate.matching import Floats, Indices, Mask, Pairs, Scores, true_positives

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_POINTS = np.linspace(0, 1, 101)
CONFIDENCES = np.linspace(0, 1, 1000)

_ROC_POINTS = 32
_SMOOTHING = 0.1  # share of the confidence axis over which the mean F1 is averaged before its peak is sought


@dataclass(frozen=True, eq=False)
class Roc:
    """How well a score tells right guesses from wrong ones: what of each is left at a confidence, which descends.

    confidences: (p,). false_positive_rate: (p,) share of all wrong guesses. true_positive_rate: (p,) share of all
    that there is to be found.
    """

    confidences: Floats
    false_positive_rate: Floats
    true_positive_rate: Floats


@dataclass(frozen=True, eq=False)
class Ranking:
    """The matched detections of all images by class and then by descending score: what every figure is made of.

    images, scores: (n,) of each detection. right, void: (n, 10) whether it is right, and whether it doesn't count,
    at each of THRESHOLDS. alike: (n,) similarity to the object that it takes at the lowest of these.
    begin, end: (k,) its rows for each of the k classes that have objects to be found.
    true_images, true_classes: (m,) image and place among the k classes of each object to be found.
    """

    images: Indices
    scores: Scores
    right: Mask
    void: Mask
    alike: Floats
    begin: Indices
    end: Indices
    true_images: Indices
    true_classes: Indices


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Arrays have a row for each of the k classes that have objects to be found.

    classes: (k,) indices. objects: (k,) how many there are. ranking: the detections behind the figures.
    ap: (k, 10) average precision at each of THRESHOLDS.
    pr_curve: (k, 101) precision at each of RECALL_POINTS, threshold 0.5.
    precision_curve, recall_curve, f1_curve: (k, 1000) at each of CONFIDENCES, threshold 0.5.
    """

    classes: Indices
    objects: Indices
    ranking: Ranking
    ap: Floats
    pr_curve: Floats
    precision_curve: Floats
    recall_curve: Floats
    f1_curve: Floats

    @property
    def map50_95(self) -> float:
        return mean(self.ap)

    @property
    def map50(self) -> float:
        return mean(self.ap[:, 0])

    @property
    def map75(self) -> float:
        return mean(self.ap[:, 5])

    @property
    def best(self) -> int:
        """Index into CONFIDENCES where the mean F1, slightly smoothed, is highest."""
        curve = self.f1_curve.mean(axis=0) if len(self.classes) else np.zeros(len(CONFIDENCES))
        half = round(len(curve) * _SMOOTHING / 2)
        padded = np.pad(curve, half, mode="edge")
        return int(np.convolve(padded, np.ones(2 * half + 1), mode="valid").argmax())

    @property
    def confidence(self) -> float:
        return float(CONFIDENCES[self.best])

    @property
    def precision(self) -> float:
        return mean(self.precision_curve[:, self.best])

    @property
    def recall(self) -> float:
        return mean(self.recall_curve[:, self.best])

    @property
    def f1(self) -> float:
        return mean(self.f1_curve[:, self.best])

    @property
    def iou(self) -> float:
        """Mean similarity (of boxes and masks their IoU) of the right detections of all classes to their objects,
        threshold 0.5."""
        confidence = self.confidence
        rows = range(len(self.classes))
        return mean(np.concatenate([np.zeros(0), *(self._alike(row, confidence) for row in rows)]))

    def _alike(self, row: int, confidence: float) -> Floats:
        """Of each right detection of a class, at a confidence."""
        ranking, own = self.ranking, slice(self.ranking.begin[row], self.ranking.end[row])
        return ranking.alike[own][ranking.right[own, 0] & (ranking.scores[own] >= confidence)]

    @property
    def roc(self) -> Roc:
        """Of the detections of all classes together, threshold 0.5."""
        ranking = self.ranking
        rows = [np.arange(begin, end) for begin, end in zip(ranking.begin, ranking.end, strict=True)]
        counted = np.concatenate([np.zeros(0, np.int64), *rows])
        counted = counted[~ranking.void[counted, 0]]
        return receiver_operating(ranking.scores[counted], ranking.right[counted, 0], int(self.objects.sum()))

    def summary(self) -> dict[str, float]:
        """The figures of the whole split by name."""
        names = ("map50_95", "map50", "map75", "precision", "recall", "f1", "iou", "confidence")
        return {name: getattr(self, name) for name in names}

    def per_class(self) -> dict[int, dict[str, float]]:
        """The figures of each class that has objects, by its index."""
        best = self.best
        return {
            label: {
                "objects": int(self.objects[row]),
                "map50_95": float(self.ap[row].mean()),
                "map50": float(self.ap[row, 0]),
                "precision": float(self.precision_curve[row, best]),
                "recall": float(self.recall_curve[row, best]),
                "f1": float(self.f1_curve[row, best]),
                "iou": mean(self._alike(row, float(CONFIDENCES[best]))),
            }
            for row, label in enumerate(self.classes.tolist())
        }


def accuracy(
    pairs: Pairs,
    images: Indices,
    scores: Scores,
    labels: Indices,
    true_images: Indices,
    true_labels: Indices,
    ignored: Mask,
) -> Accuracy:
    """pairs: detections and objects of the same image and class, alike by THRESHOLDS[0] or more.

    images, scores, labels: (n,) of the detections: image, score, class. true_images, true_labels, ignored: (m,)
    of the objects: image, class, and whether it need not be found.
    """
    groups = images * (labels.max(initial=0) + 1) + labels
    right, void, alike = true_positives(pairs, groups, scores, ignored, THRESHOLDS)
    classes, place, objects = np.unique(true_labels[~ignored], return_inverse=True, return_counts=True)
    order = np.argsort(-scores, kind="stable")
    # Sorting short integers is many times faster.
    order = order[np.argsort(labels[order].astype(np.min_scalar_type(labels.max(initial=0))), kind="stable")]
    begin, end = (np.searchsorted(labels[order], classes, side) for side in ("left", "right"))
    ranking = Ranking(
        images=images[order],
        scores=scores[order],
        right=right[order],
        void=void[order],
        alike=alike[order],
        begin=begin,
        end=end,
        true_images=true_images[~ignored],
        true_classes=place,
    )
    at_recall = np.zeros((len(classes), len(THRESHOLDS), len(RECALL_POINTS)))
    precision, recall = np.zeros((2, len(classes), len(CONFIDENCES)))
    for k, (b, e, positives) in enumerate(zip(begin, end, objects, strict=True)):
        right, void = ranking.right[b:e], ranking.void[b:e]
        at_recall[k] = precision_at_recall(right, void, positives)
        precision[k], recall[k] = _at_confidence(ranking.scores[b:e], right[:, 0], void[:, 0], positives)
    both = precision + recall
    return Accuracy(
        classes=classes,
        objects=objects,
        ranking=ranking,
        ap=at_recall.mean(axis=2),
        pr_curve=at_recall[:, 0],
        precision_curve=precision,
        recall_curve=recall,
        f1_curve=np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0),
    )


def precision_at_recall(right: Mask, void: Mask, positives: int) -> Floats:
    """(n, t) hits, and what doesn't count, by descending score → (t, 101) precision at each of RECALL_POINTS.

    0 beyond the recall reached. Interpolated as in PASCAL VOC 2010 and COCO: the best precision at this recall
    or a higher one. Precision peaks and recall rises at hits only, so nothing else is looked at.
    """
    result = np.zeros((right.shape[1], len(RECALL_POINTS)))
    uncounted = np.cumsum(void, axis=0) if void.any() else None
    for threshold, column in enumerate(right.T):
        hits = np.flatnonzero(column)
        nth = np.arange(1, len(hits) + 1)
        place = hits + 1 if uncounted is None else hits + 1 - uncounted[hits, threshold]
        envelope = np.maximum.accumulate((nth / place)[::-1])[::-1]
        reached = np.searchsorted(nth / positives, RECALL_POINTS, "left")
        result[threshold] = np.append(envelope, 0.0)[reached]
    return result


def receiver_operating(scores: Scores, right: Mask, positives: int) -> Roc:
    """The curve of guesses of which some are right, at about evenly spaced shares of the positives.

    scores, right: (n,) of each guess. positives: how many there are to be found.
    """
    order = np.argsort(-scores, kind="stable")
    steps = np.flatnonzero(np.diff(scores[order], append=-1))  # equal scores cannot be told apart
    hits, misses = (np.cumsum(each)[steps] for each in (right[order], ~right[order]))
    found = hits / max(positives, 1)
    places = np.searchsorted(found, np.linspace(0, found.max(initial=0), _ROC_POINTS))
    chosen = np.unique(np.append(places, len(steps) - 1)) if len(steps) else steps
    wrong = misses / max(misses.max(initial=0), 1)
    return Roc(scores[order][steps][chosen].astype(np.float64), wrong[chosen], found[chosen])


def mean(values: Floats) -> float:
    """0 of nothing."""
    return float(values.mean()) if values.size else 0.0


def _at_confidence(scores: Scores, right: Mask, void: Mask, positives: int) -> tuple[Floats, Floats]:
    """Precision and recall of the detections that reach each of CONFIDENCES; scores descend."""
    reaching = np.searchsorted(-scores, -CONFIDENCES, "right")
    hits, count = (np.concatenate([[0], np.cumsum(each)])[reaching] for each in (right, ~void))
    return np.divide(hits, count, out=np.ones(len(count)), where=count > 0), hits / positives
