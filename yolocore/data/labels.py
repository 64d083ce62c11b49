"""What is known about an image: its objects, their canonical JSON form, and what makes a label wrong.

Sources (YOLO, COCO, VOC) turn their rows into `Instance`s in pixels; `check` is the one place that
decides which of them are usable. Coordinates are rounded to 1/1000 pixel when an instance is made, so
that a dataset read from its plain folder and from its shards has the same numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.config import canonical_json
from yolocore.rotated import from_corners

Numbers = tuple[float, ...]

# A box may stick out this share of the image's side (at least a pixel): annotation tools round.
EDGE_TOLERANCE = 0.01

# Problems that are always left out and counted, because they are harmless and real datasets have them.
ZERO_AREA = "zero-area box"
DUPLICATE = "duplicate box"
CROWD = "crowd region"
HARMLESS = frozenset({ZERO_AREA, DUPLICATE, CROWD})


@dataclass(frozen=True)
class Problem:
    """Something wrong with an image or a label.

    kind: what problems are counted by. where: file, and row or object in it. message: value and remedy.
    """

    kind: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True)
class Instance:
    """One object in an image, in pixels.

    box: x1 y1 x2 y2. polygons: outline as one or more parts, each x1 y1 x2 y2 …. keypoints: x y
    visibility for each. corners: the four corners of a rotated box, x1 y1 … x4 y4.
    where, text: the row it came from, for messages; no part of the label.
    """

    category: int
    box: Numbers
    polygons: tuple[Numbers, ...] = ()
    keypoints: Numbers = ()
    corners: Numbers = ()
    where: str = ""
    text: str = ""

    def __post_init__(self) -> None:
        for name in ("box", "keypoints", "corners"):
            object.__setattr__(self, name, _rounded(getattr(self, name)))
        object.__setattr__(self, "polygons", tuple(_rounded(part) for part in self.polygons))

    @property
    def kinds(self) -> set[str]:
        """Which kinds of labels it has, of boxes, polygons, keypoints (one that is labelled at least) and corners."""
        has = {"polygons": self.polygons, "keypoints": any(self.keypoints[2::3]), "corners": self.corners}
        return {"boxes", *(kind for kind, value in has.items() if value)}

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {"class": self.category, "box": self.box}
        for name in ("polygons", "keypoints", "corners"):
            if getattr(self, name):
                value[name] = getattr(self, name)
        return value


@dataclass(frozen=True, eq=False)
class Labels:
    """The true objects of an image, in pixels of the original image.

    classes: (n,) int64 indices into the dataset's names. boxes: (n, 4) float32, x1 y1 x2 y2.
    polygons: for each object its outline as parts (k, 2) float32 x y, no part where it has no outline; None where
    no object has one. keypoints: (n, k, 3) float32 x y visibility (0: not labelled, 1: hidden, 2: visible), all 0
    for an object without any; None where no object has any. corners: (n, 4, 2) float32, the corners of a rotated
    box in order round it; None unless every object has them.
    """

    classes: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float32]
    polygons: tuple[tuple[npt.NDArray[np.float32], ...], ...] | None = None
    keypoints: npt.NDArray[np.float32] | None = None
    corners: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.classes)

    @classmethod
    def from_json(cls, content: bytes | memoryview) -> Labels:
        """Read what `labels_json` wrote."""
        objects = json.loads(bytes(content))["objects"]
        classes = np.array([o["class"] for o in objects], np.int64)
        boxes = np.array([o["box"] for o in objects], np.float32).reshape(-1, 4)
        polygons = keypoints = corners = None
        if any("polygons" in o for o in objects):
            polygons = tuple(
                tuple(np.array(part, np.float32).reshape(-1, 2) for part in o.get("polygons", ())) for o in objects
            )
        if count := max((len(o.get("keypoints", ())) for o in objects), default=0):
            rows = [o.get("keypoints") or [0] * count for o in objects]
            keypoints = np.array(rows, np.float32).reshape(len(objects), -1, 3)
        if objects and all("corners" in o for o in objects):
            corners = np.array([o["corners"] for o in objects], np.float32).reshape(-1, 4, 2)
        return cls(classes, boxes, polygons, keypoints, corners)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Labels:
        """The objects of these rows: indices, or a mask (n,)."""
        polygons = self.polygons
        if polygons is not None:
            polygons = tuple(polygons[row] for row in np.arange(len(self))[rows].tolist())
        return Labels(
            self.classes[rows],
            self.boxes[rows],
            polygons,
            None if self.keypoints is None else self.keypoints[rows],
            None if self.corners is None else self.corners[rows],
        )

    @property
    def rotated(self) -> npt.NDArray[np.float32]:
        """(n, 5) float32 rotated boxes, x y w h and angle as in `rotated`.

        From the corners, else the smallest rectangle around the outline, else (no outline) the upright box.
        """
        if self.corners is not None:
            return from_corners(self.corners)
        outlines = self.polygons or ((),) * len(self)
        corners = [
            cv2.boxPoints(cv2.minAreaRect(np.concatenate(parts))) if parts else box[[[0, 1], [2, 1], [2, 3], [0, 3]]]
            for parts, box in zip(outlines, self.boxes, strict=True)
        ]
        return from_corners(np.array(corners, np.float32).reshape(-1, 4, 2))


def whole_image(category: int, size: tuple[int, int]) -> Instance:
    """The label of an image that has one class and no objects; size is (height, width)."""
    return Instance(category, (0, 0, size[1], size[0]))


def labels_json(instances: Sequence[Instance], size: tuple[int, int]) -> bytes:
    """The canonical bytes of an image's labels; size is (height, width)."""
    return canonical_json({"height": size[0], "width": size[1], "objects": [i.to_json() for i in instances]})


def check(
    instances: Sequence[Instance], size: tuple[int, int], names: Sequence[str]
) -> tuple[list[Instance], list[Problem]]:
    """The usable instances, clipped to the image, and what is wrong with the others.

    size: (height, width) of the image. names: the dataset's classes.
    """
    usable: list[Instance] = []
    problems: list[Problem] = []
    seen: set[tuple[int, Numbers, tuple[Numbers, ...], Numbers]] = set()
    for instance in instances:
        problem = _invalid(instance, size, names)
        if problem is None:
            instance = replace(instance, box=_clipped(instance.box, size))
            key = (instance.category, instance.box, instance.polygons, instance.keypoints)
            x1, y1, x2, y2 = instance.box
            if x1 == x2 or y1 == y2:
                problem = Problem(ZERO_AREA, instance.where, f"the box has no area in {instance.text!r}")
            elif key in seen:
                problem = Problem(DUPLICATE, instance.where, f"the same object stands above: {instance.text!r}")
            seen.add(key)
        if problem is None:
            usable.append(instance)
        else:
            problems.append(problem)
    return usable, problems


def _invalid(instance: Instance, size: tuple[int, int], names: Sequence[str]) -> Problem | None:
    height, width = size
    where, text = instance.where, instance.text
    if not 0 <= instance.category < len(names):
        known = f"0..{len(names) - 1} ({len(names)} names)"
        return Problem(
            "class out of range", where, f"class {instance.category} is not in {known} in {text!r}; correct the class"
        )
    numbers = (*instance.box, *(n for part in instance.polygons for n in part), *instance.keypoints, *instance.corners)
    if not all(map(math.isfinite, numbers)):
        return Problem("number not finite", where, f"a coordinate is not a finite number in {text!r}; correct the row")
    x1, y1, x2, y2 = instance.box
    if x2 < x1 or y2 < y1:
        return Problem("negative box", where, f"the box ends before it begins in {text!r}; swap its corners")
    margin_x, margin_y = max(1.0, EDGE_TOLERANCE * width), max(1.0, EDGE_TOLERANCE * height)
    if x1 < -margin_x or y1 < -margin_y or x2 > width + margin_x or y2 > height + margin_y:
        pixels = " ".join(f"{n:g}" for n in instance.box)
        return Problem(
            "box outside the image",
            where,
            f"the box {pixels} (pixels) is outside the {width}x{height} image in {text!r}; correct the row",
        )
    for x, y, visibility in zip(*(instance.keypoints[i::3] for i in range(3)), strict=True):
        if visibility not in (0, 1, 2):
            return Problem(
                "unknown visibility",
                where,
                f"a keypoint's visibility is {visibility:g}, not 0, 1 or 2 in {text!r}; correct the row",
            )
        if visibility and not (-margin_x <= x <= width + margin_x and -margin_y <= y <= height + margin_y):
            return Problem(
                "keypoint outside the image",
                where,
                f"the keypoint {x:g} {y:g} (pixels) is outside the {width}x{height} image in {text!r}; "
                "correct it, or give it the visibility 0",
            )
    return None


def _clipped(box: Numbers, size: tuple[int, int]) -> Numbers:
    height, width = size
    x1, y1, x2, y2 = box
    return (min(max(x1, 0.0), width), min(max(y1, 0.0), height), min(max(x2, 0.0), width), min(max(y2, 0.0), height))


def _rounded(numbers: Sequence[float]) -> Numbers:
    # Adding zero turns -0.0 into 0.0, which JSON would tell apart.
    return tuple(round(float(n), 3) + 0.0 for n in numbers)
