"""The box decoding against its definition, cell by cell."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from yolocore.model.decode import (
    REG_MAX,
    anchor_points,
    decode_angles,
    decode_boxes,
    decode_keypoints,
    decode_rotated,
)

shapes = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=3)
distances = st.lists(st.integers(0, REG_MAX - 1), min_size=4, max_size=4)


@given(shapes)
def test_anchor_points_are_cell_centres_by_level_row_and_column(levels):
    strides = (8, 16, 32)[: len(levels)]
    centres, sizes = anchor_points(levels, strides, torch.device("cpu"))
    expected = [
        ((column + 0.5) * stride, (row + 0.5) * stride, stride)
        for (height, width), stride in zip(levels, strides, strict=True)
        for row in range(height)
        for column in range(width)
    ]
    np.testing.assert_array_equal(torch.cat((centres, sizes[None])).T, np.array(expected, np.float32))


@given(distances, st.tuples(st.integers(0, 640), st.integers(0, 640)), st.sampled_from((8, 16, 32)))
def test_a_certain_distribution_is_its_distance(sides, centre, stride):
    logits = torch.full((4, REG_MAX), -100.0)
    logits[range(4), sides] = 100.0
    box = decode_boxes(logits.view(1, -1, 1), torch.tensor(centre).view(2, 1).float(), torch.tensor([float(stride)]))
    (x, y), (left, top, right, bottom) = centre, (side * stride for side in sides)
    np.testing.assert_allclose(box[0, :, 0], [x - left, y - top, x + right, y + bottom], atol=1e-3)


@given(st.floats(-50, 50))
def test_a_flat_distribution_is_its_middle_whatever_its_height(height):
    logits = torch.full((4 * REG_MAX, 1), height)
    box = decode_boxes(logits, torch.zeros(2, 1), torch.tensor([8.0]))
    reach = (REG_MAX - 1) / 2 * 8
    np.testing.assert_allclose(box[:, 0], [-reach, -reach, reach, reach], rtol=1e-5)


@given(
    st.lists(st.tuples(st.floats(-4, 4), st.floats(-4, 4), st.floats(-4, 4)), min_size=1, max_size=4),
    st.tuples(st.integers(0, 79), st.integers(0, 79)),
    st.sampled_from((8, 16, 32)),
    st.sampled_from((2, 3)),
)
def test_keypoints_are_measured_from_the_cell_in_half_strides(points, cell, stride, dims):
    raw = torch.tensor([point[:dims] for point in points]).view(1, -1, 1)
    centre = (torch.tensor(cell).float() + 0.5) * stride
    found = decode_keypoints(raw, centre.view(2, 1), torch.tensor([float(stride)]), dims).view(-1, dims)
    (column, row) = cell
    for (x, y, logit), said in zip(points, found.tolist(), strict=True):
        visibility = [1 / (1 + math.exp(-logit))] if dims == 3 else []
        np.testing.assert_allclose(
            said, [(2 * x + column) * stride, (2 * y + row) * stride, *visibility], rtol=1e-5, atol=1e-3
        )


@given(st.floats(-1e6, 1e6))
def test_angles_span_a_half_turn_from_minus_an_eighth(raw):
    low, high = np.float32(-np.pi / 4), np.float32(3 * np.pi / 4)
    assert low - 1e-6 <= decode_angles(torch.tensor([raw])).item() <= high + 1e-6


def test_angle_of_nothing_said_is_an_eighth_of_a_turn():
    assert decode_angles(torch.zeros(1)).item() == np.float32(np.pi / 4)


@given(distances, st.floats(-np.pi / 4, 3 * np.pi / 4), st.sampled_from((8, 16, 32)))
def test_a_rotated_box_is_the_upright_one_turned_round_the_anchor_point(sides, angle, stride):
    logits = torch.full((4, REG_MAX), -100.0)
    logits[range(4), sides] = 100.0
    logits = logits.view(1, -1, 1)
    centre, strides = torch.tensor([[100.0], [60.0]]), torch.tensor([float(stride)])
    x, y, width, height, turned = decode_rotated(logits, torch.full((1, 1, 1), angle), centre, strides)[
        0, :, 0
    ].tolist()
    x1, y1, x2, y2 = decode_boxes(logits, centre, strides)[0, :, 0].tolist()
    assert turned == np.float32(angle)
    np.testing.assert_allclose((width, height), (x2 - x1, y2 - y1), atol=1e-3)
    offset = complex((x1 + x2) / 2 - 100, (y1 + y2) / 2 - 60) * complex(math.cos(angle), math.sin(angle))
    np.testing.assert_allclose((x, y), (100 + offset.real, 60 + offset.imag), atol=1e-3)
