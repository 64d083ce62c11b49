"""Matrices of views, and pictures drawn through them."""

from __future__ import annotations

import numpy as np
import pytest

from yolocore.config import TrainConfig
from yolocore.data.geometry import (
    draw,
    flip,
    mirror,
    mosaic_placements,
    project,
    project_boxes,
    random_view,
)
from yolocore.letterbox import Letterbox


def test_the_horizon_of_a_perspective_stays_outside_the_canvas() -> None:
    config = TrainConfig(perspective=0.001)
    reach = np.array([[[-0.25, -0.25], [1.25, -0.25], [1.25, 1.25], [-0.25, 1.25]]]) * 8192
    for seed in range(50):
        view = random_view(config, (8192, 8192), (4096, 4096), np.random.default_rng(seed))
        assert (reach[0] @ view[2, :2] + view[2, 2] > 0).all()
        assert np.isfinite(project(reach, view[None])).all()


@pytest.mark.parametrize("shape", [(64, 64), (64, 96), (96, 32)], ids=str)
def test_four_pictures_meet_in_one_point(shape: tuple[int, int]) -> None:
    sizes = [(50, 80), (80, 50), (30, 30), (200, 10)]
    for seed in range(20):
        matrices = mosaic_placements(sizes, shape, np.random.default_rng(seed))
        frames = project_boxes(np.array([(0, 0, width, height) for height, width in sizes], float), matrices)
        corners = [frames[0, 2:], frames[1, [0, 3]], frames[2, [2, 1]], frames[3, :2]]
        assert np.allclose(corners, corners[0])
        assert (corners[0] >= np.array(shape[::-1]) / 2).all() and (corners[0] <= np.array(shape[::-1]) * 1.5).all()
        sides = frames[:, 2:] - frames[:, :2]
        assert np.allclose((sides / shape[::-1]).max(1), 1)  # as large as they fit


def test_upright_pictures_are_drawn_where_the_returned_matrix_says() -> None:
    """A step from black to white lies within half a pixel of where the matrix puts it, whatever was rounded."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 30:] = 255
    rng = np.random.default_rng(0)
    for _ in range(30):
        zoom, shift = rng.uniform(0.6, 1.6), rng.uniform(-10, 10)
        matrix = np.array([[[zoom, 0, shift], [0, zoom, 0], [0, 0, 1]]])
        out = np.zeros((32, 64, 3), np.uint8)
        drawn = draw([image], [(80, 120)], matrix @ np.diag([0.5, 0.5, 1]), out)
        step = project(np.array([[[60.0, 10.0]]]), drawn)[0, 0, 0]
        if 2 < step < 62:
            assert abs(64 - (out[16, :, 0] / 255).sum() - step) < 0.5 + (64 - zoom * 60 - shift > 0) * 100


@pytest.mark.parametrize(("fliplr", "flipud"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_flip_moves_pixels_as_its_matrix_says(fliplr: int, flipud: int) -> None:
    before = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    after = before.copy()
    matrix = flip(after, TrainConfig(fliplr=fliplr, flipud=flipud), np.random.default_rng(0))
    for y in range(4):
        for x in range(6):
            u, v = project(np.array([[[x + 0.5, y + 0.5]]]), matrix[None])[0, 0]
            assert np.array_equal(after[int(v), int(u)], before[y, x])


def test_a_mirror_is_its_own_inverse() -> None:
    assert np.array_equal(mirror(30) @ mirror(30), np.eye(3))


def test_a_letterbox_is_centred() -> None:
    (corners,) = project(np.array([[[0.0, 0], [100, 50]]]), Letterbox.fit((50, 100), (64, 64)).matrix[None])
    assert corners.tolist() == [[0, 16], [64, 48]]
