"""Masks: small crops that stand for full pictures, outlines filled by pixel centres, exact overlaps."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolocore.masks import Masks, paired_iou, rasterize

SHAPE = (12, 17)
seeds = st.integers(0, 10_000)


def inside(polygon, shape):
    """The even-odd rule, pixel by pixel: a ray from the centre to the left crosses how many edges?"""
    result = np.zeros(shape, bool)
    edges = list(zip(polygon, np.roll(polygon, -1, axis=0), strict=True))
    for row, column in np.ndindex(shape):
        x, y = column + 0.5, row + 0.5
        crossed = [
            (x0 + (y - y0) * (x1 - x0) / (y1 - y0)) <= x for (x0, y0), (x1, y1) in edges if (y0 <= y) != (y1 <= y)
        ]
        result[row, column] = sum(crossed) % 2
    return result


def outlines(seed, objects, parts=2):
    """Random polygons, some of them outside the picture in part or as a whole, on whole and half pixels too."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(objects):
        polygons = [rng.uniform(-6, 20, (rng.integers(3, 9), 2)) for _ in range(rng.integers(0, parts + 1))]
        made.append([np.round(2 * each) / 2 if rng.random() < 0.5 else each for each in polygons])
    return made


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(0, 4))
def test_pixels_whose_centres_are_inside_are_covered(seed, objects):
    made = outlines(seed, objects)
    expected = np.zeros((objects, *SHAPE), bool)
    for mask, parts in zip(expected, made, strict=True):
        for part in parts:
            mask |= inside(part, SHAPE)
    np.testing.assert_array_equal(rasterize(made, SHAPE).dense(), expected)


@pytest.mark.parametrize(
    ("polygon", "pixels"),
    [
        ([(2, 3), (6, 3), (6, 8), (2, 8)], 20),
        ([(2.4, 3.4), (6.4, 3.4), (6.4, 8.4), (2.4, 8.4)], 20),
        ([(2.5, 3.5), (6.5, 3.5), (6.5, 8.5), (2.5, 8.5)], 20),
        ([(-9, -9), (99, -9), (99, 99), (-9, 99)], SHAPE[0] * SHAPE[1]),
        ([(2.1, 3.1), (2.4, 3.1), (2.4, 3.4)], 0),
        ([(20, 3), (25, 3), (25, 8)], 0),
        ([(2, 3), (6, 3)], 0),
        ([(2, 3)], 0),
    ],
    ids=[
        "whole pixels",
        "the same centres",
        "borders through centres: one side counts",
        "more than the picture",
        "between centres",
        "beside the picture",
        "a line",
        "a point",
    ],
)
def test_areas(polygon, pixels):
    masks = rasterize([[np.array(polygon, np.float32)]], SHAPE)
    assert masks.areas().tolist() == [pixels] == [np.count_nonzero(masks.dense())]


def test_a_fine_outline_covers_its_area():
    angle = np.linspace(0, 2 * np.pi, 500)
    circle = np.column_stack([100 + 80 * np.cos(angle), 90 + 80 * np.sin(angle)])
    masks = rasterize([[circle]], (180, 200))
    assert masks.areas()[0] == pytest.approx(cv2.contourArea(circle.astype(np.float32)), rel=1e-3)
    assert masks.crops[0].shape == (160, 160)


def random_masks(seed, n):
    rng = np.random.default_rng(seed)
    dense = np.zeros((n, *SHAPE), bool)
    for mask in dense:
        (y, v), (x, u) = (np.sort(rng.integers(0, side + 1, 2)) for side in SHAPE)
        mask[y:v, x:u] = rng.random((v - y, u - x)) < 0.7
    return dense


@settings(deadline=None)
@given(seeds, st.integers(0, 5), st.integers(0, 5))
def test_overlaps_equal_those_of_full_pictures(seed, n, m):
    a, b = random_masks(seed, n), random_masks(seed + 1, m)
    rows_a, rows_b = (each.ravel() for each in np.indices((n, m)))
    either = (a[rows_a] | b[rows_b]).sum(axis=(1, 2))
    expected = (a[rows_a] & b[rows_b]).sum(axis=(1, 2)) / np.maximum(either, 1)
    np.testing.assert_array_equal(paired_iou(Masks.from_dense(a), Masks.from_dense(b), rows_a, rows_b), expected)


@settings(deadline=None)
@given(seeds, st.integers(0, 5))
def test_crops_stand_for_full_pictures(seed, n):
    dense = random_masks(seed, n)
    masks = Masks.from_dense(dense)
    np.testing.assert_array_equal(masks.dense(), dense)
    np.testing.assert_array_equal(masks.areas(), dense.sum(axis=(1, 2)))
    np.testing.assert_array_equal(masks.packed().dense(), dense)
    np.testing.assert_array_equal(masks.packed()[::-1].dense(), dense[::-1])
    np.testing.assert_array_equal(masks[::-1].dense(), dense[::-1])
    np.testing.assert_array_equal(Masks.merge([masks, masks[:1]]).dense(), np.concatenate([dense, dense[:1]]))
    assert sum(crop.size for crop in masks.crops) <= dense.size


def test_corners_and_crops_must_agree():
    with pytest.raises(ValueError, match="corners has shape"):
        Masks(SHAPE, np.zeros((1, 2), np.int64), ())
    assert Masks.empty(SHAPE).dense().shape == (0, *SHAPE)
