"""What was found in COCO's results form, which pycocotools and most evaluation servers read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from yolocore.detections import Classification, Detections
from yolocore.masks import Mask
from yolocore.rotated import to_corners


def coco_results(found: Sequence[Detections | Classification], image_names: Sequence[str]) -> str:
    """A JSON list with a row a detection: image_id, file_name, category_id, score, bbox (x y w h in pixels), and
    what else there is: segmentation (RLE), keypoints (x y score …), polygon (x1 y1 … x4 y4 of a rotated box).

    Of a classified image, a row for each of the five most probable classes, without a place.
    image_id is the file name's stem, as a number where it is one (as in COCO), and category_id the class
    index plus one. Coordinates have three decimals, scores five.
    """
    rows: list[str] = []
    for each, name in zip(found, image_names, strict=True):
        stem = PurePosixPath(name).stem
        image: dict[str, Any] = {"image_id": int(stem) if stem.isdecimal() else stem, "file_name": name}
        made = _classes(each) if isinstance(each, Classification) else _objects(each)
        rows += [json.dumps({**image, **row}) for row in made]
    return "[\n" + ",\n".join(rows) + "\n]\n"


def rle(crop: Mask, corner: tuple[int, int], shape: tuple[int, int]) -> dict[str, Any]:
    """A mask as COCO's compressed run lengths, for an image of shape (height, width).

    crop: (h, w), its pixels; corner: x y of the first one in the image; all others are off.
    Run lengths go down the columns, off pixels first (maskApi of pycocotools).
    """
    height, width = shape
    columns = np.zeros((crop.shape[1], height), bool)
    columns[:, corner[1] : corner[1] + crop.shape[0]] = crop.T
    changes = np.flatnonzero(np.diff(columns.ravel(), prepend=False, append=False)) + corner[0] * height
    # A mask that reaches the last pixel ends there: union1d says so once.
    counts = np.diff(np.union1d(changes, [height * width]), prepend=0)
    return {"size": [height, width], "counts": _letters(counts)}


def _letters(counts: npt.NDArray[np.int64]) -> str:
    """Counts as text: each number as its difference from the last but one before it (from the fourth on), five
    bits a letter, lowest first, in two's complement; the sixth bit says that more follow."""
    numbers = counts.copy()
    numbers[3:] -= counts[1:-2]
    letters = []
    for number in numbers.tolist():
        while True:
            bits, number = number & 31, number >> 5
            last = number == (-1 if bits & 16 else 0)
            letters.append(chr(48 + bits + (0 if last else 32)))
            if last:
                break
    return "".join(letters)


def _objects(found: Detections) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    boxes = np.concatenate([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]], axis=1)
    for row, (label, score) in enumerate(zip(found.classes.tolist(), found.scores.tolist(), strict=True)):
        made: dict[str, Any] = {"category_id": label + 1, "bbox": _rounded(boxes[row]), "score": round(score, 5)}
        if found.masks is not None:
            x, y = found.masks.corners[row].tolist()
            made["segmentation"] = rle(found.masks.crops[row], (x, y), found.masks.shape)
        if found.keypoints is not None:
            made["keypoints"] = _rounded(found.keypoints[row])
        if found.rotated is not None:
            made["polygon"] = _rounded(to_corners(found.rotated[row : row + 1]))
        rows.append(made)
    return rows


def _classes(found: Classification) -> list[dict[str, Any]]:
    return [
        {"category_id": label + 1, "score": round(float(found.probabilities[label]), 5)}
        for label in found.top(5).tolist()
    ]


def _rounded(numbers: npt.NDArray[np.float32]) -> list[float]:
    return [round(number, 3) for number in numbers.astype(np.float64).ravel().tolist()]
