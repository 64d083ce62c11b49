"""Pictures: they are there, show something, and have the same bytes for the same figures."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.evaluate.coco import random_split, with_masks
from tests.evaluate.test_loop import SIZES, Labelled, Pictures, corners_of
from yolocore.detections import Classification, Detections
from yolocore.evaluate import measure
from yolocore.evaluate.pictures import draw_predictions
from yolocore.evaluate.plots import draw_metrics
from yolocore.masks import rasterize

CURVES = ["f1_curve.png", "pr_curve.png", "precision_curve.png", "recall_curve.png"]
MATRICES = ["confusion_matrix.png", "confusion_matrix_normalized.png"]


@pytest.mark.parametrize(
    ("classes", "images"),
    [(3, 10), (40, 30), (2, 0)],
    ids=["few classes by name", "many classes in grey", "nothing at all"],
)
def test_metrics_are_drawn(tmp_path, classes, images):
    found, labels = random_split(0, images, classes, 6)
    names = draw_metrics(measure(found, labels, [f"class {i}" for i in range(classes)]), tmp_path)
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir()) == sorted(CURVES + MATRICES)
    for name in names:
        assert cv2.imread(str(tmp_path / name)).std() > 1


def test_further_kinds_have_curves_of_their_own(tmp_path):
    found, labels = with_masks(*random_split(0, 10, 3, 6))
    names = draw_metrics(measure(found, labels, ["a", "b", "c"], task="segment"), tmp_path)
    assert sorted(names) == sorted([*CURVES, *(f"mask_{name}" for name in CURVES), *MATRICES])
    assert (tmp_path / "pr_curve.png").read_bytes() != (tmp_path / "mask_pr_curve.png").read_bytes()


def test_classification_has_matrices_only(tmp_path):
    found = [Classification(np.float32([0.2, 0.8])), Classification(np.float32([0.9, 0.1]))]
    labels = [Pictures(SIZES).labels(index) for index in range(2)]
    assert draw_metrics(measure(found, labels, ["a", "b"], task="classify"), tmp_path) == MATRICES
    assert cv2.imread(str(tmp_path / MATRICES[0])).std() > 1


def test_pictures_have_the_same_bytes_again(tmp_path):
    metrics = measure(*random_split(0, 10, 3, 6), ["a", "b", "c"])
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        draw_metrics(metrics, folder)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def boxes_found(split):
    return [
        Detections(np.array([split.box(i)] * 2, np.float32), np.array([0.9, 0.1], np.float32), np.array([0, 1]))
        for i in range(len(split))
    ]


@pytest.mark.parametrize("count", [1, 4, 100], ids=["one", "some", "more than there are"])
def test_predictions_are_drawn_beside_the_labels(tmp_path, count):
    split = Pictures(SIZES)
    draw_predictions(split, boxes_found(split), ["red", "green"], tmp_path / "predictions.jpg", count)
    image = cv2.imread(str(tmp_path / "predictions.jpg"))
    rows = -(-min(count, len(SIZES)) // 2)
    assert image.shape[1] == 1600
    assert 200 * rows < image.shape[0] <= 430 * rows


ADDED = {
    "masks": lambda boxes, size: {"masks": rasterize([(each,) for each in corners_of(boxes)], size)},
    "keypoints": lambda boxes, size: {
        "keypoints": np.concatenate([corners_of(boxes), np.ones((2, 4, 1), np.float32)], 2)
    },
    "rotated": lambda boxes, size: {
        "rotated": np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2], [0.5, 0]]).astype(
            np.float32
        )
    },
}


@pytest.mark.parametrize("column", ADDED)
def test_what_each_task_finds_is_drawn(tmp_path, column):
    split = Labelled(SIZES)
    plain = boxes_found(split)
    more = [replace(each, **ADDED[column](each.boxes, tuple(size))) for each, size in zip(plain, SIZES, strict=True)]
    pictures = []
    for name, found in (("plain.png", plain), ("more.png", more)):
        draw_predictions(split, found, ["red", "green"], tmp_path / name, 100)
        pictures.append(cv2.imread(str(tmp_path / name)))
    changed = (pictures[0] != pictures[1]).any(axis=2)
    assert changed.any()
    assert not changed[:, :400].any() and not changed[:, 800:1200].any(), "the labels are drawn alike"


class Diamonds(Pictures):
    """Labels that are outlines standing on a corner, in the middle of their upright boxes."""

    def labels(self, index):
        labels = super().labels(index)
        outlines = tuple(((each + np.roll(each, 1, axis=0)) / 2,) for each in corners_of(labels.boxes))
        return replace(labels, polygons=outlines)


def test_outlines_beside_rotated_boxes_are_drawn_as_rotated_boxes(tmp_path):
    split = Diamonds(SIZES)
    plain = boxes_found(split)
    turned = [replace(each, **ADDED["rotated"](each.boxes, None)) for each in plain]
    pictures = []
    for name, found in (("plain.png", plain), ("turned.png", turned)):
        draw_predictions(split, found, ["red", "green"], tmp_path / name, 100)
        pictures.append(cv2.imread(str(tmp_path / name)))
    changed = (pictures[0] != pictures[1]).any(axis=2)
    assert changed[:, :400].any() and changed[:, 800:1200].any()


def test_a_small_mask_lies_where_the_large_one_does(tmp_path):
    """The surface drawn of a mask that is its box fills the box, in pictures made larger and smaller."""
    for side in (100, 1000):
        split = Pictures([(side, side)])
        (found,) = boxes_found(split)
        found = replace(found, masks=rasterize([(each,) for each in corners_of(found.boxes)], (side, side)))
        draw_predictions(split, [found], ["red", "green"], tmp_path / "one.png", 1)
        image = cv2.imread(str(tmp_path / "one.png"))[22 : 22 + 392, 404 : 404 + 392]
        x1, y1, x2, y2 = (np.array(split.box(0)) * 392 / side).round().astype(int)
        tinted = image[..., 0] > 20  # the rectangle is pure red, nothing else has blue
        assert tinted[y1 + 4 : y2 - 4, x1 + 4 : x2 - 4].all()


def test_classes_are_written_on_images(tmp_path):
    split = Pictures(SIZES)
    found = [Classification(np.float32([0.2, 0.8]))] * len(split)
    draw_predictions(split, found, ["red", "green"], tmp_path / "predictions.jpg", 3)
    assert cv2.imread(str(tmp_path / "predictions.jpg")).shape[1] == 1600
