"""Outlines of many objects as one table of points, so that moving, cutting and measuring them are few array steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolocore.data.geometry import Array, Shape, project

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Outlines:
    """Closed rings of points, one or more an object.

    points: (p, 2) float64 x, y; the points of a ring, and the rings of an object, stand together.
    rings: (p,) ring of each point, ascending; owners: (r,) object of each ring, ascending.
    """

    points: Array
    rings: Index
    owners: Index

    @classmethod
    def of(cls, objects: Sequence[Sequence[npt.NDArray[np.floating]]]) -> Outlines:
        """From the parts (k, 2) of each object."""
        parts = [part for each in objects for part in each]
        return cls(
            np.concatenate([np.zeros((0, 2)), *parts]),
            np.repeat(np.arange(len(parts)), np.array([len(part) for part in parts], np.int64)),
            np.repeat(np.arange(len(objects)), np.array([len(each) for each in objects], np.int64)),
        )

    @classmethod
    def joined(cls, groups: Sequence[Outlines], counts: Sequence[int]) -> Outlines:
        """One table of several; counts: objects in each."""
        rings = np.cumsum([0, *(len(each.owners) for each in groups[:-1])])
        objects = np.cumsum([0, *counts[:-1]])
        return cls(
            np.concatenate([each.points for each in groups]),
            np.concatenate([each.rings + first for each, first in zip(groups, rings, strict=True)]),
            np.concatenate([each.owners + first for each, first in zip(groups, objects, strict=True)]),
        )

    def take(self, keep: npt.NDArray[np.bool_]) -> Outlines:
        """Only the objects of a mask (n,)."""
        rings = keep[self.owners]
        points = rings[self.rings]
        return Outlines(
            self.points[points], (np.cumsum(rings) - 1)[self.rings[points]], (np.cumsum(keep) - 1)[self.owners[rings]]
        )

    def moved(self, matrices: Array) -> Outlines:
        """Each object's points through its matrix of (n, 3, 3)."""
        points = project(self.points[:, None], matrices[self.owners[self.rings]])
        return Outlines(points[:, 0], self.rings, self.owners)

    def clipped(self, shape: Shape) -> Outlines:
        """What lies in a picture (Sutherland and Hodgman 1974), all rings at once. Rings wholly outside lose all
        their points; parts of one that the picture separates stay joined along the border."""
        points, rings = self.points, self.rings
        for axis, sign, border in ((0, 1, 0), (1, 1, 0), (0, -1, shape[1]), (1, -1, shape[0])):
            depth = sign * (points[:, axis] - border)
            inside = depth >= 0
            if inside.all():
                continue
            after = _successors(rings)
            crosses = inside != inside[after]
            share = depth / np.where(crosses, depth - depth[after], 1)
            cuts = points + share[:, None] * (points[after] - points)
            cuts[:, axis] = border  # exactly
            # A point inside stays; the edge after it adds where it crosses the border.
            keep = np.stack((inside, crosses), 1).ravel()
            points = np.stack((points, cuts), 1).reshape(-1, 2)[keep]
            rings = rings.repeat(2)[keep]
        while (ends := _dead_ends(points, rings, shape)).any():
            points, rings = points[~ends], rings[~ends]
        return Outlines(points, rings, self.owners)

    def bounds(self, count: int) -> Array:
        """(count, 4) the upright box x1 y1 x2 y2 around each object, all 0 for one without points."""
        boxes = np.zeros((count, 4))
        owners = self.owners[self.rings]
        first = np.flatnonzero(np.diff(owners, prepend=-1))
        if len(first):
            boxes[owners[first], :2] = np.minimum.reduceat(self.points, first)
            boxes[owners[first], 2:] = np.maximum.reduceat(self.points, first)
        return boxes

    def areas(self, count: int) -> Array:
        """(count,) square pixels within each object's rings, those of its rings added up."""
        x, y = self.points.T
        after = _successors(self.rings)
        rings = np.bincount(self.rings, x * y[after] - x[after] * y, len(self.owners))
        return np.bincount(self.owners, np.abs(rings) / 2, count).astype(np.float64)

    def polygons(self, count: int) -> list[list[Array]]:
        """The rings (k, 2) of each object; those without points are left out."""
        objects: list[list[Array]] = [[] for _ in range(count)]
        first = np.flatnonzero(np.diff(self.rings, prepend=-1))
        if len(first):
            owners = self.owners[self.rings[first]].tolist()
            for owner, ring in zip(owners, np.split(self.points, first[1:]), strict=True):
                objects[owner].append(ring)
        return objects


def _dead_ends(points: Array, rings: Index, shape: Shape) -> npt.NDArray[np.bool_]:
    """(p,) where a ring runs along a picture's border and back, so that nothing is seen beside it.

    Cutting leaves such an end, to which bounds would reach, where a ring crosses one border beyond another.
    Of successive ends only the first: without it the next can be an ordinary point.
    """
    after = _successors(rings)
    before = np.empty_like(after)
    before[after] = np.arange(len(after))
    turns = (points[before] - points) * (points[after] - points) >= 0
    ends = np.zeros(len(points), bool)
    for axis, side in ((0, shape[1]), (1, shape[0])):
        for border in (0, side):
            on = points[:, axis] == border
            ends |= on & on[before] & on[after] & turns[:, 1 - axis]
    flat = np.bincount(rings[~ends], minlength=rings.max(initial=-1) + 1) == 0  # rings that are nothing else
    return ends & (~ends[before] | flat[rings])


def _successors(rings: Index) -> Index:
    """(p,) the point after each one in its ring."""
    after = np.arange(1, len(rings) + 1)
    last = np.flatnonzero(np.diff(rings, append=-1))
    after[last] = np.concatenate(([0], last[:-1] + 1))
    return after
