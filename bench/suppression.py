"""Non-maximum suppression to the last box: ours against the textbook loop and OpenCV's, equal results.

Ours stops early when only the best few hundred are wanted, as a detector does.
"""

from __future__ import annotations

import cv2
import numpy as np

from bench.harness import compare
from yolocore.boxes import iou_matrix
from yolocore.nms import suppress

IOU, CLASSES = 0.7, 80


def candidates(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, scores (falling) and classes: ten noisy boxes around each of n / 10 objects in 640 × 640 pixels."""
    rng = np.random.default_rng(seed)
    objects = max(n // 10, 1)
    centre, side = rng.uniform(0, 640, (objects, 2)), rng.uniform(10, 200, (objects, 2))
    owner = rng.integers(objects, size=n)
    centre, side = centre[owner] + rng.normal(0, 3, (n, 2)), side[owner] * rng.uniform(0.9, 1.1, (n, 2))
    boxes = np.concatenate((centre - side / 2, centre + side / 2), 1).astype(np.float32)
    return boxes, np.sort(rng.random(n).astype(np.float32))[::-1], rng.integers(CLASSES, size=objects)[owner]


def textbook(boxes: np.ndarray, classes: np.ndarray) -> list[int]:
    """The best box goes on, those of its class that overlap it go; repeat."""
    kept, left = [], np.arange(len(boxes))
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        overlap = iou_matrix(boxes[best : best + 1], boxes[left])[0]
        left = left[(overlap <= IOU) | (classes[left] != classes[best])]
    return kept


def main() -> None:
    for n in (300, 8400):
        boxes, scores, classes = candidates(n)
        xywh = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), 1)
        assert suppress(boxes, classes, IOU, n).tolist() == textbook(boxes, classes)
        compare(
            f"non-maximum suppression, {n} candidates, {CLASSES} classes",
            {
                "yolocore": lambda b=boxes, c=classes: suppress(b, c, IOU, len(b)),
                "yolocore, the best 300": lambda b=boxes, c=classes: suppress(b, c, IOU, 300),
                "textbook loop in numpy": lambda b=boxes, c=classes: textbook(b, c),
                "cv2.dnn.NMSBoxesBatched": lambda x=xywh, s=scores, c=classes: cv2.dnn.NMSBoxesBatched(
                    x.tolist(), s.tolist(), c.tolist(), 0.0, IOU
                ),
            },
        )
