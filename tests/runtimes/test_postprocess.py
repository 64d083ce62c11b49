"""Masks: equal to deciding on the whole image at once, but only inside the boxes."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yolocore.letterbox import Letterbox
from yolocore.runtimes.postprocess import assemble

H, W = 64, 96  # the canvas


def sampled(picture, ys, xs):
    """(h, w) at rows ys and columns xs, pixel i being at i: bilinear, and beyond the outermost as these are."""
    rows = np.stack([np.interp(ys, np.arange(picture.shape[0]), column) for column in picture.T], axis=1)
    return np.stack([np.interp(xs, np.arange(picture.shape[1]), row) for row in rows])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1000), st.integers(8, 150), st.integers(8, 150))
@example(0, 50, 75).via("enlarged")
@example(0, H, W).via("as it is")
@example(0, 96, 144).via("reduced")
@example(0, 8, 12).via("enlarged so far that cells are left out")
def test_equals_deciding_on_the_whole_image(seed, height, width):
    rng = np.random.default_rng(seed)
    place = Letterbox.fit((height, width), (H, W))
    prototypes = rng.normal(size=(32, H // 4, W // 4)).astype(np.float32)
    coefficients = rng.normal(size=(5, 32)).astype(np.float32)
    corners = rng.uniform(0, [width, height], (5, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    masks = assemble(coefficients, prototypes, boxes, place)
    cells = np.maximum(place.source, place.size)
    on_canvas = [
        ((np.arange(count) + 0.5) * size / count + pad) / 4 - 0.5
        for count, size, pad in zip(cells, place.size, place.offset[::-1], strict=True)
    ]
    centres = [
        (np.arange(pixels) + 0.5) * count / pixels - 0.5 for pixels, count in zip(place.source, cells, strict=True)
    ]
    ys, xs = np.indices(cells) * np.divide(place.source, cells)[:, None, None]
    for mask, weights, (x1, y1, x2, y2) in zip(masks.dense(), coefficients, boxes, strict=True):
        logits = sampled(np.tensordot(weights, prototypes, 1), *on_canvas)
        inside = (x1 <= xs) & (xs < x2) & (y1 <= ys) & (ys < y2)
        # The mean of ones and zeros around a pixel's centre is one if no zero has a share in it.
        expected = sampled((logits > 0) & inside, *centres) > 1 - 1e-6
        clear = sampled(np.abs(logits) < 1e-4, *centres) == 0
        np.testing.assert_array_equal(mask[clear], expected[clear])


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
