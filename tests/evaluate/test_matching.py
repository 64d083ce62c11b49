"""Matching: the whole-dataset forms equal the plain loops, whatever the data."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import yolocore.evaluate.matching
from tests.evaluate.coco import random_split
from yolocore.boxes import iou_matrix
from yolocore.evaluate.matching import one_to_one, overlapping_pairs, rank_in_group, true_positives

splits = st.builds(
    random_split,
    seed=st.integers(0, 1000),
    images=st.integers(1, 4),
    classes=st.integers(1, 3),
    objects=st.integers(0, 12),
    grid=st.booleans(),
)
IOUS = np.array([0.3, 0.5, 0.75])


def columns(found, labels):
    """Boxes and images of all detections, scores, then boxes and images of all objects."""
    image = np.repeat(np.arange(len(found)), [len(f) for f in found])
    true_image = np.repeat(np.arange(len(labels)), [len(truth) for truth in labels])
    boxes = np.concatenate([f.boxes for f in found]).astype(np.float64)
    true_boxes = np.concatenate([truth.boxes for truth in labels]).astype(np.float64)
    return boxes, image, np.concatenate([f.scores for f in found]), true_boxes, true_image


@settings(deadline=None)
@given(splits)
def test_true_positives_equal_the_loop(split):
    boxes, image, scores, true_boxes, true_image = columns(*split)
    overlap = iou_matrix(boxes, true_boxes) * (image[:, None] == true_image)
    expected = np.zeros((len(boxes), len(IOUS)), bool)
    for t, threshold in enumerate(IOUS):
        free = np.ones(len(true_boxes), bool)
        for d in np.argsort(-scores, kind="stable"):
            candidates = np.flatnonzero(free & (overlap[d] >= threshold))
            if len(candidates):
                best = candidates[overlap[d, candidates] == overlap[d, candidates].max()][-1]
                free[best], expected[d, t] = False, True
    np.testing.assert_array_equal(true_positives(boxes, image, scores, true_boxes, true_image, IOUS), expected)


@settings(deadline=None)
@given(splits)
def test_one_to_one_equals_the_loop(split):
    boxes, image, _, true_boxes, true_image = columns(*split)
    overlap = iou_matrix(boxes, true_boxes) * (image[:, None] == true_image)
    expected = set()
    for flat in np.argsort(-overlap, axis=None, kind="stable"):
        d, g = np.unravel_index(flat, overlap.shape)
        if overlap[d, g] > 0.45 and not any(d == pair[0] or g == pair[1] for pair in expected):
            expected.add((d, g))
    found, true = one_to_one(boxes, image, true_boxes, true_image, 0.45)
    assert set(zip(found.tolist(), true.tolist(), strict=True)) == expected
    assert len(found) == len(expected)


def test_chunks_change_nothing(monkeypatch):
    boxes, image, _, true_boxes, true_image = columns(*random_split(0, images=10, classes=1, objects=10))
    whole = overlapping_pairs(boxes, image, true_boxes, true_image, 0.3)
    monkeypatch.setattr(yolocore.evaluate.matching, "_CHUNK", 7)
    for one, other in zip(overlapping_pairs(boxes, image, true_boxes, true_image, 0.3), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rank_in_group():
    groups, scores = np.array([3, 1, 3, 3, 1]), np.array([0.2, 0.5, 0.9, 0.2, 0.6], np.float32)
    assert rank_in_group(groups, scores).tolist() == [1, 1, 0, 2, 0]
