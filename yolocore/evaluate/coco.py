"""Detections in COCO's results form, which pycocotools and most evaluation servers read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from yolocore.detections import Detections


def coco_results(found: Sequence[Detections], image_names: Sequence[str]) -> str:
    """A JSON list with a row a detection: image_id, file_name, category_id, bbox (x y w h in pixels), score.

    image_id is the file name's stem, as a number where it is one (as in COCO), and category_id the class
    index plus one. Coordinates have three decimals, scores five.
    """
    rows: list[str] = []
    for detections, name in zip(found, image_names, strict=True):
        stem = PurePosixPath(name).stem
        image: dict[str, Any] = {"image_id": int(stem) if stem.isdecimal() else stem, "file_name": name}
        for (x1, y1, x2, y2), label, score in zip(
            detections.boxes.tolist(), detections.classes.tolist(), detections.scores.tolist(), strict=True
        ):
            box = [round(x1, 3), round(y1, 3), round(x2 - x1, 3), round(y2 - y1, 3)]
            rows.append(json.dumps({**image, "category_id": label + 1, "bbox": box, "score": round(score, 5)}))
    return "[\n" + ",\n".join(rows) + "\n]\n"
