"""Binary masks of objects in an image, each kept as the pixels of its own bounding rectangle only.

Three hundred masks of a 640 × 480 image would be 92 MB as full pictures; objects are small, and outside its
rectangle a mask says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

    def dense(self) -> Mask:
        """Full pictures, (n, height, width) bool."""
        full = np.zeros((len(self), *self.shape), bool)
        for mask, (x, y), crop in zip(full, self.corners.tolist(), self.crops, strict=True):
            mask[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        return full

    def areas(self) -> npt.NDArray[np.int64]:
        """(n,) pixels in each mask."""
        return np.array([np.count_nonzero(crop) for crop in self.crops], np.int64)
