"""Binary masks of objects in an image, each kept as the pixels of its own bounding rectangle only.

Three hundred masks of a 640 × 480 image would be 92 MB as full pictures; objects are small, and outside its
rectangle a mask says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Masks:
    """Masks of one image.

    shape: (height, width) of the image. corners: (n, 2) int64, x y of each rectangle's top left pixel.
    crops: n arrays (h, w) bool, the pixels of the rectangles.
    """

    shape: tuple[int, int]
    corners: npt.NDArray[np.int64]
    crops: Sequence[Mask]

    def __post_init__(self) -> None:
        if self.corners.shape != (len(self.crops), 2):
            raise ValueError(f"corners has shape {self.corners.shape}, expected ({len(self.crops)}, 2)")

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> Masks:
        return cls(shape, np.zeros((0, 2), np.int64), ())

    @classmethod
    def from_dense(cls, masks: Mask) -> Masks:
        """Full pictures, (n, height, width) bool."""
        corners, crops = np.zeros((len(masks), 2), np.int64), []
        for row, mask in enumerate(masks):
            ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            if len(ys):
                corners[row] = xs[0], ys[0]
                crops.append(mask[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1].copy())
            else:
                crops.append(np.zeros((0, 0), bool))
        return cls((masks.shape[1], masks.shape[2]), corners, tuple(crops))

    @classmethod
    def merge(cls, parts: Sequence[Masks]) -> Masks:
        """Concatenate masks of one image, at least one part."""
        return cls(
            parts[0].shape,
            np.concatenate([part.corners for part in parts]),
            tuple(crop for part in parts for crop in part.crops),
        )

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, rows: slice | Mask | npt.NDArray[np.integer]) -> Masks:
        """Rows chosen by a slice, a boolean mask or an array of indices."""
        chosen = np.arange(len(self))[rows]
        return Masks(self.shape, self.corners[chosen], tuple(self.crops[row] for row in chosen.tolist()))

    def packed(self) -> Masks:
        """The same masks in an eighth of the memory; a crop is unpacked each time that it is asked for."""
        return Masks(self.shape, self.corners, _PackedCrops(self.crops))

    def dense(self) -> Mask:
        """Full pictures, (n, height, width) bool."""
        full = np.zeros((len(self), *self.shape), bool)
        for mask, (x, y), crop in zip(full, self.corners.tolist(), self.crops, strict=True):
            mask[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        return full

    def areas(self) -> npt.NDArray[np.int64]:
        """(n,) pixels in each mask."""
        return np.array([np.count_nonzero(crop) for crop in self.crops], np.int64)


class _PackedCrops(Sequence[Mask]):
    """Crops with eight pixels in a byte."""

    def __init__(self, crops: Sequence[Mask]) -> None:
        self._packed = [(np.packbits(crop), crop.shape) for crop in crops]

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, row: Any) -> Any:
        content, shape = self._packed[row]
        return np.unpackbits(content, count=shape[0] * shape[1]).reshape(shape).view(bool)


def rasterize(objects: Sequence[Sequence[npt.NDArray[np.floating[Any]]]], shape: tuple[int, int]) -> Masks:
    """Outlines → the pixels whose centres lie inside.

    objects: of each object its outline as parts (k, 2), x y in pixels; what any part covers is covered. Within
    a part the even-odd rule holds. shape: (height, width) of the image; what is outside is cut off.
    """
    owners = np.array([row for row, parts in enumerate(objects) for _ in parts], np.int64)
    parts = [np.asarray(part, np.float64) for parts in objects for part in parts]
    # Pixel i has its centre at i + ½: the first one not left of (or above) x is ⌈x - ½⌉.
    size = np.array([shape[1], shape[0]])
    low = np.array([part.min(axis=0) for part in parts]).reshape(-1, 2)
    high = np.array([part.max(axis=0) for part in parts]).reshape(-1, 2)
    low, high = (np.ceil(each - 0.5).clip(0, size).astype(np.int64) for each in (low, high))
    corners, ends = np.tile(size, (len(objects), 1)), np.zeros((len(objects), 2), np.int64)
    np.minimum.at(corners, owners, low)
    np.maximum.at(ends, owners, high)
    crops = [np.zeros((height, width), bool) for width, height in np.maximum(ends - corners, 0).tolist()]
    for row, inside, (x, y) in zip(
        owners.tolist(), _fill(parts, low, high), (low - corners[owners]).tolist(), strict=True
    ):
        crops[row][y : y + inside.shape[0], x : x + inside.shape[1]] |= inside
    return Masks(shape, corners, tuple(crops))


def _fill(
    parts: Sequence[npt.NDArray[np.float64]], low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]
) -> list[Mask]:
    """The pixels from low (x y) up to high of each part, all parts at once.

    Along a line of pixel centres, every edge that crosses it turns outside into inside or back. The crossings
    are marked in one buffer of all parts' rows, each row with a place more for those right of its last
    pixel; as a row has an even number of them, one running parity serves the whole buffer.
    """
    width, height = (high - low).T + np.array([[1], [0]])
    begin = np.concatenate([[0], np.cumsum(width * height)])
    start = np.concatenate([np.zeros((0, 2)), *parts])
    stop = np.concatenate([np.zeros((0, 2)), *(np.roll(part, -1, axis=0) for part in parts)])
    owner = np.repeat(np.arange(len(parts)), np.array([len(part) for part in parts], np.int64))
    top, bottom = np.minimum(start[:, 1], stop[:, 1]), np.maximum(start[:, 1], stop[:, 1])
    low_row, high_row = (
        np.clip(np.ceil(y - 0.5).astype(np.int64), low[owner, 1], high[owner, 1]) for y in (top, bottom)
    )
    count = high_row - low_row
    edge = np.repeat(np.arange(len(start)), count)
    row = np.arange(len(edge)) + np.repeat(low_row - np.cumsum(count) + count, count)
    slope = (stop[edge, 0] - start[edge, 0]) / (stop[edge, 1] - start[edge, 1])
    x = start[edge, 0] + (row + 0.5 - start[edge, 1]) * slope
    part = owner[edge]
    column = np.clip(np.ceil(x - 0.5).astype(np.int64) - low[part, 0], 0, width[part] - 1)
    marks = np.zeros(begin[-1], bool)
    np.logical_xor.at(marks, begin[part] + (row - low[part, 1]) * width[part] + column, True)
    inside = np.logical_xor.accumulate(marks)
    bounds = zip(begin.tolist(), begin[1:].tolist(), height.tolist(), width.tolist(), strict=False)
    return [inside[first:last].reshape(h, w)[:, :-1] for first, last, h, w in bounds]


def paired_iou(
    a: Masks, b: Masks, rows_a: npt.NDArray[np.integer[Any]], rows_b: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.float64]:
    """Intersection over union of mask rows_a[i] of a with rows_b[i] of b: (k,), (k,) → (k,). Two empty ones have 0."""
    low = np.maximum(a.corners[rows_a], b.corners[rows_b])
    high = np.minimum(_ends(a)[rows_a], _ends(b)[rows_b])
    meeting = np.flatnonzero((low < high).all(axis=1))
    places = (rows_a, rows_b, low - a.corners[rows_a], low - b.corners[rows_b], high - low)
    pairs = zip(meeting, *(place[meeting].tolist() for place in places), strict=True)
    result = np.zeros(len(rows_a))
    for pair, i, j, (x, y), (u, v), (w, h) in pairs:
        one, other = a.crops[i], b.crops[j]
        shared = np.count_nonzero(one[y : y + h, x : x + w] & other[v : v + h, u : u + w])
        if shared:
            result[pair] = shared / (np.count_nonzero(one) + np.count_nonzero(other) - shared)
    return result


def _ends(masks: Masks) -> npt.NDArray[np.int64]:
    """(n, 2) x y beyond the last pixel of each rectangle."""
    return masks.corners + np.array([crop.shape[::-1] for crop in masks.crops], np.int64).reshape(-1, 2)
