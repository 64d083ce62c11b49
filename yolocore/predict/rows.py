"""Rows of `predictions.jsonl`: what an image shows, as JSON and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from yolocore.detections import Classification, Detections
from yolocore.masks import rasterize
from yolocore.meta import ModelMeta
from yolocore.predict.outlines import outlines
from yolocore.rotated import to_corners

Found = Detections | Classification

TOP = 5  # classes of a classified image that are named


def json_row(name: str, frame: int | None, shape: tuple[int, int], found: Found, meta: ModelMeta) -> str:
    """One line of `predictions.jsonl`: an image or video frame with what it shows.

    frame: number from 1, None for a still. shape: (height, width). `objects`, best first, have their class, its
    name, score and box (x1 y1 x2 y2), and what the task adds: the polygons of their outline (parts of x1 y1 x2 y2 …),
    keypoints (x y visibility …), or corners (x1 y1 … x4 y4) and rotated (centre x y, width, height, angle in
    radians); all in pixels. A classified image has its best classes as `top` instead, and `probabilities` of all.
    """
    row: dict[str, Any] = {"image": name, "frame": frame, "height": shape[0], "width": shape[1], "task": meta.task}
    if isinstance(found, Classification):
        scores = found.probabilities.tolist()
        row["top"] = [
            {"class": label, "name": meta.names[label], "score": round(scores[label], 5)}
            for label in found.top(TOP).tolist()
        ]
        row["probabilities"] = [round(score, 7) for score in scores]
    else:
        row["objects"] = [_object(found, index, meta.names) for index in range(len(found))]
    return json.dumps(row, ensure_ascii=False) + "\n"


def read_row(text: str) -> Found:
    """What a row says: numbers as they were rounded, and of masks the pixels inside their outlines."""
    row = json.loads(text)
    if row["task"] == "classify":
        return Classification(np.array(row["probabilities"], np.float32))
    objects = row["objects"]

    def column(name: str, *shape: int) -> npt.NDArray[np.float32]:
        return np.array([found[name] for found in objects], np.float32).reshape(len(objects), *shape)

    keypoints = rotated = masks = None
    if row["task"] == "segment":
        parts = [[np.array(part).reshape(-1, 2) for part in found["polygons"]] for found in objects]
        masks = rasterize(parts, (row["height"], row["width"]))
    elif row["task"] == "pose":
        count = len(objects[0]["keypoints"]) // 3 if objects else 0
        keypoints = column("keypoints", count, 3)
    elif row["task"] == "obb":
        rotated = column("rotated", 5)
    classes = np.array([found["class"] for found in objects], np.int64)
    return Detections(column("box", 4), column("score"), classes, None, masks, keypoints, rotated)


def _object(found: Detections, index: int, names: Sequence[str]) -> dict[str, Any]:
    label = int(found.classes[index])
    row: dict[str, Any] = {"class": label, "name": names[label], "score": round(float(found.scores[index]), 5)}
    row["box"] = _rounded(found.boxes[index])
    if found.masks is not None:
        row["polygons"] = [_rounded(part) for part in outlines(found.masks, index)]
    if found.keypoints is not None:
        row["keypoints"] = _rounded(found.keypoints[index])
    if found.rotated is not None:
        row["corners"] = _rounded(to_corners(found.rotated[index : index + 1]))
        row["rotated"] = _rounded(found.rotated[index], 4)
    return row


def _rounded(numbers: npt.NDArray[np.float32], digits: int = 2) -> list[float]:
    return [round(number, digits) for number in numbers.ravel().tolist()]
