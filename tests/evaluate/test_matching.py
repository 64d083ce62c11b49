"""Matching: the whole-dataset forms equal the plain loops, whatever the data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import yolocore.evaluate.matching
from tests.evaluate.coco import random_split
from yolocore.boxes import iou_matrix
from yolocore.evaluate.matching import Pairs, one_to_one, rank_in_group, similar_pairs, true_positives
from yolocore.evaluate.similarity import box_similarity

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
    """Image of all detections, their scores, image of all objects, and (n, m) IoU, 0 across images."""
    image = np.repeat(np.arange(len(found)), [len(f) for f in found])
    true_image = np.repeat(np.arange(len(labels)), [len(truth) for truth in labels])
    boxes = np.concatenate([f.boxes for f in found]).astype(np.float64)
    true_boxes = np.concatenate([truth.boxes for truth in labels]).astype(np.float64)
    overlap = iou_matrix(boxes, true_boxes) * (image[:, None] == true_image)
    return image, np.concatenate([f.scores for f in found]), true_image, overlap


@settings(deadline=None)
@given(splits, st.sampled_from([0.0, 0.3, 1.0]))
def test_true_positives_equal_the_loop(split, ignoring):
    image, scores, true_image, overlap = columns(*split)
    ignored = np.random.default_rng(0).random(len(true_image)) < ignoring
    right, void = np.zeros((2, len(image), len(IOUS)), bool)
    alike = np.zeros(len(image))
    for t, threshold in enumerate(IOUS):
        free = np.ones(len(true_image), bool)
        for d in np.argsort(-scores, kind="stable"):
            for which, result in ((~ignored, right), (ignored, void)):
                candidates = np.flatnonzero(free & which & (overlap[d] >= threshold))
                if len(candidates):
                    best = candidates[overlap[d, candidates] == overlap[d, candidates].max()][-1]
                    free[best], result[d, t] = False, True
                    if t == 0:
                        alike[d] = overlap[d, best]
                    break
    pairs = similar_pairs(image, true_image, box_similarity(*split), IOUS[0])
    *found, similarity = true_positives(pairs, image, scores, ignored, IOUS)
    for one, expected in zip(found, (right, void), strict=True):
        np.testing.assert_array_equal(one, expected)
    np.testing.assert_allclose(similarity, alike)


@settings(deadline=None)
@given(splits)
def test_one_to_one_equals_the_loop(split):
    image, _, true_image, overlap = columns(*split)
    expected = set()
    for flat in np.argsort(-overlap, axis=None, kind="stable"):
        d, g = np.unravel_index(flat, overlap.shape)
        if overlap[d, g] >= 0.45 and not any(d == pair[0] or g == pair[1] for pair in expected):
            expected.add((d, g))
    found, true = one_to_one(similar_pairs(image, true_image, box_similarity(*split), 0.45))
    assert set(zip(found.tolist(), true.tolist(), strict=True)) == expected
    assert len(found) == len(expected)


@settings(deadline=None)
@given(splits)
def test_all_pairs_are_listed(split):
    image, _, true_image, overlap = columns(*split)
    pairs = similar_pairs(image, true_image, box_similarity(*split), 0.2)
    expected = np.nonzero(overlap >= 0.2)
    assert sorted(zip(pairs.found, pairs.true, strict=True)) == sorted(zip(*expected, strict=True))
    np.testing.assert_allclose(pairs.similarity, overlap[pairs.found, pairs.true])


@pytest.mark.parametrize("chunk", [1, 7, 50])
def test_chunks_change_nothing(monkeypatch, chunk):
    split = random_split(0, images=10, classes=1, objects=10)
    image, _, true_image, _ = columns(*split)
    whole = similar_pairs(image, true_image, box_similarity(*split), 0.3)
    monkeypatch.setattr(yolocore.evaluate.matching, "_CHUNK", chunk)
    for one, other in zip(similar_pairs(image, true_image, box_similarity(*split), 0.3), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_matches_nothing():
    none = np.zeros(0, np.int64)
    pairs = similar_pairs(none, none, box_similarity([], []), 0.5)
    assert [len(each) for each in pairs] == [0, 0, 0]
    right, void, alike = true_positives(Pairs(none, none, np.zeros(0)), none, np.zeros(0, np.float32), none > 0, IOUS)
    assert right.shape == void.shape == (0, 3) and alike.shape == (0,)


def test_rank_in_group():
    groups, scores = np.array([3, 1, 3, 3, 1]), np.array([0.2, 0.5, 0.9, 0.2, 0.6], np.float32)
    assert rank_in_group(groups, scores).tolist() == [1, 1, 0, 2, 0]
