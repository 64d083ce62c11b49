"""The figures of a detector on a split: average precision as COCO defines it, and what people read besides.

`measure` is a pure function of detections and labels. mAP50-95 and its relatives equal pycocotools'
to rounding. Precision, recall and F1 are stated at the confidence where the mean F1 is highest, which
is where one would set the detector's threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolocore.data.labels import Labels
from yolocore.detections import Detections
from yolocore.evaluate.matching import Floats, Indices, Mask, one_to_one, rank_in_group, true_positives

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_POINTS = np.linspace(0, 1, 101)
CONFIDENCES = np.linspace(0, 1, 1000)

CONFUSION_CONF = 0.25
CONFUSION_IOU = 0.45
_SMOOTHING = 0.1  # share of the confidence axis over which the mean F1 is averaged before its peak is sought


@dataclass(frozen=True, eq=False)
class DetectionMetrics:
    """What `measure` found. Arrays have a row for each of the k classes that have labels.

    names: all class names. classes: (k,) indices into them. objects: (k,) labelled objects. images: number.
    ap: (k, 10) average precision at each of IOU_THRESHOLDS.
    pr_curve: (k, 101) precision at each of RECALL_POINTS, IoU 0.5.
    precision_curve, recall_curve, f1_curve: (k, 1000) at each of CONFIDENCES, IoU 0.5.
    confusion: (nc + 1, nc + 1) counts, [predicted, true]; the last row is 'missed', the last column
    'nothing there'; confidence above 0.25, IoU above 0.45.
    """

    names: tuple[str, ...]
    images: int
    classes: Indices
    objects: Indices
    ap: Floats
    pr_curve: Floats
    precision_curve: Floats
    recall_curve: Floats
    f1_curve: Floats
    confusion: Indices

    @property
    def map50_95(self) -> float:
        return _mean(self.ap)

    @property
    def map50(self) -> float:
        return _mean(self.ap[:, 0])

    @property
    def map75(self) -> float:
        return _mean(self.ap[:, 5])

    @property
    def best(self) -> int:
        """Index into CONFIDENCES where the mean F1, slightly smoothed, is highest."""
        mean = self.f1_curve.mean(axis=0) if len(self.classes) else np.zeros(len(CONFIDENCES))
        half = round(len(mean) * _SMOOTHING / 2)
        padded = np.pad(mean, half, mode="edge")
        return int(np.convolve(padded, np.ones(2 * half + 1), mode="valid").argmax())

    @property
    def confidence(self) -> float:
        return float(CONFIDENCES[self.best])

    @property
    def precision(self) -> float:
        return _mean(self.precision_curve[:, self.best])

    @property
    def recall(self) -> float:
        return _mean(self.recall_curve[:, self.best])

    @property
    def f1(self) -> float:
        return _mean(self.f1_curve[:, self.best])

    def summary(self) -> dict[str, float]:
        """The figures of the whole split by name."""
        names = ("map50_95", "map50", "map75", "precision", "recall", "f1", "confidence")
        return {name: getattr(self, name) for name in names}

    def per_class(self) -> dict[str, dict[str, float]]:
        """The figures of each class that has labels, by class name."""
        best = self.best
        return {
            self.names[label]: {
                "objects": int(self.objects[row]),
                "map50_95": float(self.ap[row].mean()),
                "map50": float(self.ap[row, 0]),
                "precision": float(self.precision_curve[row, best]),
                "recall": float(self.recall_curve[row, best]),
                "f1": float(self.f1_curve[row, best]),
            }
            for row, label in enumerate(self.classes)
        }


def measure(
    found: Sequence[Detections], labels: Sequence[Labels], names: Sequence[str], max_det: int = 300
) -> DetectionMetrics:
    """Compare what was found in each image with what is there.

    found[i] and labels[i] belong to the same image; classes index into names.
    max_det: detections of an image and class beyond the best so many don't count (COCO's own is 100).
    """
    images, nc = len(labels), len(names)
    every = Detections.merge(found)
    image = np.repeat(np.arange(images), [len(f) for f in found])
    true_image = np.repeat(np.arange(images), [len(truth) for truth in labels])
    true_class = np.concatenate([np.zeros(0, np.int64), *(truth.classes for truth in labels)])
    true_boxes = np.concatenate([np.zeros((0, 4)), *(truth.boxes for truth in labels)], dtype=np.float64)

    if max((len(f) for f in found), default=0) > max_det:
        counted = rank_in_group(image * nc + every.classes, every.scores) < max_det
        every, image = every[counted], image[counted]
    boxes = every.boxes.astype(np.float64)
    right = true_positives(
        boxes, image * nc + every.classes, every.scores, true_boxes, true_image * nc + true_class, IOU_THRESHOLDS
    )

    classes, objects = np.unique(true_class, return_counts=True)
    order = np.lexsort((-every.scores, every.classes))
    begin, end = (np.searchsorted(every.classes[order], classes, side) for side in ("left", "right"))
    rows = [order[b:e] for b, e in zip(begin, end, strict=True)]
    at_recall = np.zeros((len(classes), len(IOU_THRESHOLDS), len(RECALL_POINTS)))
    precision, recall = np.zeros((2, len(classes), len(CONFIDENCES)))
    for k, (row, positives) in enumerate(zip(rows, objects, strict=True)):
        at_recall[k] = precision_at_recall(right[row], positives)
        precision[k], recall[k] = _at_confidence(every.scores[row], right[row, 0], positives)
    both = precision + recall
    return DetectionMetrics(
        names=tuple(names),
        images=images,
        classes=classes,
        objects=objects,
        ap=at_recall.mean(axis=2),
        pr_curve=at_recall[:, 0],
        precision_curve=precision,
        recall_curve=recall,
        f1_curve=np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0),
        confusion=_confusion(every, image, true_boxes, true_class, true_image, nc),
    )


def precision_at_recall(right: Mask, positives: int) -> Floats:
    """(n, t) hits by descending score → (t, 101) precision at each of RECALL_POINTS; 0 beyond the recall reached.

    Interpolated as in PASCAL VOC 2010 and COCO: the best precision at this recall or a higher one. Precision
    peaks and recall rises at hits only, so nothing else is looked at.
    """
    result = np.zeros((right.shape[1], len(RECALL_POINTS)))
    for threshold, column in enumerate(right.T):
        hits = np.flatnonzero(column)
        nth = np.arange(1, len(hits) + 1)
        envelope = np.maximum.accumulate((nth / (hits + 1))[::-1])[::-1]
        reached = np.searchsorted(nth / positives, RECALL_POINTS, "left")
        result[threshold] = np.append(envelope, 0.0)[reached]
    return result


def _at_confidence(scores: npt.NDArray[np.float32], right: Mask, positives: int) -> tuple[Floats, Floats]:
    """Precision and recall of the detections that reach each of CONFIDENCES; scores descend."""
    count = np.searchsorted(-scores, -CONFIDENCES, "right")
    hits = np.concatenate([[0], np.cumsum(right)])[count]
    return np.divide(hits, count, out=np.ones(len(count)), where=count > 0), hits / positives


def _confusion(
    every: Detections, image: Indices, true_boxes: Floats, true_class: Indices, true_image: Indices, nc: int
) -> Indices:
    sure = every.scores > CONFUSION_CONF
    classes, boxes = every.classes[sure], every.boxes[sure].astype(np.float64)
    found, true = one_to_one(boxes, image[sure], true_boxes, true_image, CONFUSION_IOU)
    matrix = np.zeros((nc + 1, nc + 1), np.int64)
    np.add.at(matrix, (classes[found], true_class[true]), 1)
    np.add.at(matrix[:, nc], np.delete(classes, found), 1)
    np.add.at(matrix[nc], np.delete(true_class, true), 1)
    return matrix


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else 0.0
