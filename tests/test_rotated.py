"""Rotated boxes: laws of their forms, overlaps against plain clipping and a fine raster, likeness by its formula."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolocore import boxes
from yolocore.rotated import enclosing, from_corners, paired_iou, prob_iou, regularize, to_corners

seeds = st.integers(0, 10_000)


def random_boxes(seed, n=20, round_to=None):
    """round_to: numbers are multiples of it and angles of an eighth turn, so that borders touch and coincide."""
    rng = np.random.default_rng(seed)
    made = np.column_stack([rng.uniform(0, 20, (n, 2)), rng.uniform(1, 30, (n, 2)), rng.uniform(-7, 7, n)])
    if round_to:
        made = np.maximum((made / round_to).round(), 1) * round_to
        made[:, 4] = rng.integers(0, 8, n) * np.pi / 4
    return made


def clipped_area(a, b):
    """Of two convex polygons in the same sense, by cutting one at each edge of the other (Sutherland, Hodgman 1974)."""
    for (px, py), (qx, qy) in zip(b, np.roll(b, -1, axis=0), strict=True):
        side = [(qx - px) * (y - py) - (qy - py) * (x - px) for x, y in a]
        kept = []
        for i in range(len(a)):
            here, before = side[i], side[i - 1]
            if (here >= 0) != (before >= 0):
                kept.append(a[i - 1] + (a[i] - a[i - 1]) * before / (before - here))
            if here >= 0:
                kept.append(a[i])
        a = kept
    return 0.5 * abs(sum(a[i - 1][0] * a[i][1] - a[i][0] * a[i - 1][1] for i in range(len(a))))


@settings(deadline=None, max_examples=50)
@given(seeds, st.sampled_from([None, 0.5, 5.0]))
def test_iou_equals_plain_clipping(seed, round_to):
    a, b = random_boxes(seed, round_to=round_to), random_boxes(seed + 1, round_to=round_to)
    shared = np.array([clipped_area(list(p), q) for p, q in zip(to_corners(a), to_corners(b), strict=True)])
    expected = shared / np.maximum(np.prod(a[:, 2:4], axis=1) + np.prod(b[:, 2:4], axis=1) - shared, 1e-9)
    np.testing.assert_allclose(paired_iou(a, b), expected, atol=1e-9)
    np.testing.assert_allclose(paired_iou(b, a), expected, atol=1e-9)


@settings(deadline=None)
@given(seeds, st.floats(-7, 7))
def test_iou_is_that_of_upright_boxes_turned_together(seed, angle):
    a, b = (np.column_stack([random_boxes(seed + i)[:, :4], np.zeros(20)]) for i in (0, 1))
    upright = boxes.paired_iou(*(boxes.xywh_to_xyxy(each[:, :4]) for each in (a, b)))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for each in (a, b):
        each[:, :2] = each[:, :2] @ turn
        each[:, 4] = angle
    np.testing.assert_allclose(paired_iou(a, b), upright, atol=1e-9)


def test_iou_equals_a_fine_raster():
    a, b = random_boxes(0, 6), random_boxes(1, 6)
    fine = 16
    for p, q, iou in zip(to_corners(a), to_corners(b), paired_iou(a, b), strict=True):
        pictures = [np.zeros((80 * fine, 80 * fine), np.uint8) for _ in range(2)]
        for picture, corners in zip(pictures, (p, q), strict=True):
            cv2.fillPoly(picture, [np.round((corners + 30) * fine).astype(np.int32)], 1)
        one, other = pictures
        assert iou == pytest.approx((one & other).sum() / (one | other).sum(), abs=0.01)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((5, 5, 4, 2, 0.3), (5, 5, 4, 2, 0.3), 1),
        ((5, 5, 4, 2, 0.3), (5, 5, 2, 4, 0.3 + np.pi / 2), 1),
        ((5, 5, 4, 2, 0), (5, 5, 4, 2, np.pi / 2), 1 / 3),
        ((5, 5, 4, 4, 0), (5, 5, 4, 4, np.pi / 4), 2 * (2**0.5 - 1) / (2 - 2 * (2**0.5 - 1))),
        ((5, 5, 4, 2, 0.3), (50, 5, 4, 2, 0.3), 0),
        ((5, 5, 4, 2, 0), (9, 5, 4, 2, 0), 0),
        ((5, 5, 0, 0, 0), (5, 5, 0, 0, 0), 0),
        ((5, 5, 4, 0, 0), (5, 5, 4, 2, 0), 0),
    ],
    ids=[
        "itself",
        "its other form",
        "a cross",
        "an octagon",
        "far away",
        "side by side",
        "two points",
        "a line in a box",
    ],
)
def test_iou_of_known_boxes(a, b, expected):
    assert paired_iou(np.array([a], np.float64), np.array([b], np.float64)) == pytest.approx([expected], abs=1e-12)


@settings(deadline=None)
@given(seeds)
def test_likeness_equals_its_formula_with_matrices(seed):
    a, b = random_boxes(seed, 5), random_boxes(seed + 1, 5)
    for p, q, likeness in zip(a, b, prob_iou(a, b), strict=True):
        covariances = []
        for *_, w, h, r in (p, q):
            turn = np.array([[np.cos(r), -np.sin(r)], [np.sin(r), np.cos(r)]])
            covariances.append(turn @ np.diag([w * w / 12, h * h / 12]) @ turn.T)
        mean, apart = sum(covariances) / 2, p[:2] - q[:2]
        determinants = [np.linalg.det(each) for each in (mean, *covariances)]
        bhattacharyya = apart @ np.linalg.inv(mean) @ apart / 8
        bhattacharyya += np.log(determinants[0] / np.sqrt(determinants[1] * determinants[2])) / 2
        assert likeness == pytest.approx(1 - np.sqrt(1 - np.exp(-bhattacharyya)), abs=1e-6)


def test_likeness_of_a_box_with_itself_is_one_and_of_empty_boxes_nothing():
    a = random_boxes(0)
    np.testing.assert_allclose(prob_iou(a, a), 1, atol=1e-6)
    empty = np.array([[5, 5, 0, 0, 0], [5, 5, 4, 0, 1]])
    assert prob_iou(empty, empty).tolist() == [0, 0]


@settings(deadline=None)
@given(seeds, st.sampled_from([np.float32, np.float64]))
def test_regular_form_is_the_same_rectangle(seed, dtype):
    made = random_boxes(seed).astype(dtype)
    regular = regularize(made)
    assert regular.dtype == dtype
    assert (regular[:, 2] >= regular[:, 3]).all()
    assert ((regular[:, 4] >= 0) & (regular[:, 4] < np.pi)).all()
    np.testing.assert_allclose(paired_iou(made, regular), 1, atol=1e-4 if dtype == np.float32 else 1e-9)
    np.testing.assert_array_equal(regularize(regular), regular)


def test_a_hair_below_the_half_turn_stays_in_range():
    made = np.array([[0, 0, 2, 1, -1e-9], [0, 0, 2, 1, np.pi], [0, 0, 1, 2, np.pi / 2]], np.float32)
    assert (regularize(made)[:, 4] < np.float32(np.pi)).all()


@settings(deadline=None)
@given(seeds)
def test_corners_and_back(seed):
    made = random_boxes(seed)
    corners = to_corners(made)
    np.testing.assert_allclose(from_corners(corners)[:, :4], regularize(made)[:, :4], atol=1e-9)
    np.testing.assert_allclose(paired_iou(from_corners(corners), made), 1, atol=1e-9)
    np.testing.assert_allclose(from_corners(corners[:, [2, 0, 3, 1]])[:, :4], regularize(made)[:, :4], atol=1e-9)
    edges = np.linalg.norm(np.diff(corners, axis=1), axis=2)
    np.testing.assert_allclose(edges[:, :2], made[:, 2:4])
    upright = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    np.testing.assert_allclose(enclosing(made), upright, atol=1e-9)


@settings(deadline=None)
@given(seeds)
def test_four_points_have_the_smallest_rectangle_round_them(seed):
    points = np.random.default_rng(seed).uniform(0, 50, (10, 4, 2)).astype(np.float32)
    made = from_corners(points)
    expected = [np.prod(cv2.minAreaRect(each)[1]) for each in points]
    np.testing.assert_allclose(made[:, 2] * made[:, 3], expected, rtol=1e-2, atol=0.5)
    wide = made.astype(np.float64)
    wide[:, 2:4] += 1e-3
    for corners, each in zip(points, to_corners(wide), strict=True):
        assert all(cv2.pointPolygonTest(each.astype(np.float32), tuple(map(float, p)), False) >= 0 for p in corners)


def test_no_boxes_and_one_point():
    none = np.zeros((0, 5), np.float32)
    assert paired_iou(none, none).shape == prob_iou(none, none).shape == (0,)
    assert to_corners(none).shape == (0, 4, 2) and enclosing(none).shape == (0, 4)
    assert from_corners(to_corners(none)).shape == regularize(none).shape == (0, 5)
    assert from_corners(np.full((1, 4, 2), 3, np.float32)).tolist() == [[3, 3, 0, 0, 0]]
