"""The box decoding against its definition, cell by cell."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from yolocore.model.decode import REG_MAX, anchor_points, decode_boxes

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
