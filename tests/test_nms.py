"""Suppression: equal to the plain greedy loop, deterministic, and every option does what it says."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import yolocore.nms
from yolocore import rotated
from yolocore.boxes import iou_matrix, xyxy_to_xywh
from yolocore.nms import non_max_suppression, suppress


def likeness(boxes):
    """`prob_iou` of every rotated box with every other: (n, n)."""
    n = len(boxes)
    return rotated.prob_iou(np.repeat(boxes, n, axis=0), np.tile(boxes, (n, 1))).reshape(n, n)


def greedy(boxes, labels, iou, max_det):
    """The textbook loop: best first, each is kept unless a kept one of its class overlaps it too much."""
    overlap = likeness(boxes) if boxes.shape[1] == 5 else iou_matrix(boxes, boxes)
    kept = []
    for i in range(len(boxes)):
        if not any(overlap[i, k] > iou and (labels is None or labels[i] == labels[k]) for k in kept):
            kept.append(i)
    return kept[:max_det]


def random_boxes(seed, n, spread, classes):
    rng = np.random.default_rng(seed)
    centre, size = rng.uniform(-spread, spread, (n, 2)), rng.uniform(0, 30, (n, 2))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1).astype(np.float32)
    return boxes, rng.integers(0, classes, n)


def random_rotated(seed, n, spread, classes):
    rng = np.random.default_rng(seed)
    # Long and flat ones among them: what a sweep along x sees of them depends on the angle.
    columns = rng.uniform(-spread, spread, (n, 2)), rng.gamma(1, 15, (n, 2)), rng.uniform(-1, 3, (n, 1))
    return np.concatenate(columns, axis=1).astype(np.float32), rng.integers(0, classes, n)


def raw(rows, classes=3):
    """Raw network output (4 + nc, N) from rows (xyxy, {class: score})."""
    prediction = np.zeros((4 + classes, len(rows)), np.float32)
    for column, (box, scores) in enumerate(rows):
        prediction[:4, column] = xyxy_to_xywh(np.array(box, np.float32))
        for label, score in scores.items():
            prediction[4 + label, column] = score
    return prediction


@settings(deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(0, 150),
    st.sampled_from([2, 20, 200]),
    st.sampled_from([1, 4]),
    st.sampled_from([0.1, 0.5, 0.7, 1.0]),
    st.booleans(),
    st.sampled_from([3, 300]),
    st.sampled_from([random_boxes, random_rotated]),
    st.sampled_from([1, 20, 1000]),
)
def test_equals_the_greedy_loop(seed, n, spread, classes, iou, agnostic, max_det, kind, block):
    boxes, labels = kind(seed, n, spread, classes)
    labels = None if agnostic else labels
    with mock.patch.object(yolocore.nms, "_BLOCK", block):
        assert suppress(boxes, labels, iou, max_det).tolist() == greedy(boxes, labels, iou, max_det)


A, A_SHIFTED, B = [0, 0, 100, 100], [5, 0, 105, 100], [200, 0, 300, 100]
CASES = [
    pytest.param([(A, {0: 0.9}), (A_SHIFTED, {0: 0.8})], {}, [(0, 0.9)], id="the better of two overlapping"),
    pytest.param([(A, {0: 0.8}), (A_SHIFTED, {0: 0.9})], {}, [(0, 0.9)], id="whatever their order"),
    pytest.param([(A, {0: 0.9}), (B, {0: 0.8})], {}, [(0, 0.9), (0, 0.8)], id="apart: both"),
    pytest.param([(A, {0: 0.9}), (A, {1: 0.8})], {}, [(0, 0.9), (1, 0.8)], id="classes don't suppress each other"),
    pytest.param([(A, {0: 0.9}), (A, {1: 0.8})], {"agnostic": True}, [(0, 0.9)], id="unless agnostic"),
    pytest.param([(A, {0: 0.9, 1: 0.8})], {}, [(0, 0.9)], id="an anchor's best class only"),
    pytest.param([(A, {0: 0.9, 1: 0.8})], {"multi_label": True}, [(0, 0.9), (1, 0.8)], id="or each, multi_label"),
    pytest.param([(A, {0: 0.9, 1: 0.8})], {"classes": [1]}, [], id="classes: a cat is no dog with a lower score"),
    pytest.param([(A, {0: 0.9}), (B, {2: 0.8})], {"classes": [2, 1]}, [(2, 0.8)], id="classes filter"),
    pytest.param([(A, {0: 0.25}), (B, {0: 0.26})], {}, [(0, 0.26)], id="conf must be exceeded"),
    pytest.param([(A, {0: 0.5}), (B, {0: 0.6})], {"max_det": 1}, [(0, 0.6)], id="max_det keeps the best"),
    pytest.param(
        [(A, {0: 0.5}), ([0, 0, 100, 50], {0: 0.4})], {"iou": 0.5}, [(0, 0.5), (0, 0.4)], id="IoU = iou stays"
    ),
    pytest.param([(A, {0: float("nan")})], {}, [], id="NaN is no detection"),
    pytest.param([], {}, [], id="no anchors above conf"),
]


@pytest.mark.parametrize(("rows", "options", "expected"), CASES)
def test_options(rows, options, expected):
    settings = {"nc": 3, "conf": 0.25, "iou": 0.7, "max_det": 300} | options
    found, extra = non_max_suppression(raw([*rows, (B, {})]), **settings)
    assert extra.shape == (len(found), 0)
    assert list(zip(found.classes.tolist(), found.scores.round(4).tolist(), strict=True)) == [
        (label, pytest.approx(score)) for label, score in expected
    ]


def test_equal_scores_are_ordered_by_anchor():
    prediction = raw([([i * 50, 0, i * 50 + 40, 40], {0: 0.5}) for i in range(40)])
    found, _ = non_max_suppression(prediction, nc=3, conf=0.1, iou=0.7, max_det=300)
    np.testing.assert_allclose(found.boxes[:, 0], np.arange(40) * 50, atol=1e-3)


def test_many_weak_candidates_are_cut_to_the_best(monkeypatch):
    monkeypatch.setattr(yolocore.nms, "MAX_CANDIDATES", 10)
    prediction = raw([([i * 50, 0, i * 50 + 40, 40], {0: 0.2 + i / 100}) for i in range(40)])
    found, _ = non_max_suppression(prediction, nc=3, conf=0.1, iou=0.7, max_det=300)
    np.testing.assert_allclose(found.scores, 0.59 - np.arange(10) / 100, atol=1e-6)


def test_boxes_come_back_as_corners():
    found, _ = non_max_suppression(raw([([10, 20, 40, 80], {1: 0.9})]), nc=3, conf=0.25, iou=0.7, max_det=300)
    np.testing.assert_allclose(found.boxes, [[10, 20, 40, 80]])
    assert found.boxes.dtype == np.float32 and found.classes.dtype == np.int64


def test_what_stands_behind_the_scores_stays_with_its_box():
    rows = [(A, {0: 0.5}), (A_SHIFTED, {0: 0.8}), (B, {2: 0.6, 0: 0.7})]
    prediction = np.concatenate([raw(rows), np.float32([[1, 2, 3], [10, 20, 30]])])
    found, extra = non_max_suppression(prediction, nc=3, conf=0.25, iou=0.7, max_det=300, multi_label=True)
    assert found.classes.tolist() == [0, 0, 2]
    np.testing.assert_array_equal(extra, [[2, 20], [3, 30], [3, 30]])


def test_rotated_boxes_are_suppressed_as_they_lie():
    """Three bars with nearly the same upright box: two of them along the same diagonal."""
    boxes = [[50, 50, 120, 10, np.pi / 4], [51, 50, 120, 10, np.pi / 4], [50, 50, 120, 10, -np.pi / 4]]
    prediction = np.zeros((4 + 2 + 1, 3), np.float32)
    prediction[[0, 1, 2, 3, 6]] = np.transpose(boxes)
    prediction[4] = 0.9, 0.8, 0.7
    found, extra = non_max_suppression(prediction, nc=2, conf=0.25, iou=0.7, max_det=300, turned=True)
    np.testing.assert_allclose(found.rotated, [boxes[0], boxes[2]], atol=1e-5)
    np.testing.assert_allclose(found.boxes, [[4, 4, 96, 96]] * 2, atol=0.1)
    assert extra.shape == (2, 1)
