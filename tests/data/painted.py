"""Pictures painted from their labels, so that after augmentation the pixels say where the objects went."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from yolocore.data.augment import Sample
from yolocore.data.labels import Labels
from yolocore.data.objects import Objects

# BGR, one a sample; far from each other, from black, and from the grey around images.
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))
# One a keypoint, alike in all samples.
DOTS = ((255, 0, 255), (0, 255, 255), (255, 255, 255))
DOT = 7.0  # radius in pixels

UNIT = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
# As shares of the object's frame: concave, so that it differs from its box and from its own mirror image.
SHAPE = np.array([(0, 0), (1, 0), (1, 0.4), (0.45, 0.4), (0.45, 1), (0, 1)])
SPOTS = np.array([(0.2, 0.25), (0.8, 0.2), (0.25, 0.75)])


def painted(
    task: str,
    size: tuple[int, int],
    boxes: Sequence[tuple[float, ...]],
    number: int = 0,
    reduced: int = 1,
    angle: float = 0.0,
) -> Sample:
    """A black image of `size` with an object in each box, all of class `number`; the image is a `reduced` times
    smaller copy.

    detect: a filled box; segment: a filled L; pose: a filled box with a dot at each keypoint; obb: a filled box turned
    by `angle` round its middle, by less than would bring it out of its box's circle.
    """
    frames = np.array(boxes, float).reshape(-1, 2, 2)
    start, sides = frames[:, :1], frames[:, 1:] - frames[:, :1]
    shapes = start + sides * UNIT
    labels: dict[str, object] = {"classes": np.full(len(boxes), number), "boxes": np.float32(boxes)}
    if task == "segment":
        shapes = start + sides * SHAPE
        labels["polygons"] = tuple((shape.astype(np.float32),) for shape in shapes)
    elif task == "pose":
        spots = start + sides * SPOTS
        labels["keypoints"] = np.concatenate((spots, np.full((*spots.shape[:2], 1), 2)), 2).astype(np.float32)
    elif task == "obb":
        turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
        middle = shapes.mean(1, keepdims=True)
        shapes = (shapes - middle) @ turn + middle
        labels["corners"] = shapes.astype(np.float32)
    image = np.zeros((size[0] // reduced, size[1] // reduced, 3), np.uint8)
    # At 16 times the resolution and down again, so that an edge lies where the label says.
    large = np.zeros((image.shape[0] * 16, image.shape[1] * 16), np.uint8)
    cv2.fillPoly(large, list(np.rint(shapes * 16 / reduced - 0.5).astype(np.int32)), 255)
    share = cv2.resize(large, image.shape[1::-1], interpolation=cv2.INTER_AREA)
    image[:] = np.rint(share[..., None] / 255 * COLOURS[number])
    if task == "pose":
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
        for places, colour in zip(spots.transpose(1, 0, 2) / reduced, DOTS, strict=True):
            for x, y in places:
                image[(columns - x) ** 2 + (rows - y) ** 2 <= (DOT / reduced) ** 2] = colour
    return Sample(image, size, Objects.of(Labels(**labels), task, len(SPOTS)))  # type: ignore[arg-type]


def showing(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(h, w) bool: where a picture (RGB) is more of a colour (BGR) than not."""
    return (np.abs(picture[..., ::-1].astype(int) - colour) < 128).all(2)


def extent(mask: np.ndarray) -> np.ndarray | None:
    """x1 y1 x2 y2 of what a mask covers."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) if len(rows) else None
