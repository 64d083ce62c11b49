"""How alike a detection and an object are: by their boxes, rotated boxes, masks or keypoints.

Each kind is made from the detections and labels of all images, whose rows are numbered through. It answers
for pairs within an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from yolocore import boxes, masks, rotated
from yolocore.data.labels import Labels
from yolocore.detections import Detections
from yolocore.evaluate.matching import Floats, Indices, Similarity
from yolocore.meta import Task

Kind = Literal["box", "rotated", "mask", "pose"]

# By which kinds each task is judged, the principal one first.
KINDS: dict[Task, tuple[Kind, ...]] = {
    "detect": ("box",),
    "segment": ("box", "mask"),
    "pose": ("box", "pose"),
    "obb": ("rotated",),
}

# How far annotators' keypoints of people scatter, as a share of the object's size: nose, then pairs of eyes, ears,
# shoulders, elbows, wrists, hips, knees, ankles (COCO keypoint evaluation, cocodataset.org/#keypoints-eval).
_PERSON = (0.026, *np.repeat([0.025, 0.035, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089], 2).tolist())
_BOX_SHARE = 0.53  # area of an object as a share of its box's, where no outline says it


def keypoint_sigmas(count: int) -> tuple[float, ...]:
    """Of each of an object's keypoints: COCO's for the 17 of people, alike for any others."""
    return _PERSON if count == len(_PERSON) else (1 / max(count, 1),) * count


def similarity(kind: Kind, found: Sequence[Detections], labels: Sequence[Labels]) -> Similarity:
    """found[i], labels[i]: of the same image."""
    return _SIMILARITIES[kind](found, labels)


def box_similarity(found: Sequence[Detections], labels: Sequence[Labels]) -> Similarity:
    """Intersection over union of boxes."""
    boxes_found, boxes_true = column(found, "boxes", (4,)), column(labels, "boxes", (4,))
    return _where_meeting(boxes_found, boxes_true, boxes_found, boxes_true, boxes.paired_iou)


def rotated_similarity(found: Sequence[Detections], labels: Sequence[Labels]) -> Similarity:
    """Intersection over union of rotated boxes."""
    boxes_found, boxes_true = column(found, "rotated", (5,)), column(labels, "rotated", (5,))
    upright_found, upright_true = rotated.enclosing(boxes_found), rotated.enclosing(boxes_true)
    return _where_meeting(upright_found, upright_true, boxes_found, boxes_true, rotated.paired_iou)


def mask_similarity(found: Sequence[Detections], labels: Sequence[Labels]) -> Similarity:
    """Intersection over union of masks. An object without an outline has its box as such."""
    starts = np.cumsum([0, *map(len, found)])
    true_starts = np.cumsum([0, *map(len, labels)])

    def measure(rows: Indices, objects: Indices) -> Floats:
        # One image at a time: as pictures, all objects of a large split don't fit in memory.
        result = np.zeros(len(rows))
        image = np.searchsorted(starts, rows, "right") - 1
        for index in np.unique(image).tolist():
            guesses = found[index].masks
            assert guesses is not None
            truth = masks.rasterize(_outlines(labels[index]), guesses.shape)
            here = np.flatnonzero(image == index)
            result[here] = masks.paired_iou(
                guesses, truth, rows[here] - starts[index], objects[here] - true_starts[index]
            )
        return result

    return measure


def pose_similarity(found: Sequence[Detections], labels: Sequence[Labels]) -> Similarity:
    """Object keypoint similarity as COCO defines it (cocodataset.org/#keypoints-eval), over the labelled keypoints.

    An object's area is that of its outline where it is labelled, else 0.53 of its box's. Where no keypoint is
    labelled, what counts is how far a detection's reach out of the box made three times as large.
    """
    true = keypoints_column(labels)
    points = column(found, "keypoints", true.shape[1:])[..., :2].astype(np.float64)
    seen, true = true[..., 2] > 0, true[..., :2].astype(np.float64)
    unseen = seen.sum(axis=1) == 0
    corners = column(labels, "boxes", (4,)).astype(np.float64)
    size = corners[:, 2:] - corners[:, :2]
    low, high = corners[:, None, :2] - size[:, None], corners[:, None, 2:] + size[:, None]
    sigmas = np.array(keypoint_sigmas(true.shape[1]))
    area = np.array([each for truth in labels for each in _areas(truth)]) + np.spacing(1)

    def measure(rows: Indices, objects: Indices) -> Floats:
        guess = points[rows]
        alone = unseen[objects, None]
        target = np.where(alone[..., None], guess.clip(low[objects], high[objects]), true[objects])
        distance = ((guess - target) ** 2).sum(axis=2)
        closeness = np.exp(-distance / (2 * sigmas) ** 2 / area[objects, None] / 2)
        counted = seen[objects] | alone
        return (closeness * counted).sum(axis=1) / counted.sum(axis=1)

    return measure


_SIMILARITIES: dict[Kind, Callable[[Sequence[Detections], Sequence[Labels]], Similarity]] = {
    "box": box_similarity,
    "rotated": rotated_similarity,
    "mask": mask_similarity,
    "pose": pose_similarity,
}


def column(images: Sequence[Detections] | Sequence[Labels], name: str, row: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """(n, *row) float32: a column of the detections or labels of all images."""
    return np.concatenate([np.zeros((0, *row), np.float32), *(getattr(each, name) for each in images if len(each))])


def keypoints_column(labels: Sequence[Labels]) -> npt.NDArray[np.float32]:
    """(m, k, 3) float32 keypoints of the objects of all images; all 0 where an image has none."""
    count = max((truth.keypoints.shape[1] for truth in labels if truth.keypoints is not None), default=0)
    unlabelled = (np.zeros((len(truth), count, 3), np.float32) for truth in labels)
    given = [
        none if truth.keypoints is None else truth.keypoints for truth, none in zip(labels, unlabelled, strict=True)
    ]
    return np.concatenate([np.zeros((0, count, 3), np.float32), *(each for each in given if len(each))])


def _where_meeting(
    upright_found: boxes.Boxes,
    upright_true: boxes.Boxes,
    exact_found: boxes.Boxes,
    exact_true: boxes.Boxes,
    iou: Callable[[boxes.Boxes, boxes.Boxes], Any],
) -> Similarity:
    """IoU in float64 of the pairs whose upright boxes meet, 0 for the others: most pairs don't."""
    found, true = list(np.ascontiguousarray(upright_found.T)), list(np.ascontiguousarray(upright_true.T))

    def measure(rows: Indices, objects: Indices) -> Floats:
        meeting, i, j = np.arange(len(rows)), rows, objects
        for low, high in ((0, 2), (1, 3)):
            along = np.flatnonzero((found[high][i] > true[low][j]) & (true[high][j] > found[low][i]))
            meeting, i, j = meeting[along], i[along], j[along]
        result = np.zeros(len(rows))
        result[meeting] = iou(exact_found[i].astype(np.float64), exact_true[j].astype(np.float64))
        return result

    return measure


def _outlines(labels: Labels) -> list[Sequence[npt.NDArray[np.float32]]]:
    parts = labels.polygons or ((),) * len(labels)
    corners = labels.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    return [each or (box,) for each, box in zip(parts, corners, strict=True)]


def _areas(labels: Labels) -> list[float]:
    """Of each object in square pixels: within its outline (Gauss's trapezoids), or by its box."""
    by_box = (boxes.area(labels.boxes.astype(np.float64)) * _BOX_SHARE).tolist()
    parts = labels.polygons or ((),) * len(labels)
    return [sum(map(_polygon_area, each)) if each else area for each, area in zip(parts, by_box, strict=True)]


def _polygon_area(part: npt.NDArray[np.float32]) -> float:
    x, y = part.T.astype(np.float64)
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
