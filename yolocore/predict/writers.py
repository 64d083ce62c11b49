"""What is left of a prediction: a row of JSON, YOLO text, and a picture with the boxes drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from yolocore.boxes import xyxy_to_xywh
from yolocore.detections import Detections
from yolocore.draw import Image, colour, draw_box


def json_row(name: str, frame: int | None, shape: tuple[int, int], found: Detections, names: Sequence[str]) -> str:
    """One line of `predictions.jsonl`: an image or video frame with its objects, best first.

    frame: number from 1, None for a still. shape: (height, width). Boxes are x1 y1 x2 y2 in pixels.
    """
    objects: list[dict[str, Any]] = [
        {"class": label, "name": names[label], "score": round(score, 5), "box": [round(side, 2) for side in box]}
        for label, score, box in zip(found.classes.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    ]
    row = {"image": name, "frame": frame, "height": shape[0], "width": shape[1], "objects": objects}
    return json.dumps(row, ensure_ascii=False) + "\n"


def yolo_text(found: Detections, shape: tuple[int, int], with_scores: bool) -> str:
    """Rows `class cx cy w h [score]`, as shares of the image's width and height; empty where nothing was found."""
    height, width = shape
    boxes = xyxy_to_xywh(found.boxes) / [width, height, width, height]
    lines = []
    for label, box, score in zip(found.classes.tolist(), boxes.tolist(), found.scores.tolist(), strict=True):
        numbers = [*box, score] if with_scores else box
        lines.append(" ".join([str(label), *(f"{number:.6f}" for number in numbers)]) + "\n")
    return "".join(lines)


def draw(image: Image, found: Detections, names: Sequence[str]) -> None:
    """Draw boxes with class names and scores into the image, in place."""
    # The best come last, so that their captions stay readable.
    for box, label, score in list(zip(found.boxes, found.classes.tolist(), found.scores.tolist(), strict=True))[::-1]:
        draw_box(image, box, f"{names[label]} {score:.2f}", colour(label))


def write_jpeg(path: Path, image: Image) -> None:
    """Raises OSError where the file can't be written, which cv2.imwrite would not say."""
    path.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
