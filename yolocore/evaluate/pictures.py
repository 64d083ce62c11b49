"""Some images of a split with their labels beside what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from yolocore.data.dataset import Split
from yolocore.data.images import decode_image
from yolocore.data.labels import Labels
from yolocore.detections import Classification, Detections
from yolocore.draw import Image, draw_classification, draw_detections, draw_labels
from yolocore.evaluate.metrics import CONFUSION_CONF
from yolocore.masks import Masks

_TILE = 400  # longer side in pixels of a picture
_HEADER = 22  # pixels of a picture's title


def draw_predictions(
    split: Split,
    found: Sequence[Detections | Classification],
    names: Sequence[str],
    path: Path,
    count: int = 8,
) -> None:
    """Evenly chosen images of a split, each with its labels on the left and what was found on the right.

    found: of every image of the split; detections above 0.25 are shown. path: a JPEG or PNG file.
    """
    pairs = []
    for index in np.unique(np.linspace(0, len(split) - 1, count).astype(int)).tolist():
        image, gain = _small(decode_image(split.image(index), split.where(index)))
        labels, guess = split.labels(index), found[index]
        left, right = image.copy(), image
        turned = isinstance(guess, Detections) and guess.rotated is not None
        draw_labels(left, _small_labels(labels, gain), names, turned=turned)
        if isinstance(guess, Classification):
            draw_classification(right, guess, names)
            told, seen = names[labels.classes[0]], names[guess.top(1)[0]]
        else:
            sure = guess[guess.scores > CONFUSION_CONF]
            draw_detections(right, _small_detections(sure, gain, right.shape[:2]), names)
            told, seen = f"{len(labels)} labelled", f"{len(sure)} found"
        pairs.append(np.concatenate([_tile(left, f"{split.names[index]}: {told}"), _tile(right, seen)], axis=1))
    if len(pairs) % 2:
        pairs.append(pairs[0][:0])
    rows = []
    for start in range(0, len(pairs), 2):
        height = max(map(len, pairs[start : start + 2]))
        rows.append(np.concatenate([_heightened(pair, height) for pair in pairs[start : start + 2]], axis=1))
    path.write_bytes(cv2.imencode(path.suffix, np.concatenate(rows))[1].tobytes())


def _small(image: Image) -> tuple[Image, float]:
    """The image in a tile's size, and by how much it was resized."""
    gain = (_TILE - 8) / max(image.shape[:2])
    size = (max(round(image.shape[1] * gain), 1), max(round(image.shape[0] * gain), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False), gain


def _small_labels(labels: Labels, gain: float) -> Labels:
    scale = np.float32(gain)
    return Labels(
        labels.classes,
        labels.boxes * scale,
        None if labels.polygons is None else tuple(tuple(part * scale for part in each) for each in labels.polygons),
        None if labels.keypoints is None else labels.keypoints * np.array([gain, gain, 1], np.float32),
        None if labels.corners is None else labels.corners * scale,
    )


def _small_detections(found: Detections, gain: float, shape: tuple[int, int]) -> Detections:
    return replace(
        found,
        boxes=found.boxes * np.float32(gain),
        masks=None if found.masks is None else _small_masks(found.masks, gain, shape),
        keypoints=None if found.keypoints is None else found.keypoints * np.array([gain, gain, 1], np.float32),
        rotated=None if found.rotated is None else found.rotated * np.array([gain, gain, gain, gain, 1], np.float32),
    )


def _small_masks(masks: Masks, gain: float, shape: tuple[int, int]) -> Masks:
    """A small pixel is covered where the large one under its centre is."""
    corners, crops = np.zeros_like(masks.corners), []
    for row, crop in enumerate(masks.crops):
        picked = []
        for axis, (start, length) in enumerate(zip(masks.corners[row].tolist(), crop.shape[::-1], strict=True)):
            first, last = (int(np.ceil(edge * gain - 0.5)) for edge in (start, start + length))
            centres = np.arange(first, min(last, shape[1 - axis])) + 0.5
            picked.append((centres / gain).astype(int).clip(start, start + length - 1) - start)
            corners[row, axis] = first
        crops.append(crop[np.ix_(picked[1], picked[0])])
    return Masks(shape, corners, tuple(crops))


def _tile(image: Image, title: str) -> Image:
    """The image with a white margin and a title above."""
    tile = np.full((image.shape[0] + _HEADER + 8, _TILE, 3), 255, np.uint8)
    tile[_HEADER : _HEADER + image.shape[0], 4 : 4 + image.shape[1]] = image
    cv2.putText(tile, title, (6, _HEADER - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (60, 60, 60), 1, cv2.LINE_AA)
    return tile


def _heightened(picture: Image, height: int) -> Image:
    """The picture with white rows below, up to the height."""
    return np.pad(picture, ((0, height - len(picture)), (0, 0), (0, 0)), constant_values=255)
