"""The figures of a model on a split, and `measure`: a pure function of what was found and what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from yolocore.data.labels import Labels
from yolocore.detections import Classification, Detections
from yolocore.evaluate.accuracy import THRESHOLDS, Accuracy, Roc, accuracy, mean, receiver_operating
from yolocore.evaluate.matching import Indices, Mask, Pairs, Scores, one_to_one, rank_in_group, similar_pairs
from yolocore.evaluate.similarity import KINDS, Kind, column, keypoints_column, similarity
from yolocore.meta import Task

CONFUSION_CONF = 0.25
CONFUSION_IOU = 0.45

PREFIXES: dict[Kind, str] = {"box": "", "rotated": "", "mask": "mask_", "pose": "pose_"}


def named(kind: Kind, figure: str) -> str:
    """What a figure of a kind is called among all. How alike keypoints are is no IoU."""
    return PREFIXES[kind] + ("oks" if (kind, figure) == ("pose", "iou") else figure)


class Metrics(Protocol):
    """What every task's figures are.

    names: all class names. images: number. classes: (k,) indices of those that have labels. objects: (k,) how many
    (classify: images). confusion: counts, [predicted, true]. roc: of all guesses together. fitness: the one number
    that says which of two models is better.
    """

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def images(self) -> int: ...
    @property
    def classes(self) -> Indices: ...
    @property
    def objects(self) -> Indices: ...
    @property
    def confusion(self) -> Indices: ...
    @property
    def roc(self) -> Roc: ...
    @property
    def fitness(self) -> float: ...
    def summary(self) -> dict[str, float]:
        """The figures of the whole split by name."""

    def per_class(self) -> dict[str, dict[str, float]]:
        """The figures of each class that has labels, by class name."""


@dataclass(frozen=True, eq=False)
class DetectionMetrics:
    """Of all tasks but classify.

    accuracies: by each of the task's kinds of similarity, the principal one first.
    confusion: (nc + 1, nc + 1) counts, [predicted, true]; the last row is 'missed', the last column
    'nothing there'; confidence above 0.25, IoU (of the first kind) above 0.45.
    """

    names: tuple[str, ...]
    images: int
    accuracies: Mapping[Kind, Accuracy]
    confusion: Indices

    @property
    def principal(self) -> Accuracy:
        """By boxes, rotated ones where the task has these."""
        return next(iter(self.accuracies.values()))

    @property
    def classes(self) -> Indices:
        return self.principal.classes

    @property
    def objects(self) -> Indices:
        return self.principal.objects

    @property
    def roc(self) -> Roc:
        return self.principal.roc

    @property
    def map50_95(self) -> float:
        return self.principal.map50_95

    @property
    def map50(self) -> float:
        return self.principal.map50

    @property
    def fitness(self) -> float:
        """mAP50-95, of boxes and masks or keypoints together where the task has these."""
        return sum(each.map50_95 for each in self.accuracies.values())

    def summary(self) -> dict[str, float]:
        """The figures of boxes under their plain names, others as mask_… or pose_…, each kind at its own best
        confidence; `confidence` is the boxes'."""
        figures = {
            named(kind, name): value for kind, each in self.accuracies.items() for name, value in each.summary().items()
        }
        return {name: value for name, value in figures.items() if not name.endswith("_confidence")}

    def per_class(self) -> dict[str, dict[str, float]]:
        result: dict[str, dict[str, float]] = {}
        for kind, each in self.accuracies.items():
            for label, figures in each.per_class().items():
                row = result.setdefault(self.names[label], {"objects": figures.pop("objects")})
                row |= {named(kind, name): value for name, value in figures.items()}
        return result


@dataclass(frozen=True, eq=False)
class ClassificationMetrics:
    """Of classify.

    top1, top5: share of the images whose class is the most probable one, or among the five. confusion: (nc, nc)
    counts of images, [predicted, true]. found, true: of each image, and its class.
    """

    names: tuple[str, ...]
    images: int
    top1: float
    top5: float
    confusion: Indices
    found: Sequence[Classification]
    true: Indices

    @property
    def roc(self) -> Roc:
        """Of each class of each image as a guess."""
        probabilities = np.array([each.probabilities for each in self.found], np.float32).reshape(-1, len(self.names))
        right = self.true[:, None] == np.arange(len(self.names))
        return receiver_operating(probabilities.ravel(), right.ravel(), self.images)

    @property
    def classes(self) -> Indices:
        return np.flatnonzero(self.confusion.sum(axis=0))

    @property
    def objects(self) -> Indices:
        return self.confusion.sum(axis=0)[self.classes]

    @property
    def fitness(self) -> float:
        return (self.top1 + self.top5) / 2

    def summary(self) -> dict[str, float]:
        """Precision, recall and F1 are means of the classes that have images."""
        rows = self.per_class().values()
        means = {name: mean(np.array([row[name] for row in rows])) for name in ("precision", "recall", "f1")}
        return {"top1": self.top1, "top5": self.top5, **means}

    def per_class(self) -> dict[str, dict[str, float]]:
        result = {}
        predicted, true, right = self.confusion.sum(axis=1), self.confusion.sum(axis=0), self.confusion.diagonal()
        for label in np.flatnonzero(true).tolist():
            hits = float(right[label])
            result[self.names[label]] = {
                "objects": int(true[label]),
                "precision": hits / max(float(predicted[label]), 1),
                "recall": hits / float(true[label]),
                "f1": 2 * hits / float(predicted[label] + true[label]),
            }
        return result


def measure(
    found: Sequence[Detections | Classification],
    labels: Sequence[Labels],
    names: Sequence[str],
    max_det: int = 300,
    task: Task = "detect",
) -> Metrics:
    """Compare what was found in each image with what is there. found[i], labels[i]: of the same image; classes
    index into names. Other parameters as in `measure_detections`."""
    if task == "classify":
        return measure_classes([each for each in found if isinstance(each, Classification)], labels, names)
    return measure_detections([each for each in found if isinstance(each, Detections)], labels, names, max_det, task)


def measure_classes(
    found: Sequence[Classification], labels: Sequence[Labels], names: Sequence[str]
) -> ClassificationMetrics:
    """labels: of each image its one class, as an object."""
    true = np.array([int(truth.classes[0]) for truth in labels], np.int64)
    # Where there are fewer than five classes, they are repeated.
    best = np.array([np.resize(each.top(5), 5) for each in found], np.int64).reshape(-1, 5)
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (best[:, 0], true), 1)
    among = best == true[:, None]
    return ClassificationMetrics(
        names=tuple(names),
        images=len(labels),
        top1=mean(among[:, 0]),
        top5=mean(among.any(axis=1)),
        confusion=confusion,
        found=found,
        true=true,
    )


def measure_detections(
    found: Sequence[Detections],
    labels: Sequence[Labels],
    names: Sequence[str],
    max_det: int = 300,
    task: Task = "detect",
) -> DetectionMetrics:
    """found: with the columns that the task has. max_det: detections of an image and class beyond the best so many
    don't count (COCO's own is 100, for keypoints 20)."""
    nc = len(names)
    found = [
        each if len(each) <= max_det else each[rank_in_group(each.classes, each.scores) < max_det] for each in found
    ]
    image = np.repeat(np.arange(len(found)), [len(each) for each in found])
    true_image = np.repeat(np.arange(len(labels)), [len(truth) for truth in labels])
    classes, true_classes = (
        np.concatenate([np.zeros(0, np.int64), *(each.classes for each in images)]) for images in (found, labels)
    )
    scores = column(found, "scores", ())
    principal, *others = KINDS[task]
    near = similar_pairs(image, true_image, similarity(principal, found, labels), np.nextafter(CONFUSION_IOU, 1))
    confusion = _confusion(near, scores, classes, true_classes, nc)
    same = classes[near.found] == true_classes[near.true]
    pairs = {principal: near.where(same & (near.similarity >= THRESHOLDS[0]))}
    groups, true_groups = image * nc + classes, true_image * nc + true_classes
    for kind in others:
        pairs[kind] = similar_pairs(groups, true_groups, similarity(kind, found, labels), THRESHOLDS[0])
    accuracies = {
        kind: accuracy(each, image, scores, classes, true_image, true_classes, _ignored(kind, labels))
        for kind, each in pairs.items()
    }
    return DetectionMetrics(tuple(names), len(labels), accuracies, confusion)


def _ignored(kind: Kind, labels: Sequence[Labels]) -> Mask:
    """(m,) objects that need not be found: of keypoints, as in COCO, those without a labelled one."""
    if kind == "pose":
        return (keypoints_column(labels)[..., 2] > 0).sum(axis=1) == 0
    return np.zeros(sum(map(len, labels)), bool)


def _confusion(near: Pairs, scores: Scores, classes: Indices, true_classes: Indices, nc: int) -> Indices:
    sure = scores > CONFUSION_CONF
    found, true = one_to_one(near.where(sure[near.found]))
    sure[found] = False
    matrix = np.zeros((nc + 1, nc + 1), np.int64)
    np.add.at(matrix, (classes[found], true_classes[true]), 1)
    np.add.at(matrix[:, nc], classes[sure], 1)
    np.add.at(matrix[nc], np.delete(true_classes, true), 1)
    return matrix
