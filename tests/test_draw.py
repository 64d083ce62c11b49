"""Objects land where they should, captions stay inside the picture, colours are stable and tell apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from yolocore.data.labels import Labels
from yolocore.detections import Classification, Detections
from yolocore.draw import colour, draw_box, draw_classification, draw_detections, draw_labels
from yolocore.masks import Masks

NAMES = ("cat", "dog")


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


FOUND = Detections(
    np.array([[100, 100, 180, 160], [40, 100, 140, 160]], np.float32),
    np.array([0.9, 0.8], np.float32),
    np.array([0, 1]),
)
SQUARE = np.zeros((200, 200), bool)
SQUARE[110:150, 60:170] = True


def drawn(**columns) -> np.ndarray:
    image = np.full((200, 200, 3), 50, np.uint8)
    draw_detections(image, replace(FOUND, **columns), NAMES)
    return image.astype(int)


def test_a_found_surface_is_tinted_and_the_ground_shines_through() -> None:
    image, plain = drawn(masks=Masks.from_dense(np.stack([SQUARE, SQUARE]))), drawn()
    inside, outside = (130, 150), (180, 150)
    assert (image[outside] == 50).all()
    tint = np.array(colour(0))
    assert (np.sign(image[inside] - 50) == np.sign(tint - 50)).all(), "the best object's colour lies on top"
    assert (np.abs(image[inside] - 50) < np.abs(tint - 50)).all()
    assert (plain[inside] == 50).all()


def test_keypoints_are_dots_where_they_are_seen() -> None:
    keypoints = np.array([[[120, 130, 0.9], [150, 130, 0.1]]] * 2, np.float32)
    image = drawn(keypoints=keypoints)
    assert (image[130, 120] > 200).all()
    assert (image[130, 150] == 50).all()


def test_a_rotated_box_takes_the_place_of_the_upright_one() -> None:
    turned = np.array([[140, 130, 60, 60, np.pi / 4], [60, 130, 10, 10, 0]], np.float32)
    image = drawn(rotated=turned)
    reach = 30 * np.sqrt(2)
    assert (image[130, round(140 + reach)] != 50).any()
    assert (image[130, 180] == 50).all(), "no side of the upright box"


LABELS = SimpleNamespace(classes=FOUND.classes, boxes=FOUND.boxes, polygons=None, keypoints=None, corners=None)


@pytest.mark.parametrize(
    ("column", "value", "inside"),
    [
        pytest.param("polygons", (((np.float32([[110, 110], [170, 110], [140, 150]])),), ()), (125, 150), id="outline"),
        pytest.param("keypoints", np.float32([[[150, 130, 1]], [[0, 0, 0]]]), (130, 150), id="keypoint"),
        pytest.param(
            "corners", np.float32([[[140, 100], [170, 130], [140, 160], [110, 130]]] * 2), (130, 170), id="corner"
        ),
    ],
)
def test_labels_are_drawn_like_detections(column, value, inside) -> None:
    image, plain = np.zeros((200, 200, 3), np.uint8), np.zeros((200, 200, 3), np.uint8)
    draw_labels(image, SimpleNamespace(**{**vars(LABELS), column: value}), NAMES)
    draw_labels(plain, LABELS, NAMES)
    assert image[inside].any() and not plain[inside].any()


def test_labels_without_corners_are_drawn_as_a_model_of_rotated_boxes_learns_them() -> None:
    outline = np.float32([[140, 60], [180, 100], [140, 140], [100, 100]])
    labels = Labels(np.array([0]), np.float32([[100, 60, 180, 140]]), polygons=((outline[[0, 1, 2, 3]],),))
    upright, turned = np.zeros((200, 200, 3), np.uint8), np.zeros((200, 200, 3), np.uint8)
    draw_labels(upright, labels, NAMES)
    draw_labels(turned, labels, NAMES, turned=True)
    corner, side = (140, 100), (120, 160)  # of the upright box; in the middle of a side of the rotated one
    assert upright[corner].any() and not turned[corner].any()
    assert (turned[side] == colour(0)).all() and not (upright[side] == colour(0)).all()


def test_a_classified_image_says_the_best_classes() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    draw_classification(image, Classification(np.array([0.2, 0.8], np.float32)), NAMES)
    rows = np.flatnonzero(image.any(axis=(1, 2)))
    assert (image == colour(1)).all(axis=2)[: len(rows) // 2].any(), "the best stands first"
    assert rows[-1] < 50
