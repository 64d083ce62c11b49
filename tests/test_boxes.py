"""Box geometry: worked examples, and the laws that hold for any boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from yolocore.boxes import area, clip, iou_matrix, paired_iou, xywh_to_xyxy, xyxy_to_xywh

coordinate = st.floats(-1000, 1000, width=32)
size = st.floats(0.125, 500, width=32)
xywh = st.integers(0, 8).flatmap(
    lambda n: st.tuples(arrays(np.float32, (n, 2), elements=coordinate), arrays(np.float32, (n, 2), elements=size)).map(
        lambda parts: np.concatenate(parts, axis=1)
    )
)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param([0, 0, 10, 10], [0, 0, 10, 10], 1.0, id="same"),
        pytest.param([0, 0, 10, 10], [5, 0, 15, 10], 1 / 3, id="half shifted"),
        pytest.param([0, 0, 10, 10], [2, 2, 4, 4], 0.04, id="inside"),
        pytest.param([0, 0, 10, 10], [10, 0, 20, 10], 0.0, id="touching"),
        pytest.param([0, 0, 10, 10], [20, 20, 30, 30], 0.0, id="apart on both axes: no product of negatives"),
        pytest.param([5, 5, 5, 5], [5, 5, 5, 5], 0.0, id="both empty: no division by zero"),
    ],
)
def test_iou(a, b, expected):
    a, b = np.array([a], np.float32), np.array([b], np.float32)
    assert iou_matrix(a, b)[0, 0] == pytest.approx(expected)
    assert paired_iou(a, b)[0] == pytest.approx(expected)


@given(xywh)
def test_conversions_are_inverse(boxes):
    np.testing.assert_allclose(xyxy_to_xywh(xywh_to_xyxy(boxes)), boxes, rtol=1e-4, atol=1e-3)


@given(xywh, xywh)
def test_iou_laws(a, b):
    a, b = xywh_to_xyxy(a), xywh_to_xyxy(b)
    matrix = iou_matrix(a, b)
    assert matrix.shape == (len(a), len(b))
    assert ((matrix >= 0) & (matrix <= 1)).all()
    np.testing.assert_array_equal(matrix, iou_matrix(b, a).T)
    np.testing.assert_array_equal(np.diag(iou_matrix(a, a)), paired_iou(a, a))


@given(xywh)
def test_clipped_boxes_lie_in_the_image_and_clip_once(boxes):
    clipped = clip(xywh_to_xyxy(boxes), (480, 640))
    assert clipped.dtype == np.float32
    assert (clipped >= 0).all() and (clipped[:, [0, 2]] <= 640).all() and (clipped[:, [1, 3]] <= 480).all()
    np.testing.assert_array_equal(clip(clipped, (480, 640)), clipped)
    assert (area(clipped) >= 0).all()
