"""Pictures painted from their labels, so that after augmentation the pixels say where the objects went."""

from __future__ import annotations

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

# As shares of the object's frame: concave, so that it differs from its box and from its own mirror image.
SHAPE = np.array([(0, 0), (1, 0), (1, 0.4), (0.45, 0.4), (0.45, 1), (0, 1)])
SPOTS = np.array([(0.2, 0.25), (0.8, 0.2), (0.25, 0.75)])


def painted(
    task: str, size: tuple[int, int], box: tuple[float, ...], number: int = 0, reduced: int = 1, angle: float = 0.0
) -> Sample:
    """A black image of `size` with one object in `box`, of class `number`; the image is a `reduced` times smaller copy.

    detect: a filled box; segment: a filled L; pose: a dot at each keypoint; obb: a filled box turned by `angle` round
    its middle, by less than would bring it out of `box`'s circle.
    """
    x1, y1, x2, y2 = box
    frame = np.array([x2 - x1, y2 - y1])
    labels: dict[str, object] = {"classes": np.array([number]), "boxes": np.array([box], np.float32)}
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    shape = corners
    if task == "segment":
        shape = SHAPE * frame + (x1, y1)
        labels["polygons"] = ((shape.astype(np.float32),),)
    elif task == "pose":
        spots = SPOTS * frame + (x1, y1)
        labels["keypoints"] = np.concatenate((spots, np.full((3, 1), 2)), 1)[None].astype(np.float32)
    elif task == "obb":
        turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
        shape = (corners - corners.mean(0)) @ turn + corners.mean(0)
        labels["corners"] = shape[None].astype(np.float32)
    image = np.zeros((size[0] // reduced, size[1] // reduced, 3), np.uint8)
    if task == "pose":
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
        for (x, y), colour in zip(spots / reduced, DOTS, strict=True):
            image[(columns - x) ** 2 + (rows - y) ** 2 <= (DOT / reduced) ** 2] = colour
    else:
        # At 16 times the resolution and down again, so that an edge lies where the label says.
        large = np.zeros((image.shape[0] * 16, image.shape[1] * 16), np.uint8)
        cv2.fillPoly(large, [np.rint(shape * 16 / reduced - 0.5).astype(np.int32)], 255)
        share = cv2.resize(large, image.shape[1::-1], interpolation=cv2.INTER_AREA)
        image[:] = np.rint(share[..., None] / 255 * COLOURS[number])
    return Sample(image, size, Objects.of(Labels(**labels), task, len(SPOTS)))  # type: ignore[arg-type]


def showing(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(h, w) bool: where a picture (RGB) is more of a colour (BGR) than not."""
    return (np.abs(picture[..., ::-1].astype(int) - colour) < 128).all(2)


def extent(mask: np.ndarray) -> np.ndarray | None:
    """x1 y1 x2 y2 of what a mask covers."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) if len(rows) else None
