"""pycocotools as the reference: the same detections and labels through it."""

import contextlib
import io
from dataclasses import replace

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolocore.boxes import area, xyxy_to_xywh
from yolocore.data.labels import Labels
from yolocore.detections import Detections
from yolocore.evaluate.coco import rle
from yolocore.masks import rasterize
from yolocore.rotated import paired_iou, to_corners

SIZE = 170  # side of the images that `random_split` is about


class RotatedEval(COCOeval):
    """pycocotools' matching and averaging on the overlap of rotated boxes, which it doesn't know itself."""

    def computeIoU(self, image, category):  # noqa: N802
        truth, found = self._gts[image, category], self._dts[image, category]
        found = [found[i] for i in np.argsort([-each["score"] for each in found], kind="mergesort")]
        found = found[: self.params.maxDets[-1]]
        if not truth or not found:
            return []
        a, b = (np.array([each["rotated"] for each in rows], np.float64) for rows in (found, truth))
        return paired_iou(np.repeat(a, len(b), axis=0), np.tile(b, (len(a), 1))).reshape(len(a), len(b))


def coco_ap(found, labels, classes, max_det=300, kind="bbox", sigmas=None):
    """(classes, 10) AP by class and threshold, -1 for classes without labels.

    kind: bbox, segm, keypoints or rotated. sigmas: of keypoints other than people's.
    """
    truth, results = COCO(), []
    truth.dataset = {
        "images": [{"id": i, "height": SIZE, "width": SIZE} for i in range(len(labels))],
        "categories": [{"id": c} for c in range(classes)],
        "annotations": [],
    }
    for i, (detections, objects) in enumerate(zip(found, labels, strict=True)):
        for row, label in enumerate(objects.classes.tolist()):
            annotation = {"image_id": i, "category_id": label, "bbox": xywh(objects.boxes[row]), "iscrowd": 0}
            annotation |= {"id": len(truth.dataset["annotations"]) + 1}
            annotation["area"] = float(area(objects.boxes[row : row + 1].astype(float))[0])
            if kind == "segm":
                shape = detections.masks.shape if len(detections) else (SIZE, SIZE)
                annotation["segmentation"] = runs(rasterize(objects.polygons[row : row + 1], shape))
            if kind == "keypoints":
                points = objects.keypoints[row].astype(float)
                annotation |= {"keypoints": points.ravel().tolist(), "num_keypoints": int((points[:, 2] > 0).sum())}
                annotation["area"] *= 0.53
            if kind == "rotated":
                annotation["rotated"] = objects.rotated[row].tolist()
            truth.dataset["annotations"].append(annotation)
        for row, label in enumerate(detections.classes.tolist()):
            result = {"image_id": i, "category_id": label, "score": float(detections.scores[row])}
            if kind != "keypoints":  # which pycocotools tells by there being no box
                result["bbox"] = xywh(detections.boxes[row])
            if kind == "segm":
                result["segmentation"] = runs(detections.masks[[row]])
            if kind == "keypoints":
                result["keypoints"] = detections.keypoints[row].astype(float).ravel().tolist()
            if kind == "rotated":
                result["rotated"] = detections.rotated[row].tolist()
            results.append(result)
    evaluator = RotatedEval if kind == "rotated" else COCOeval
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = evaluator(truth, truth.loadRes(results), "bbox" if kind == "rotated" else kind)
        evaluation.params.maxDets = [max_det]
        # Of keypoints, pycocotools' own list has no small objects; the first range is all of them.
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., 0, 0].mean(axis=1).T  # (T, R, K) → (K, T)


def xywh(box):
    x1, y1, x2, y2 = map(float, box)
    return [x1, y1, x2 - x1, y2 - y1]


def runs(masks):
    """The one mask as COCO has it; `test_coco` holds this form to pycocotools' own."""
    return rle(masks.crops[0], tuple(masks.corners[0].tolist()), masks.shape)


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


def with_masks(found, labels):
    """Octagons in the boxes, or the boxes themselves, by class; a detection finds what its class looks like."""

    def outlines(boxes, classes):
        angle = np.arange(8) * np.pi / 4 + np.pi / 8
        circle = np.column_stack([np.cos(angle), np.sin(angle)])
        square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        centres, half = xyxy_to_xywh(boxes)[:, :2], (boxes[:, 2:] - boxes[:, :2]) / 2
        return tuple(
            ((c + h * (square if label % 2 else circle)).astype(np.float32),)
            for c, h, label in zip(centres, half, classes, strict=True)
        )

    return (
        [replace(each, masks=rasterize(outlines(each.boxes, each.classes), (SIZE, SIZE))) for each in found],
        [replace(truth, polygons=outlines(truth.boxes, truth.classes)) for truth in labels],
    )


def with_keypoints(found, labels, count, seed=0):
    """Keypoints at fixed places of each box, of objects some hidden, some not labelled, of some objects none."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.1, 0.9, (count, 2))

    def points(boxes, visibility):
        at = boxes[:, None, :2] + places * (boxes[:, None, 2:] - boxes[:, None, :2])
        at = at + rng.normal(0, 1.5, at.shape)
        return np.concatenate([at, visibility[..., None]], axis=2).astype(np.float32)

    def seen(n):
        return rng.integers(0, 3, (n, count)) * (rng.random((n, 1)) < 0.8)

    return (
        [replace(each, keypoints=points(each.boxes, np.ones((len(each), count)))) for each in found],
        [replace(truth, keypoints=points(truth.boxes, seen(len(truth)))) for truth in labels],
    )


def with_angles(found, labels, seed=0):
    """The boxes turned, each class about its own angle."""
    rng = np.random.default_rng(seed)

    def turned(boxes, classes):
        angle = classes + rng.normal(0, 0.1, len(classes))
        return np.column_stack([xyxy_to_xywh(boxes), angle]).astype(np.float32)

    return (
        [replace(each, rotated=turned(each.boxes, each.classes)) for each in found],
        [replace(truth, corners=to_corners(turned(truth.boxes, truth.classes))) for truth in labels],
    )
