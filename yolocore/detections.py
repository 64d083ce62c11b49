"""The one value type for what a detector found in an image: columns of arrays, sliced as one.

Every stage after the network (suppression, evaluation, drawing, tracking, serving) is a free function
over `Detections`; adapters to other libraries' types live with whoever needs them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from yolocore.masks import Masks


@dataclass(frozen=True, eq=False)
class Detections:
    """Objects found in one image. The first three columns are always there; the others are None where the
    task or the stage has no such thing.

    boxes: (n, 4) float32, x1 y1 x2 y2 in pixels of the original image; of a rotated box, the upright one
    around it.
    scores: (n,) float32 in 0..1.
    classes: (n,) int64 indices into the model's class names.
    track_ids: (n,) int64 identities over time.
    masks: n masks of the image's shape.
    keypoints: (n, k, 3) float32, x y in pixels, and how sure it is that the point can be seen (1 where the
    model doesn't say).
    rotated: (n, 5) float32, centre x y, width, height in pixels, and angle in radians (see `yolocore.rotated`).

    Raises ValueError at construction when the columns disagree in shape.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    track_ids: npt.NDArray[np.int64] | None = None
    masks: Masks | None = None
    keypoints: npt.NDArray[np.float32] | None = None
    rotated: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        n = len(self.boxes)
        for name, row in (("boxes", (4,)), ("scores", ()), ("classes", ()), ("track_ids", ()), ("rotated", (5,))):
            column = getattr(self, name)
            if column is not None and column.shape != (n, *row):
                raise ValueError(f"{name} has shape {column.shape}, expected {(n, *row)}")
        if self.keypoints is not None and self.keypoints.shape != (n, *self.keypoints.shape[1:2], 3):
            raise ValueError(f"keypoints has shape {self.keypoints.shape}, expected ({n}, k, 3)")
        if self.masks is not None and len(self.masks) != n:
            raise ValueError(f"there are {len(self.masks)} masks, expected {n}")

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    @classmethod
    def merge(cls, parts: Iterable[Detections]) -> Detections:
        """Concatenate in order. A column survives only if every part has it, masks only from images of one shape."""
        parts = list(parts)
        if not parts:
            return cls.empty()
        columns: dict[str, Any] = {}
        for field in fields(cls):
            found = [getattr(part, field.name) for part in parts]
            if any(column is None for column in found):
                columns[field.name] = None
            elif field.name == "masks":
                columns[field.name] = Masks.merge(found) if len({each.shape for each in found}) == 1 else None
            else:
                columns[field.name] = np.concatenate(found)
        return cls(**columns)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: slice | npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> Detections:
        """Rows chosen by a slice, a boolean mask or an array of indices."""
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen: dict[str, Any] = {name: None if column is None else column[rows] for name, column in columns.items()}
        return Detections(**chosen)


@dataclass(frozen=True, eq=False)
class Classification:
    """What an image shows as a whole. probabilities: (nc,) float32 of the model's classes, their sum is 1."""

    probabilities: npt.NDArray[np.float32]

    def top(self, count: int) -> npt.NDArray[np.int64]:
        """The most probable classes, best first; equal ones in the order of their indices."""
        return np.argsort(-self.probabilities, kind="stable")[:count]
