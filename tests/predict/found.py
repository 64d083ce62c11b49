"""What a model for each task may have found in one image of 100 x 200 pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from yolocore.detections import Classification, Detections
from yolocore.masks import Masks
from yolocore.meta import TASKS, ModelMeta

SHAPE = (100, 200)
META = {
    task: ModelMeta(task=task, names=("cat", "dög"), keypoints=(2, 3) if task == "pose" else None) for task in TASKS
}

BOXES = np.array([[10, 20, 50, 100], [0, 0, 200, 100]], np.float32)
SQUARE = 12, 30, 40, 90  # x1 y1 x2 y2 of the first mask

_plain = Detections(BOXES, np.array([0.912345678, 0.5], np.float32), np.array([1, 0]))
_pixels = np.zeros((2, *SHAPE), bool)
_pixels[0, SQUARE[1] : SQUARE[3], SQUARE[0] : SQUARE[2]] = True

FOUND = {
    "detect": _plain,
    "segment": replace(_plain, masks=Masks.from_dense(_pixels)),
    "pose": replace(_plain, keypoints=np.array([[[20, 30, 0.9], [40, 60, 0.2]], [[0, 0, 1], [5, 5, 1]]], np.float32)),
    "obb": replace(
        _plain,
        rotated=np.array([[40, 60, np.hypot(20, 20), np.hypot(20, 20), np.pi / 4], [100, 50, 20, 10, 0]], np.float32),
    ),
}
CLASSES = Classification(np.array([0.3, 0.7], np.float32))
