"""From what suppression left in letterbox pixels to objects in pixels of the image: boxes, and what a task adds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yolocore.boxes import clip
from yolocore.detections import Detections
from yolocore.letterbox import Letterbox
from yolocore.masks import Masks
from yolocore.meta import ModelMeta
from yolocore.nms import Suppressed
from yolocore.rotated import enclosing, regularize
from yolocore.runtimes.base import Floats


def restore(left: Suppressed, outputs: Sequence[Floats], place: Letterbox, meta: ModelMeta) -> Detections:
    """The objects of one image. outputs: the network's for this image, without the dimension of the batch."""
    found, extra = left
    if meta.task == "obb":
        assert found.rotated is not None
        rotated = regularize(place.restore_rotated(found.rotated))
        boxes = clip(enclosing(rotated), place.source)
        return Detections(boxes, found.scores, found.classes, rotated=rotated)
    boxes = place.restore(found.boxes)
    masks = assemble(extra, outputs[1], boxes, place) if meta.task == "segment" else None
    keypoints = _keypoints(extra, place, *meta.keypoints) if meta.keypoints else None
    return Detections(boxes, found.scores, found.classes, masks=masks, keypoints=keypoints)


def assemble(coefficients: Floats, prototypes: Floats, boxes: Floats, place: Letterbox) -> Masks:
    """Masks of the source image: sums of prototypes, enlarged bilinearly, cut at the box, and then decided.

    coefficients: (n, 32). prototypes: (32, h, w), pictures of the whole canvas. boxes: (n, 4) xyxy in pixels of
    the source. A pixel belongs to the object where its logit is above 0 (a probability above 0.5), and to the
    box where its upper left corner lies in it, as other programs have it for the public weights. Only the rectangle
    of each box is ever computed.
    """
    height, width = prototypes.shape[1:]
    across = _Axis(place.source[1], width, place.gain[0], place.pad_left, place.shape[1] / width)
    down = _Axis(place.source[0], height, place.gain[1], place.pad_top, place.shape[0] / height)
    rectangles = np.ceil(boxes).astype(np.int64)
    crops = []
    for weights, (x1, y1, x2, y2) in zip(coefficients, rectangles.tolist(), strict=True):
        if x1 >= x2 or y1 >= y2:
            crops.append(np.zeros((0, 0), bool))
            continue
        columns, columns_used = across.window(x1, x2)
        rows, rows_used = down.window(y1, y2)
        logits = np.tensordot(weights, prototypes[:, rows_used, columns_used], 1)
        crops.append(rows @ logits @ columns.T > 0)
    return Masks(place.source, rectangles[:, :2], tuple(crops))


class _Axis:
    """Bilinear enlargement along one axis as a matrix: a row a pixel of the source, a column a prototype's pixel."""

    def __init__(self, pixels: int, cells: int, gain: float, pad: int, stride: float) -> None:
        # Cell i stands for the middle of its stride pixels of the canvas; outside the outermost, they continue.
        at = (((np.arange(pixels) + 0.5) * gain + pad) / stride - 0.5).clip(0, cells - 1)
        self._first = np.minimum(at.astype(np.int64), cells - 2)
        share = at - self._first
        self._weights = np.zeros((pixels, cells), np.float32)
        every = np.arange(pixels)
        self._weights[every, self._first] = 1 - share
        self._weights[every, self._first + 1] = share

    def window(self, start: int, stop: int) -> tuple[Floats, slice]:
        """The weights for pixels start to stop of the cells that they need, and which cells these are."""
        used = slice(int(self._first[start]), int(self._first[stop - 1]) + 2)
        return self._weights[start:stop, used], used


def _keypoints(extra: Floats, place: Letterbox, count: int, numbers: int) -> Floats:
    """(n, count * numbers) → (n, count, 3), points inside the source image; seen for sure where the model is silent."""
    keypoints = np.ones((len(extra), count, 3), np.float32)
    keypoints[..., :numbers] = extra.reshape(len(extra), count, numbers)
    keypoints = place.restore_points(keypoints)
    keypoints[..., :2] = keypoints[..., :2].clip(0, place.source[::-1])
    return keypoints
