"""From detections to mAP: ours against pycocotools and faster-coco-eval, on made-up detections of known number.

Each starts from the form that it takes: ours from arrays, the others from lists of rows that are made before
the clock starts. Their figures are COCO's twelve; ours come with the curves and the confusion matrix.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import faster_coco_eval
import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.harness import compare
from yolocore.data.labels import Labels
from yolocore.detections import Detections
from yolocore.evaluate import measure
from yolocore.masks import rasterize
from yolocore.meta import Task

CLASSES, SIDE, MAX_DET = 80, 640, 100
NAMES = tuple(f"class {i}" for i in range(CLASSES))
Rows = tuple[dict[str, Any], list[dict[str, Any]]]


def boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    corner, size = rng.uniform(0, SIDE - 100, (n, 2)), rng.uniform(10, 100, (n, 2))
    return np.concatenate((corner, corner + size), 1).astype(np.float32)


def diamonds(boxes: np.ndarray) -> tuple[tuple[np.ndarray, ...], ...]:
    """For each box an outline of eight corners in it."""
    angle = np.arange(8) * np.pi / 4
    half, centre = (boxes[:, 2:] - boxes[:, :2]) / 2, (boxes[:, 2:] + boxes[:, :2]) / 2
    outline = np.stack((np.cos(angle), np.sin(angle)), 1)
    return tuple(((c + h * outline).astype(np.float32),) for c, h in zip(centre, half, strict=True))


def make(images: int, alarms: int, masks: bool = False, seed: int = 0) -> tuple[list[Detections], list[Labels]]:
    """Images with 7 objects each of few classes, found with noise, among false alarms half of which are of these."""
    rng = np.random.default_rng(seed)
    found, labels = [], []
    for _ in range(images):
        truth, classes = boxes(rng, 7), rng.choice(rng.integers(CLASSES, size=3), 7)
        noisy = truth + np.tile(rng.normal(0, 4, (7, 2)), 2).astype(np.float32)
        every = np.concatenate((noisy, boxes(rng, alarms)))
        foreign = np.where(rng.random(alarms) < 0.5, rng.choice(classes, alarms), rng.integers(CLASSES, size=alarms))
        scores = np.concatenate((rng.uniform(0.2, 1, 7), rng.uniform(0, 0.6, alarms))).astype(np.float32)
        drawn = rasterize(diamonds(every), (SIDE, SIDE)) if masks else None
        found.append(Detections(every, scores, np.concatenate((classes, foreign)), masks=drawn))
        labels.append(Labels(classes=classes, boxes=truth, polygons=diamonds(truth) if masks else None))
    return found, labels


def rows(found: list[Detections], labels: list[Labels]) -> Rows:
    """The same as pycocotools takes it: a data set and results."""
    truth: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, (detections, objects) in enumerate(zip(found, labels, strict=True)):
        drawn = rasterize(objects.polygons, (SIDE, SIDE)) if objects.polygons else None
        for given, masks, into in ((objects, drawn, truth), (detections, detections.masks, results)):
            xywh = np.concatenate((given.boxes[:, :2], given.boxes[:, 2:] - given.boxes[:, :2]), 1).astype(float)
            made = [
                {"image_id": image, "category_id": c, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
                for c, box in zip(given.classes.tolist(), xywh.tolist(), strict=True)
            ]
            if masks is not None:
                encoded = rle.encode(np.asfortranarray(masks.dense().transpose(1, 2, 0).astype(np.uint8)))
                for row, counts in zip(made, encoded, strict=True):
                    row["segmentation"] = counts
            into += made
    for row, score in zip(results, np.concatenate([each.scores for each in found]).tolist(), strict=True):
        row["score"] = score
    dataset = {
        "images": [{"id": image, "height": SIDE, "width": SIDE} for image in range(len(labels))],
        "categories": [{"id": c, "name": name} for c, name in enumerate(NAMES)],
        "annotations": [{**row, "id": number} for number, row in enumerate(truth, 1)],
    }
    return dataset, results


def by_arrays(kind: str, found: list[Detections], labels: list[Labels]) -> float:
    task: Task = "segment" if kind == "segm" else "detect"
    summary = measure(found, labels, NAMES, MAX_DET, task).summary()
    return summary["mask_map50_95" if kind == "segm" else "map50_95"]


def by_rows(coco_class: Any, evaluation_class: Any, kind: str, rows: Rows) -> float:
    """mAP50-95 by pycocotools or by what has its interface."""
    dataset, results = rows
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_class()
        coco.dataset = dataset
        coco.createIndex()
        evaluation = evaluation_class(coco, coco.loadRes([dict(row) for row in results]), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def main() -> None:
    for title, kind, found, labels in (
        ("boxes of 5,000 images", "bbox", *make(5000, 93)),
        ("masks and boxes of 500 images", "segm", *make(500, 43, masks=True)),
    ):
        given = rows(found, labels)
        runs: dict[str, Callable[[], float]] = {
            "yolocore": partial(by_arrays, kind, found, labels),
            "faster-coco-eval": partial(by_rows, faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster, kind, given),
            "pycocotools": partial(by_rows, COCO, COCOeval, kind, given),
        }
        figures: dict[str, float] = {}

        def contest(name: str, run: Callable[[], float], figures: dict[str, float] = figures) -> None:
            figures[name] = run()

        compare(
            f"from detections to mAP: {title}, {CLASSES} classes, {len(found[0])} detections each",
            {name: partial(contest, name, run) for name, run in runs.items()},
            rounds=2,
        )
        assert np.ptp(list(figures.values())) < 1e-6, figures
        print(f"all find mAP50-95 = {figures['yolocore']:.6f}")
