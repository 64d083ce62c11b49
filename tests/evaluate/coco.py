"""pycocotools as the reference: the same detections and labels through it."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolocore.boxes import area
from yolocore.data.labels import Labels
from yolocore.detections import Detections


def coco_ap(found, labels, classes, max_det=300):
    """(classes, 10) AP by class and IoU threshold, -1 for classes without labels."""
    truth, results = COCO(), []
    truth.dataset = {
        "images": [{"id": i} for i in range(len(labels))],
        "categories": [{"id": c} for c in range(classes)],
        "annotations": [],
    }
    for i, (detections, objects) in enumerate(zip(found, labels, strict=True)):
        for box, label in zip(objects.boxes, objects.classes, strict=True):
            annotation = {"image_id": i, "category_id": int(label), "bbox": xywh(box), "iscrowd": 0}
            annotation |= {"id": len(truth.dataset["annotations"]) + 1, "area": float(area(box[None])[0])}
            truth.dataset["annotations"].append(annotation)
        for box, label, score in zip(detections.boxes, detections.classes, detections.scores, strict=True):
            results.append({"image_id": i, "category_id": int(label), "bbox": xywh(box), "score": float(score)})
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.params.maxDets = [max_det]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., 0, 0].mean(axis=1).T  # (T, R, K) → (K, T)


def xywh(box):
    x1, y1, x2, y2 = map(float, box)
    return [x1, y1, x2 - x1, y2 - y1]


def random_split(seed, images, classes, objects, noise=0.2, grid=None):
    """Labels of random boxes and detections around them, some missing, doubled, misplaced or of another class.

    grid: coordinates and scores are rounded, so that scores tie and overlaps hit thresholds exactly.
    """
    rng = np.random.default_rng(seed)
    found, labels = [], []
    for _ in range(images):
        n = rng.integers(0, objects + 1)
        corner, size = rng.uniform(0, 100, (n, 2)), rng.uniform(5, 60, (n, 2))
        boxes, names = np.concatenate([corner, corner + size], axis=1), rng.integers(0, classes, n)
        again = rng.integers(0, max(n, 1), rng.integers(0, 3 * n + 1))
        shift = rng.normal(0, noise, (len(again), 4)) * np.tile(size[again], 2)
        near = boxes[again] + shift
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2])
        label = np.where(rng.random(len(again)) < 0.8, names[again], rng.integers(0, classes, len(again)))
        scores = rng.random(len(again))
        if grid:
            boxes, near, scores = boxes.round(-1), near.round(-1), scores.round(1)
        labels.append(Labels(names, boxes.astype(np.float32)))
        found.append(Detections(near.astype(np.float32), scores.astype(np.float32), label))
    return found, labels
