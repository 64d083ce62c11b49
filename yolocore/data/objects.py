"""The objects of a picture on their way through augmentation: labels that go through the picture's matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from yolocore.boxes import Boxes, area, clip
from yolocore.data.geometry import Array, Shape, project, project_boxes
from yolocore.data.labels import Labels
from yolocore.data.outlines import Outlines
from yolocore.masks import rasterize
from yolocore.meta import Task
from yolocore.rotated import to_corners

MASK_STRIDE = 4  # pixels of the picture, a side, for one of a training mask

# An object stays a label if enough of it is left to be recognised: pixels of its shorter side, and the share of
# its box that is visible. An outline shows what of the object is visible; a box may show only its empty corner.
MIN_SIDE = 2.0
MIN_AREA_SHARE = 0.10
MIN_AREA_SHARE_OUTLINED = 0.01
MAX_ASPECT = 100.0


@dataclass(frozen=True, eq=False)
class Objects:
    """n objects, in pixels of the picture that they are in.

    classes: (n,) int64. boxes: (n, 4) xyxy, upright. Beside them what the task needs, else None:
    outlines (segment); depth (segment): (n,), objects of less depth hide those behind them, their visible areas;
    keypoints (pose): (n, K, 3) x y visibility; corners (obb): (n, 4, 2) of the rotated boxes.
    """

    classes: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.floating]
    outlines: Outlines | None = None
    depth: npt.NDArray[np.floating] | None = None
    keypoints: npt.NDArray[np.floating] | None = None
    corners: npt.NDArray[np.floating] | None = None

    def __len__(self) -> int:
        return len(self.classes)

    @classmethod
    def of(cls, labels: Labels, task: Task, keypoints: int = 0) -> Objects:
        """What a task needs of an image's labels; keypoints: of an object.

        An object without an outline has that of its box, one without keypoints has none that are labelled.
        """
        objects = cls(labels.classes, labels.boxes)
        if task == "segment":
            parts = labels.polygons or ((),) * len(labels)
            rectangles = labels.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
            outlines = Outlines.of([own or (box,) for own, box in zip(parts, rectangles, strict=True)])
            return replace(objects, outlines=outlines, depth=outlines.areas(len(labels)))
        if task == "pose":
            given = labels.keypoints
            return replace(objects, keypoints=np.zeros((len(labels), keypoints, 3)) if given is None else given)
        if task == "obb":
            return replace(objects, corners=to_corners(labels.rotated))
        return objects

    @classmethod
    def joined(cls, groups: Sequence[Objects]) -> Objects:
        """One table of those of several pictures of one task."""
        if len(groups) == 1:
            return groups[0]
        outlines = [each.outlines for each in groups if each.outlines is not None]
        return cls(
            np.concatenate([each.classes for each in groups]),
            np.concatenate([each.boxes for each in groups]),
            Outlines.joined(outlines, [len(each) for each in groups]) if outlines else None,
            _stacked([each.depth for each in groups]),
            _stacked([each.keypoints for each in groups]),
            _stacked([each.corners for each in groups]),
        )

    def take(self, keep: npt.NDArray[np.bool_]) -> Objects:
        """Those of a mask (n,)."""
        return Objects(
            self.classes[keep],
            self.boxes[keep],
            None if self.outlines is None else self.outlines.take(keep),
            None if self.depth is None else self.depth[keep],
            None if self.keypoints is None else self.keypoints[keep],
            None if self.corners is None else self.corners[keep],
        )

    def moved(self, matrices: Array, flip_idx: Sequence[int] = ()) -> Objects:
        """Each object through its matrix of (n, 3, 3), its box around all of it.

        flip_idx: which keypoint each keypoint becomes in a mirror image.
        """
        if self.outlines is not None:
            outlines = self.outlines.moved(matrices)
            return replace(self, outlines=outlines, boxes=outlines.bounds(len(self)))
        if self.corners is not None:
            corners = project(self.corners, matrices)
            return replace(self, corners=corners, boxes=np.concatenate((corners.min(1), corners.max(1)), 1))
        boxes = project_boxes(self.boxes, matrices)
        if self.keypoints is None:
            return replace(self, boxes=boxes)
        keypoints = np.concatenate((project(self.keypoints[..., :2], matrices), self.keypoints[..., 2:]), 2)
        if flip_idx:
            mirrored = np.linalg.det(matrices) < 0
            keypoints[mirrored] = keypoints[mirrored][:, flip_idx]
        return replace(self, boxes=boxes, keypoints=keypoints)

    def visible(self, shape: Shape) -> Objects:
        """Those of which enough lies in the picture, and what of them does.

        Boxes are cut at its border, keypoints outside are no longer labelled; rotated boxes stay whole, since what
        is left of one is none.
        """
        if self.outlines is not None:
            return self._visible_outlines(self.outlines, shape)
        boxes, keypoints = clip(self.boxes, shape), self.keypoints
        if keypoints is not None:
            places = keypoints[..., :2]
            inside = np.logical_and(places >= 0, places < shape[::-1]).all(-1, keepdims=True)
            keypoints = keypoints * inside
        keep = _recognisable(boxes, area(self.boxes), MIN_AREA_SHARE)
        return replace(self, boxes=boxes, keypoints=keypoints).take(keep)

    def _visible_outlines(self, outlines: Outlines, shape: Shape) -> Objects:
        # Most objects of a mosaic lie outside; their points are not worth cutting.
        near = area(clip(self.boxes, shape)) > 0
        count = int(near.sum())
        outlines = outlines.take(near).clipped(shape)
        boxes = outlines.bounds(count)
        keep = _recognisable(boxes, area(self.boxes[near]), MIN_AREA_SHARE_OUTLINED)
        return Objects(self.classes[near], boxes, outlines, outlines.areas(count)).take(keep)

    def paint(self, out: npt.NDArray[np.int16]) -> None:
        """Paint outlines into an empty mask (height / 4, width / 4): 1 + the row of each object, the nearest last."""
        if self.outlines is None or self.depth is None:
            raise ValueError("objects without outlines can not be painted")
        polygons = [[ring / MASK_STRIDE for ring in rings] for rings in self.outlines.polygons(len(self))]
        masks = rasterize(polygons, (out.shape[0], out.shape[1]))
        corners = masks.corners.tolist()
        for row in np.argsort(-self.depth, kind="stable").tolist():
            (x, y), crop = corners[row], masks.crops[row]
            out[y : y + crop.shape[0], x : x + crop.shape[1]][crop] = row + 1


def _recognisable(visible: Boxes, whole: Boxes, share: float) -> npt.NDArray[np.bool_]:
    """Which boxes (n, 4), cut at the border, still show their object; whole: (n,) areas before."""
    sides = visible[:, 2:] - visible[:, :2]
    shorter, longer = sides.min(1), sides.max(1)
    return (shorter > MIN_SIDE) & (shorter * longer > share * whole) & (longer < MAX_ASPECT * shorter)


def _stacked(columns: Sequence[npt.NDArray[np.floating] | None]) -> npt.NDArray[np.floating] | None:
    given = [column for column in columns if column is not None]
    return np.concatenate(given) if given else None
