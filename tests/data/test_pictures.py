"""Pictures of datasets show every kind of label."""

import cv2
import numpy as np
import pytest

from yolocore.data import open_dataset
from yolocore.data.pictures import draw_samples, draw_statistics

KEYPOINTS = {"kpt_shape": [1, 3]}
ROW = "0 .5 .5 .5 .5"


@pytest.mark.parametrize(
    ("row", "description", "place", "marked"),
    [
        pytest.param(ROW, {}, (0.25, 0.5), True, id="edge of a box"),
        pytest.param(ROW, {}, (0.5, 0.5), False, id="inside of a box"),
        pytest.param("0 .2 .2 .8 .2 .8 .8 .2 .8", {}, (0.5, 0.5), True, id="surface"),
        pytest.param(f"{ROW} .5 .5 2", KEYPOINTS, (0.5, 0.5), True, id="keypoint"),
        pytest.param(f"{ROW} .5 .5 0", KEYPOINTS, (0.5, 0.5), False, id="keypoint that is not labelled"),
    ],
)
def test_samples_show_labels(yolo_folder, tmp_path, row, description, place, marked):
    pictures = []
    for name, text in (("with", row), ("without", "")):
        dataset = open_dataset(yolo_folder({"train/a": text, "val/b": ""}, name, **description))
        draw_samples(dataset.split("train"), dataset.names, tmp_path / f"{name}.jpg")
        pictures.append(cv2.imread(str(tmp_path / f"{name}.jpg")).astype(int))
    x, y = round(place[0] * 316), round(place[1] * 316 * 40 / 60)
    change = np.abs(pictures[0] - pictures[1])[y - 1 : y + 2, x - 1 : x + 2]
    assert (change.mean() > 20) == marked


def test_samples_name_the_class_of_an_image(class_folders, tmp_path):
    dataset = open_dataset(class_folders("train/cat/a.jpg", "train/dog/b.jpg", "val/cat/c.jpg"))
    draw_samples(dataset.split("train"), dataset.names, tmp_path / "samples.jpg")
    draw_samples(dataset.split("train"), ["", ""], tmp_path / "nameless.jpg")
    one, two = (cv2.imread(str(tmp_path / name)).astype(int) for name in ("samples.jpg", "nameless.jpg"))
    assert np.abs(one - two)[:16, :24].mean() > 20


def test_statistics_of_objects_and_of_images(yolo_folder, class_folders, tmp_path):
    objects = open_dataset(yolo_folder({"train/a": ROW, "val/b": ""}, "objects"))
    images = open_dataset(class_folders("train/cat/a.jpg", "val/dog/b.jpg", name="images"))
    for dataset in (objects, images):
        splits = [dataset.split(name) for name in dataset.splits]
        draw_statistics(splits, dataset.names, tmp_path / "statistics.png", dataset.legend.whole)
        assert cv2.imread(str(tmp_path / "statistics.png")).shape == (400, 1300, 3)
