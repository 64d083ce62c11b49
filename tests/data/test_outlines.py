"""Tables of rings behave as the rings one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from yolocore.boxes import clip
from yolocore.data.outlines import Outlines
from yolocore.masks import rasterize

SHAPE = (30, 40)


def some(seed: int) -> list[list[np.ndarray]]:
    """Up to four objects of up to three rings, inside, across and outside of the picture."""
    rng = np.random.default_rng(seed)
    return [
        [rng.uniform(-20, 60, (rng.integers(3, 8), 2)) for _ in range(rng.integers(1, 4))]
        for _ in range(rng.integers(0, 5))
    ]


def star(seed: int) -> np.ndarray:
    """A ring (k, 2) that does not cross itself, with limbs, around a place in the picture or near it."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
    reach = rng.uniform(2, 50, (len(angles), 1))
    return rng.uniform((-10, -10), (50, 40)) + reach * np.stack((np.cos(angles), np.sin(angles)), 1)


def visible_bounds(ring: np.ndarray) -> np.ndarray | None:
    """Around the parts of the ring's edges in the picture (Liang and Barsky 1984), and its corners in the ring."""
    seen = []
    area = np.array([(0, 0), SHAPE[::-1]], float)
    for start, end in zip(ring, np.roll(ring, -1, 0), strict=True):
        first, last = np.sort((area - start) / (end - start), 0)
        shares = max(0, *first), min(1, *last)
        if shares[0] < shares[1]:
            seen += [start + share * (end - start) for share in shares]
    for corner in np.array([(x, y) for x in area[:, 0] for y in area[:, 1]]):
        (x1, y1), (x2, y2) = (ring - corner).T, (np.roll(ring, -1, 0) - corner).T
        spans = (y1 > 0) != (y2 > 0)
        if (x1 - y1 * (x2 - x1) / (y2 - y1) > 0)[spans].sum() % 2:
            seen.append(corner)
    return np.concatenate((np.min(seen, 0), np.max(seen, 0))) if seen else None


things = st.integers(0, 2**32).map(some)


@settings(deadline=None, max_examples=100)
@given(objects=things)
def test_cutting_at_the_border_leaves_what_is_inside(objects: list) -> None:
    cut = Outlines.of(objects).clipped(SHAPE)
    before, after = rasterize(objects, SHAPE), rasterize(cut.polygons(len(objects)), SHAPE)
    assert np.array_equal(before.dense(), after.dense())
    assert (cut.points >= 0).all() and (cut.points <= SHAPE[::-1]).all()


@settings(deadline=None, max_examples=50)
@given(objects=things)
def test_the_bounds_are_those_of_the_points(objects: list) -> None:
    outlines = Outlines.of(objects)
    for parts, box in zip(objects, outlines.bounds(len(objects)), strict=True):
        every = np.concatenate(parts)
        assert np.array_equal(box, [*every.min(0), *every.max(0)])
    visible = outlines.clipped(SHAPE).bounds(len(objects))
    assert (visible[:, 2:] >= visible[:, :2]).all()
    assert np.array_equal(clip(visible, SHAPE), visible)


@settings(deadline=None, max_examples=300)
@given(ring=st.integers(0, 2**32).map(star))
def test_the_bounds_of_a_cut_ring_are_those_of_what_is_seen(ring: np.ndarray) -> None:
    cut = Outlines.of([[ring]]).clipped(SHAPE)
    expected = visible_bounds(ring)
    if expected is None:
        assert not len(cut.points)
    else:
        np.testing.assert_allclose(cut.bounds(1)[0], expected, atol=1e-9)


def test_a_limb_that_leaves_over_a_corner_and_returns_is_not_seen_along_the_border() -> None:
    # Out over the left border at 12, in again below the picture at x = 5, and back: nothing is seen at x = 0, y > 15.
    ring = np.array([(10, 5), (-5, 15), (-6, 50), (5, 51), (6, 45), (-1, 46), (-2, 14)], float)
    cut = Outlines.of([[ring]]).clipped(SHAPE)
    assert np.allclose(cut.bounds(1)[0], visible_bounds(ring))
    assert cut.bounds(1)[0, 3] < 16


@settings(deadline=None, max_examples=50)
@given(objects=things, chosen=st.lists(st.booleans(), min_size=4, max_size=4))
def test_taking_and_joining_are_those_of_lists(objects: list, chosen: list) -> None:
    keep = np.array(chosen[: len(objects)], bool)
    taken = Outlines.of(objects).clipped(SHAPE).take(keep)
    count = int(keep.sum())
    twice = Outlines.joined([taken, taken], [count, count]).polygons(2 * count)
    clipped = Outlines.of(objects).clipped(SHAPE).polygons(len(objects))
    expected = [parts for parts, stays in zip(clipped, keep, strict=True) if stays] * 2
    assert [[ring.tolist() for ring in parts] for parts in twice] == [
        [ring.tolist() for ring in parts] for parts in expected
    ]


def test_areas_and_moves() -> None:
    square, corner = [(0, 0), (4, 0), (4, 4), (0, 4)], [(10, 10), (10, 12), (12, 10)]
    outlines = Outlines.of([[np.array(square, float), np.array(corner, float)], [np.array(corner, float)]])
    assert outlines.areas(2).tolist() == [18, 2]
    matrices = np.stack([np.diag([2.0, 3, 1]), np.array([[1.0, 0, 5], [0, 1, 0], [0, 0, 1]])])
    moved = outlines.moved(matrices)
    assert moved.areas(2).tolist() == [108, 2]
    assert moved.bounds(2).tolist() == [[0, 0, 24, 36], [15, 10, 17, 12]]


def test_no_object_at_all() -> None:
    nothing = Outlines.of([]).clipped(SHAPE).moved(np.zeros((0, 3, 3)))
    assert nothing.bounds(0).shape == (0, 4) and nothing.areas(0).shape == (0,) and nothing.polygons(0) == []
