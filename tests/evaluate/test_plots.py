"""Pictures: they are there, show something, and have the same bytes for the same figures."""

import cv2
import numpy as np
import pytest

from tests.evaluate.coco import random_split
from tests.evaluate.test_loop import SIZES, Pictures
from yolocore.detections import Detections
from yolocore.evaluate import measure
from yolocore.evaluate.plots import draw_metrics, draw_predictions


@pytest.mark.parametrize(
    ("classes", "images"),
    [(3, 10), (40, 30), (2, 0)],
    ids=["few classes by name", "many classes in grey", "nothing at all"],
)
def test_metrics_are_drawn(tmp_path, classes, images):
    found, labels = random_split(0, images, classes, 6)
    names = draw_metrics(measure(found, labels, [f"class {i}" for i in range(classes)]), tmp_path)
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        assert cv2.imread(str(tmp_path / name)).std() > 1


def test_pictures_have_the_same_bytes_again(tmp_path):
    metrics = measure(*random_split(0, 10, 3, 6), ["a", "b", "c"])
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        draw_metrics(metrics, folder)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize("count", [1, 4, 100], ids=["one", "some", "more than there are"])
def test_predictions_are_drawn_beside_the_labels(tmp_path, count):
    split = Pictures(SIZES)
    found = [
        Detections(np.array([split.box(i)] * 2, np.float32), np.array([0.9, 0.1], np.float32), np.array([0, 1]))
        for i in range(len(split))
    ]
    draw_predictions(split, found, ["red", "green"], tmp_path / "predictions.jpg", count)
    image = cv2.imread(str(tmp_path / "predictions.jpg"))
    rows = -(-min(count, len(SIZES)) // 2)
    assert image.shape[1] == 1600
    assert 200 * rows < image.shape[0] <= 430 * rows
