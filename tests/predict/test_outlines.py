"""Outlines enclose what the mask has, to half a pixel, in a few points."""

import cv2
import numpy as np
import pytest

from yolocore.masks import Masks, rasterize
from yolocore.predict.outlines import outlines


def blob(*ellipses):
    mask = np.zeros((120, 160), np.uint8)
    for centre, axes, angle in ellipses:
        cv2.ellipse(mask, centre, axes, angle, 0, 360, 1, -1)
    return mask.astype(bool)


@pytest.mark.parametrize(
    ("mask", "parts"),
    [
        pytest.param(blob(((60, 60), (40, 25), 30)), 1, id="an ellipse"),
        pytest.param(blob(((40, 40), (12, 8), 0), ((110, 80), (30, 20), 70)), 2, id="two parts"),
        pytest.param(blob(((0, 0), (50, 50), 0)), 1, id="at the corner of the image"),
        pytest.param(np.ones((120, 160), bool), 1, id="the whole image"),
        pytest.param(np.arange(120 * 160).reshape(120, 160) == 5000, 1, id="one pixel"),
        pytest.param(np.zeros((120, 160), bool), 0, id="nothing"),
    ],
)
def test_outlines(mask, parts):
    masks = Masks.from_dense(mask[None])
    lines = outlines(masks, 0)
    assert len(lines) == parts
    assert all(len(line) >= 3 and line.dtype == np.float32 for line in lines)
    again = rasterize([lines], mask.shape).dense()[0]
    around = sum(cv2.arcLength(line, True) for line in lines)
    assert np.count_nonzero(again ^ mask) <= 0.1 * around
    assert sum(map(len, lines)) <= 0.5 * around + 4, "far fewer points than pixels on the line"


def test_the_longest_part_comes_first():
    masks = Masks.from_dense(blob(((40, 40), (12, 8), 0), ((110, 80), (30, 20), 70))[None])
    first, second = outlines(masks, 0)
    assert cv2.arcLength(first, True) > cv2.arcLength(second, True)
