"""Boxes land where they should, captions stay inside the picture, colours are stable and tell apart."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from yolocore.draw import colour, draw_box


def test_neighbouring_colours_differ_and_never_change() -> None:
    colours = [colour(index) for index in range(40)]
    assert colours == [colour(index) for index in range(40)]
    near = [np.abs(np.subtract(a, b)).max() for a, b in pairwise(colours)]
    assert min(near) > 60
    assert len(set(colours)) == 40


def test_the_box_is_drawn_at_its_border_only() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    draw_box(image, [20, 30, 60, 80], "", (0, 255, 0))
    rows, columns = np.nonzero(image[..., 1] > 128)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (20, 30, 60, 80)
    assert not image[35:75, 25:55].any()


@pytest.mark.parametrize(
    "box",
    [[0, 0, 30, 30], [190, 90, 199, 99], [-20, -20, 500, 500], [50, 50, 50, 50], [-80, -60, -10, -10]],
    ids=["at the corner", "at the far corner", "larger than the picture", "a point", "outside"],
)
def test_any_box_can_be_drawn(box: list[float]) -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    draw_box(image, np.array(box, np.float32), "person 0.97", (80, 200, 255))
    if box[0] >= 0:
        assert (image > 128).any(axis=-1).sum() > 200, "the caption is visible"
