"""The one value type for what a detector found in an image: columns of arrays, sliced as one.

Every stage after the network (suppression, evaluation, drawing, tracking, serving) is a free function
over `Detections`; adapters to other libraries' types live with whoever needs them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Detections:
    """Objects found in one image.

    boxes: (n, 4) float32, x1 y1 x2 y2 in pixels of the original image.
    scores: (n,) float32 in 0..1.
    classes: (n,) int64 indices into the model's class names.
    track_ids: (n,) int64 identities over time, or None where nothing was tracked.

    Raises ValueError at construction when the columns disagree in shape.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    track_ids: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        n = len(self.boxes)
        if self.boxes.shape != (n, 4):
            raise ValueError(f"boxes have shape {self.boxes.shape}, expected (n, 4)")
        for name in ("scores", "classes", "track_ids"):
            column = getattr(self, name)
            if column is not None and column.shape != (n,):
                raise ValueError(f"{name} has shape {column.shape}, expected ({n},) to match the boxes")

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    @classmethod
    def merge(cls, parts: Iterable[Detections]) -> Detections:
        """Concatenate in order. Track ids survive only if every part has them."""
        parts = list(parts)
        if not parts:
            return cls.empty()
        ids = [part.track_ids for part in parts]
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.classes for part in parts]),
            None if any(i is None for i in ids) else np.concatenate(ids),  # type: ignore[arg-type]
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: slice | npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> Detections:
        """Rows chosen by a slice, a boolean mask or an array of indices."""
        ids = None if self.track_ids is None else self.track_ids[rows]
        return Detections(self.boxes[rows], self.scores[rows], self.classes[rows], ids)
