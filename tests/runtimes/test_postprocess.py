"""Masks: equal to enlarging every prototype to the image's pixels and deciding then, but only inside the boxes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolocore.letterbox import Letterbox
from yolocore.runtimes.postprocess import assemble

H, W = 64, 96  # the canvas


def enlarged(logits, place):
    """(h, w) of the canvas → the source's pixels, each looked up where its centre lies."""
    centres = [
        ((np.arange(pixels) + 0.5) * gain + pad) / 4 - 0.5
        for pixels, gain, pad in zip(place.source, place.gain[::-1], place.offset[::-1], strict=True)
    ]
    rows = np.stack([np.interp(centres[0], np.arange(logits.shape[0]), column) for column in logits.T], axis=1)
    return np.stack([np.interp(centres[1], np.arange(logits.shape[1]), row) for row in rows])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(8, 150), st.integers(8, 150))
def test_equals_deciding_on_the_whole_image(seed, height, width):
    rng = np.random.default_rng(seed)
    place = Letterbox.fit((height, width), (H, W))
    prototypes = rng.normal(size=(32, H // 4, W // 4)).astype(np.float32)
    coefficients = rng.normal(size=(5, 32)).astype(np.float32)
    corners = rng.uniform(0, [width, height], (5, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    masks = assemble(coefficients, prototypes, boxes, place)
    ys, xs = np.indices((height, width))
    for mask, weights, (x1, y1, x2, y2) in zip(masks.dense(), coefficients, boxes, strict=True):
        logits = enlarged(np.tensordot(weights, prototypes, 1), place)
        inside = (x1 <= xs) & (xs < x2) & (y1 <= ys) & (ys < y2)
        clear = np.abs(logits) > 1e-4
        np.testing.assert_array_equal(mask[clear], ((logits > 0) & inside)[clear])


@pytest.mark.parametrize(
    "box", [[10, 10, 10, 30], [10.1, 10, 10.4, 30], [0, 0, 0, 0]], ids=["no width", "no pixel's corner", "a point"]
)
def test_a_box_without_pixels_has_an_empty_mask(box):
    place = Letterbox.fit((H, W), (H, W))
    masks = assemble(np.ones((1, 32), np.float32), np.ones((32, H // 4, W // 4), np.float32), np.float32([box]), place)
    assert masks.dense().shape == (1, H, W) and not masks.dense().any()


def test_no_boxes_have_no_masks():
    place = Letterbox.fit((H, W), (H, W))
    empty = np.zeros((0, 4), np.float32)
    assert len(assemble(np.zeros((0, 32), np.float32), np.ones((32, 16, 24), np.float32), empty, place)) == 0
