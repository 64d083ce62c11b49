"""From detections to mAP: ours against pycocotools, on made-up detections of known number."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.harness import compare
from yolocore.data.labels import Labels
from yolocore.detections import Detections
from yolocore.evaluate import measure

IMAGES, CLASSES, SIDE = 500, 20, 640
NAMES = tuple(f"class {i}" for i in range(CLASSES))


def boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    corner, size = rng.uniform(0, SIDE - 100, (n, 2)), rng.uniform(10, 100, (n, 2))
    return np.concatenate((corner, corner + size), 1).astype(np.float32)


def make(seed: int = 0) -> tuple[list[Detections], list[Labels]]:
    """Images with 8 objects each, found with noise, among 60 false alarms."""
    rng = np.random.default_rng(seed)
    found, labels = [], []
    for _ in range(IMAGES):
        truth, classes = boxes(rng, 8), rng.integers(CLASSES, size=8)
        noisy = truth + np.tile(rng.normal(0, 4, (8, 2)), 2).astype(np.float32)
        scores = np.concatenate((rng.uniform(0.2, 1, 8), rng.uniform(0, 0.6, 60))).astype(np.float32)
        found.append(
            Detections(
                np.concatenate((noisy, boxes(rng, 60))),
                scores,
                np.concatenate((classes, rng.integers(CLASSES, size=60))),
            )
        )
        labels.append(Labels(classes=classes, boxes=truth))
    return found, labels


def by_pycocotools(found: list[Detections], labels: list[Labels]) -> float:
    def rows(boxes: np.ndarray) -> list[list[float]]:
        return np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), 1).tolist()

    truth = [
        {"image_id": image, "category_id": int(c), "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for image, each in enumerate(labels)
        for c, box in zip(each.classes, rows(each.boxes), strict=True)
    ]
    results = [
        {"image_id": image, "category_id": int(c), "bbox": box, "score": float(score)}
        for image, each in enumerate(found)
        for c, box, score in zip(each.classes, rows(each.boxes), each.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image} for image in range(len(labels))],
            "categories": [{"id": c} for c in range(CLASSES)],
            "annotations": [{**row, "id": number} for number, row in enumerate(truth, 1)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def main() -> None:
    found, labels = make()
    ours, theirs = measure(found, labels, NAMES, 100).map50_95, by_pycocotools(found, labels)
    assert abs(ours - theirs) < 1e-6, (ours, theirs)
    compare(
        f"mAP50-95 of {IMAGES} images, {CLASSES} classes, 68 detections each (both find {ours:.6f})",
        {
            "yolocore": lambda: measure(found, labels, NAMES, 100),
            "pycocotools": lambda: by_pycocotools(found, labels),
        },
        rounds=5,
    )
