"""From what suppression left in letterbox pixels to objects in pixels of the image: boxes, and what a task adds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yolocore.boxes import clip
from yolocore.detections import Detections
from yolocore.letterbox import Letterbox
from yolocore.masks import Mask, Masks
from yolocore.meta import ModelMeta
from yolocore.nms import Indices, Suppressed
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
    the source. It is decided on the finer of two grids, the pixels of the source and those of the canvas: a cell of
    the grid belongs to the object where its logit is above 0 (a probability above 0.5), and to the box where its
    upper left corner lies in it. A pixel of a source that was enlarged for the canvas belongs to the object if all
    cells next to its centre do. Other programs have it so for the public weights. Only the rectangle of each box is
    ever computed.
    """
    height, width = prototypes.shape[1:]
    across = _Axis(place.source[1], place.size[1], width, place.pad_left, place.shape[1] / width)
    down = _Axis(place.source[0], place.size[0], height, place.pad_top, place.shape[0] / height)
    left, right = across.inside(boxes[:, 0], boxes[:, 2])
    top, bottom = down.inside(boxes[:, 1], boxes[:, 3])
    rectangles = np.stack([left, top, right, bottom], axis=1)
    crops = []
    for weights, (x1, y1, x2, y2) in zip(coefficients, rectangles.tolist(), strict=True):
        if x1 >= x2 or y1 >= y2:
            crops.append(np.zeros((0, 0), bool))
            continue
        columns, columns_used = across.window(x1, x2)
        rows, rows_used = down.window(y1, y2)
        logits = np.tensordot(weights, prototypes[:, rows_used, columns_used], 1)
        inside = rows @ logits @ columns.T > 0
        crops.append(across.reduce(down.reduce(inside, y1, y2, 0), x1, x2, 1))
    return Masks(place.source, rectangles[:, :2], tuple(crops))


class _Axis:
    """One axis: from the prototypes' pixels bilinearly to the grid's cells, and from these to the source's pixels."""

    def __init__(self, pixels: int, size: int, prototypes: int, pad: int, stride: float) -> None:
        """pixels: of the source. size: what they take of the canvas, from `pad` on. stride: canvas by prototypes."""
        cells = max(pixels, size)
        self._scale = cells / pixels
        # Pixel i stands for the middle of its stride pixels of the canvas; outside the outermost, they continue.
        at = (((np.arange(cells) + 0.5) * (size / cells) + pad) / stride - 0.5).clip(0, prototypes - 1)
        self._first = np.minimum(at.astype(np.int64), prototypes - 2)
        share = at - self._first
        self._weights = np.zeros((cells, prototypes), np.float32)
        every = np.arange(cells)
        self._weights[every, self._first] = 1 - share
        self._weights[every, self._first + 1] = share
        # The cells left and right of each pixel's centre, the same one if it lies there: in whole numbers, as
        # a fraction computed as 3.0000001 must not have another cell.
        centres = (2 * np.arange(pixels) + 1) * cells - pixels
        self._low, self._high = centres // (2 * pixels), -(-centres // (2 * pixels))

    def inside(self, start: Floats, stop: Floats) -> tuple[Indices, Indices]:
        """(n,), (n,) where boxes start and stop → (n,), (n,) the first pixel of which all cells are in, and the end."""
        first, end = (np.ceil(edges * self._scale).astype(np.int64) for edges in (start, stop))
        return np.searchsorted(self._low, first), np.searchsorted(self._high, end)

    def window(self, start: int, stop: int) -> tuple[Floats, slice]:
        """Of the cells for pixels start to stop, the weights for the prototypes' pixels used; which these are."""
        first, last = self._low[start], self._high[stop - 1]
        used = slice(int(self._first[first]), int(self._first[last]) + 2)
        return self._weights[first : last + 1, used], used

    def reduce(self, inside: Mask, start: int, stop: int, axis: int) -> Mask:
        """The cells of `window`, along `axis` of a picture, to pixels start to stop."""
        if self._scale == 1:
            return inside
        low, high = (cells[start:stop] - self._low[start] for cells in (self._low, self._high))
        return inside.take(low, axis) & inside.take(high, axis)


def _keypoints(extra: Floats, place: Letterbox, count: int, numbers: int) -> Floats:
    """(n, count * numbers) → (n, count, 3), points inside the source image; seen for sure where the model is silent."""
    keypoints = np.ones((len(extra), count, 3), np.float32)
    keypoints[..., :numbers] = extra.reshape(len(extra), count, numbers)
    keypoints = place.restore_points(keypoints)
    keypoints[..., :2] = keypoints[..., :2].clip(0, place.source[::-1])
    return keypoints
