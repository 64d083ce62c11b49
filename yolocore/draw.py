"""Objects with captions on images: the one way that predictions, tracks and labels are drawn."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from yolocore import rotated
from yolocore.detections import Classification, Detections

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Floats = npt.NDArray[np.float32]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Steps of the golden ratio round the colour circle: neighbouring indices look different, however many there are.
_GOLDEN = 0.618033988749895
_TINT = 0.45  # how much of its colour an object's surface gets
_SEEN = 0.5  # visibility from which a found keypoint is drawn
_LINES = 5  # classes that are written on an image that was classified


class Labelled(Protocol):
    """The true objects of an image, as `yolocore.data.labels.Labels` has them."""

    @property
    def classes(self) -> npt.NDArray[np.int64]: ...
    @property
    def boxes(self) -> Floats: ...
    @property
    def polygons(self) -> Sequence[Sequence[Floats]] | None: ...
    @property
    def keypoints(self) -> Floats | None: ...
    @property
    def corners(self) -> Floats | None: ...
    @property
    def rotated(self) -> Floats: ...


def colour(index: int) -> Colour:
    """The BGR colour of a class or an identity: always the same for the same index."""
    red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN % 1, 0.85 if index % 2 else 0.65, 1.0)
    return int(255 * blue), int(255 * green), int(255 * red)


def line_width(image: Image) -> int:
    """Pixels that a line needs to be seen in an image of this size."""
    return max(1, round(sum(image.shape[:2]) / 800))


def draw_detections(image: Image, found: Detections, names: Sequence[str]) -> None:
    """Draw what was found into the image, in place: surfaces, boxes (rotated ones where there are) and keypoints,
    each with its class's name and score in its class's colour.
    """
    # The best come last, so that they and their captions stay visible.
    order = range(len(found))[::-1]
    tints = [colour(label) for label in found.classes.tolist()]
    if found.masks is not None:
        layer = image.copy()
        for row in order:
            (x, y), crop = found.masks.corners[row].tolist(), found.masks.crops[row]
            layer[y : y + crop.shape[0], x : x + crop.shape[1]][crop] = tints[row]
        _blend(image, layer)
    corners = None if found.rotated is None else rotated.to_corners(found.rotated)
    for row in order:
        caption = f"{names[found.classes[row]]} {found.scores[row]:.2f}"
        if corners is not None:
            draw_quadrangle(image, corners[row], caption, tints[row])
        else:
            draw_box(image, found.boxes[row], caption, tints[row])
        if found.keypoints is not None:
            draw_points(image, found.keypoints[row][found.keypoints[row, :, 2] > _SEEN])


def draw_labels(image: Image, labels: Labelled, names: Sequence[str], *, turned: bool = False) -> None:
    """Draw the true objects into the image, in place, as `draw_detections` draws what was found.

    turned: the rotated boxes that a model learns from labels without corners, not the upright ones.
    """
    tints = [colour(label) for label in labels.classes.tolist()]
    if labels.polygons is not None:
        layer = image.copy()
        for tint, parts in zip(tints, labels.polygons, strict=True):
            for part in parts:
                cv2.fillPoly(layer, [part.round().astype(np.int32)], tint)
        _blend(image, layer)
    corners = rotated.to_corners(labels.rotated) if turned else labels.corners
    for row, (label, tint) in enumerate(zip(labels.classes.tolist(), tints, strict=True)):
        if corners is not None:
            draw_quadrangle(image, corners[row], names[label], tint)
        else:
            draw_box(image, labels.boxes[row], names[label], tint)
        if labels.keypoints is not None:
            draw_points(image, labels.keypoints[row][labels.keypoints[row, :, 2] > 0])


def draw_classification(image: Image, found: Classification, names: Sequence[str]) -> None:
    """Write the most probable classes into the image's corner, in place."""
    bottom = 0
    for label in found.top(_LINES).tolist():
        caption = f"{names[label]} {found.probabilities[label]:.2f}"
        size = _measure(image, caption)
        bottom += size.height
        _write(image, (0, bottom), caption, size, colour(label))


def draw_box(image: Image, box: npt.NDArray[np.floating] | Sequence[float], caption: str, tint: Colour) -> None:
    """Draw a box (x1 y1 x2 y2 in pixels) and its caption into the image, in place.

    The caption stands on the box, or inside it where there is no room above.
    """
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    cv2.rectangle(image, (x1, y1), (x2, y2), tint, line_width(image), cv2.LINE_AA)
    _head(image, (x1, y1), caption, tint)


def draw_quadrangle(image: Image, corners: Floats, caption: str, tint: Colour) -> None:
    """Draw four corners (4, 2) x y in pixels, in order round the object, and its caption at the topmost."""
    points = corners.round().astype(np.int32)
    cv2.polylines(image, [points], True, tint, line_width(image), cv2.LINE_AA)
    y, x = min(points[:, ::-1].tolist())  # of two as high the left one, as of an upright box
    _head(image, (x, y), caption, tint)


def draw_points(image: Image, keypoints: Floats) -> None:
    """Draw keypoints (k, 2 or more: x y …) as dots that stand out from any ground."""
    radius = 2 * line_width(image)
    for x, y in keypoints[:, :2].round().astype(int).tolist():
        cv2.circle(image, (x, y), radius + 1, (0, 0, 0), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(image, (x, y), radius, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)


def _blend(image: Image, layer: Image) -> None:
    cv2.addWeighted(image, 1 - _TINT, layer, _TINT, 0, dst=image)


def _head(image: Image, at: tuple[int, int], caption: str, tint: Colour) -> None:
    """A caption on an object whose highest point is `at`, or below it where there is no room above."""
    if not caption:
        return
    size = _measure(image, caption)
    left = max(0, min(at[0], image.shape[1] - size.width))
    bottom = at[1] if at[1] >= size.height else min(at[1] + size.height, image.shape[0])
    _write(image, (left, bottom), caption, size, tint)


def _font_scale(image: Image) -> float:
    return 0.4 + 0.1 * line_width(image)


class _Size(NamedTuple):
    """Pixels that a caption takes; below: those of its height that are under the line it stands on."""

    width: int
    height: int
    below: int


def _measure(image: Image, caption: str) -> _Size:
    (width, above), below = cv2.getTextSize(caption, _FONT, _font_scale(image), 1)
    return _Size(width, above + below + 2, below)


def _write(image: Image, corner: tuple[int, int], caption: str, size: _Size, tint: Colour) -> None:
    """Text on a ground of the colour; corner: its left and lowest pixel."""
    left, bottom = corner
    cv2.rectangle(image, (left, bottom - size.height), (left + size.width, bottom), tint, cv2.FILLED)
    ink = (255, 255, 255) if sum(tint) < 384 else (0, 0, 0)
    cv2.putText(image, caption, (left, bottom - size.below), _FONT, _font_scale(image), ink, 1, cv2.LINE_AA)
