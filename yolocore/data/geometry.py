"""Where pictures lie in a training picture: one 3×3 matrix each, and pictures drawn through it.

A matrix maps a picture's own pixels to the output's (where it lies in the mosaic or letterbox, rotation, zoom,
shear, shift, flip). So each picture is drawn once, straight into its part of the output, and the usual canvas of
twice the output's size is never built. What is done to four matrices is done to all of them in one call: worker
threads share Python's lock, and it must be OpenCV that takes the time.

Coordinates are continuous: pixel (0, 0) covers the square from 0 to 1, as in labels. Shapes are (height, width).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.config.tree import TrainConfig

Array = npt.NDArray[np.float64]
Shape = tuple[int, int]
Picture = npt.NDArray[np.uint8]

_UNIT_SQUARE = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])


def mosaic_placements(sizes: Sequence[Shape], shape: Shape, rng: np.random.Generator) -> Array:
    """(4, 3, 3): where four images, each as large as fits `shape`, lie on a canvas of twice that: corner to
    corner around a random point in the canvas's middle."""
    x, y = (rng.uniform(0.5, 1.5, 2) * shape[::-1]).tolist()
    rows = []
    for quadrant, (height, width) in enumerate(sizes):
        gain = min(shape[0] / height, shape[1] / width)
        left = x - width * gain if quadrant % 2 == 0 else x
        top = y - height * gain if quadrant < 2 else y
        rows.append([[gain, 0, left], [0, gain, top], [0, 0, 1]])
    return np.array(rows)


def random_view(config: TrainConfig, canvas: Shape, shape: Shape, rng: np.random.Generator) -> Array:
    """(3, 3): a random map from a canvas to the output. In this order: the canvas's middle to the origin,
    perspective, zoom and rotation, shear, shift to the output's middle or near it.

    canvas, shape: of the canvas and the output. The ranges are the config's.
    """
    angle, zoom, shear_x, shear_y, shift_x, shift_y, tilt_x, tilt_y = rng.uniform(-1, 1, 8).tolist()
    # The pictures of a mosaic reach ¾ of a canvas from its middle; the horizon stays beyond them.
    tilt = min(config.perspective, 0.6 / max(canvas))
    scale = 1 + zoom * config.scale
    angle = math.radians(angle * config.degrees)
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    shear_x, shear_y = math.tan(math.radians(shear_x * config.shear)), math.tan(math.radians(shear_y * config.shear))
    x, y = shape[1] * (0.5 + shift_x * config.translate), shape[0] * (0.5 + shift_y * config.translate)

    centre = np.array([[1, 0, -canvas[1] / 2], [0, 1, -canvas[0] / 2], [0, 0, 1]])
    perspective = np.array([[1, 0, 0], [0, 1, 0], [tilt_x * tilt, tilt_y * tilt, 1]])
    rotation = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    shear = np.array([[1, shear_x, 0], [shear_y, 1, 0], [0, 0, 1]])
    shift = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])
    return shift @ shear @ rotation @ perspective @ centre


def project(points: npt.NDArray[np.floating], matrices: Array) -> Array:
    """(n, k, 2) x, y through a projective (n, 3, 3) matrix each → (n, k, 2)."""
    moved = points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
    return moved[..., :2] / moved[..., 2:]


def project_boxes(boxes: npt.NDArray[np.floating], matrices: Array) -> Array:
    """(n, 4) xyxy through a matrix each → (n, 4), the upright boxes around their moved corners."""
    corners = project(boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2), matrices)
    return np.concatenate((corners.min(1), corners.max(1)), 1)


def draw(images: Sequence[Picture], sizes: Sequence[Shape], matrices: Array, out: Picture) -> Array:
    """Draw k images into `out`, each through its matrix of (k, 3, 3); return the matrices as drawn.

    A matrix maps pixels of an image of its shape in `sizes`; the image itself may be a smaller copy.
    Without rotation, shear and perspective a picture is resized from whole pixels to whole pixels, which is
    three times as fast as a warp, and its matrix follows the rounding.
    """
    original = np.array(sizes, np.float64)[:, ::-1]
    copy = np.array([image.shape[1::-1] for image in images], np.float64)
    frames = project(_UNIT_SQUARE * original[:, None], matrices)
    # Only the part of the output that a picture touches is visited.
    first, last = frames.min(1), frames.max(1)
    limit = out.shape[1::-1]
    if matrices[:, [0, 1, 2, 2], [1, 0, 0, 1]].any():
        first, last = (np.floor(first) - 1).clip(0, limit), (np.ceil(last) + 1).clip(0, limit)
        _warp(images, matrices, original / copy, _parts(out, first, last), first)
        return matrices
    first, last = np.rint(first).clip(0, limit), np.rint(last).clip(0, limit)
    return _resize(images, matrices, original / copy, _parts(out, first, last), first, last)


def _parts(out: Picture, first: Array, last: Array) -> list[Picture]:
    """Views of `out` between corners (k, 2) x, y."""
    corners = np.concatenate((first, last), 1).astype(int).tolist()
    return [out[y1:y2, x1:x2] for x1, y1, x2, y2 in corners]


def _resize(
    images: Sequence[Picture], matrices: Array, reduction: Array, parts: Sequence[Picture], first: Array, last: Array
) -> Array:
    """Draw upright pictures; reduction: (k, 2) pixels of the original per pixel of its copy, x and y."""
    copy = np.array([image.shape[1::-1] for image in images])
    zoom, shift = matrices[:, [0, 1], [0, 1]] * reduction, matrices[:, :2, 2]
    start = np.rint((first - shift) / zoom).clip(0, copy - 1)
    stop = np.rint((last - shift) / zoom).clip(start + 1, copy)
    for image, part, (x1, y1), (x2, y2) in zip(
        images, parts, start.astype(int).tolist(), stop.astype(int).tolist(), strict=True
    ):
        if part.size:
            cv2.resize(image[y1:y2, x1:x2], part.shape[1::-1], dst=part, interpolation=cv2.INTER_LINEAR)
    zoom = (last - first) / (stop - start)
    drawn = matrices.copy()
    drawn[:, [0, 1], [0, 1]] = zoom / reduction
    drawn[:, :2, 2] = first - zoom * start
    return drawn


def _warp(images: Sequence[Picture], matrices: Array, reduction: Array, parts: Sequence[Picture], first: Array) -> None:
    """Draw pictures through any matrix; reduction as in `_resize`."""
    # OpenCV has whole numbers at the middles of pixels, and each part begins at its own (0, 0).
    before, after = np.tile(np.eye(3), (2, len(images), 1, 1))
    before[:, [0, 1], [0, 1]] = reduction
    before[:, :2, 2] = reduction / 2
    after[:, :2, 2] = -first - 0.5
    flat = not matrices[:, 2, :2].any()
    for image, part, matrix in zip(images, parts, after @ matrices @ before, strict=True):
        if not part.size:
            continue
        if flat:
            cv2.warpAffine(image, matrix[:2], part.shape[1::-1], dst=part, borderMode=cv2.BORDER_TRANSPARENT)
        else:
            cv2.warpPerspective(image, matrix, part.shape[1::-1], dst=part, borderMode=cv2.BORDER_TRANSPARENT)


def flip(image: Picture, config: TrainConfig, rng: np.random.Generator) -> Array:
    """Flip a picture in place at random, left-right and upside-down; return the (3, 3) map of its pixels."""
    mirror_x, mirror_y = (rng.random(2) < (config.fliplr, config.flipud)).tolist()
    if mirror_x or mirror_y:
        cv2.flip(image, -1 if mirror_x and mirror_y else int(mirror_x), dst=image)
    height, width = image.shape[:2]
    return np.array([[1 - 2 * mirror_x, 0, width * mirror_x], [0, 1 - 2 * mirror_y, height * mirror_y], [0, 0, 1]])


def mirror(width: int) -> Array:
    """(3, 3): left-right, of a picture of this width in pixels."""
    return np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]])
