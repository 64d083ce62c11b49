"""What is left of a prediction besides its row of JSON: YOLO text, and a picture with what was found drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.boxes import xyxy_to_xywh
from yolocore.detections import Classification, Detections
from yolocore.draw import Image, draw_classification, draw_detections
from yolocore.meta import ModelMeta
from yolocore.predict.outlines import outlines
from yolocore.predict.rows import TOP, Found
from yolocore.rotated import to_corners

_SEEN = 0.5  # visibility from which a keypoint is labelled as visible
_VISIBLE, _HIDDEN = 2, 1  # as labels say it


def yolo_text(found: Found, shape: tuple[int, int], meta: ModelMeta, with_scores: bool) -> str:
    """A row an object in the layout of the task's labels, as shares of the image's width and height.

    `class cx cy w h`; pose goes on with `x y` of each keypoint, and visibility where the model tells it (2, or 1 for
    a hidden one); segment has `class x1 y1 x2 y2 …`, the outline of the object's largest part, and no row for an
    object whose mask is empty; obb `class x1 y1 x2 y2 x3 y3 x4 y4`. The score comes last, if wanted. Empty where
    nothing was found. A classified image has its five best classes as `score name`.
    """
    if isinstance(found, Classification):
        rows = [(found.probabilities[label], meta.names[label]) for label in found.top(TOP)]
        return "".join(f"{score:.6f} {name}\n" if with_scores else f"{name}\n" for score, name in rows)
    lines = []
    for index, (label, score) in enumerate(zip(found.classes.tolist(), found.scores.tolist(), strict=True)):
        numbers = _label(found, index, shape, meta)
        if numbers:
            tail = [f"{score:.6f}"] if with_scores else []
            lines.append(" ".join([str(label), *numbers, *tail]) + "\n")
    return "".join(lines)


def draw(image: Image, found: Found, names: Sequence[str]) -> None:
    """Draw what was found into the image, in place."""
    if isinstance(found, Classification):
        draw_classification(image, found, names)
    else:
        draw_detections(image, found, names)


def write_jpeg(path: Path, image: Image) -> None:
    """Raises OSError where the file can't be written, which cv2.imwrite would not say."""
    path.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())


def _label(found: Detections, index: int, shape: tuple[int, int], meta: ModelMeta) -> list[str]:
    """The numbers between class and score; none where there is nothing to tell."""
    if found.masks is not None:
        return [text for part in outlines(found.masks, index)[:1] for text in _shares(part, shape)]
    if found.rotated is not None:
        return _shares(to_corners(found.rotated[index : index + 1]), shape)
    numbers = _shares(xyxy_to_xywh(found.boxes[index]), shape)
    if found.keypoints is not None and meta.keypoints:
        for point in found.keypoints[index]:
            numbers += _shares(point[:2], shape)
            if meta.keypoints[1] == 3:
                numbers.append(str(_VISIBLE if point[2] > _SEEN else _HIDDEN))
    return numbers


def _shares(pixels: npt.NDArray[np.floating[Any]], shape: tuple[int, int]) -> list[str]:
    """Numbers x y x y … in pixels as shares of width and height."""
    return [f"{share:.6f}" for share in (pixels.reshape(-1, 2) / shape[::-1]).ravel().tolist()]
