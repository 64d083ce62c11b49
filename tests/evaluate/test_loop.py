"""The loop over a split: right in every image, in the split's order, and plain about broken data."""

from dataclasses import replace

import numpy as np
import pytest

from tests.runtimes.bright import BrightRuntime, encoded, picture
from yolocore.config import ValConfig
from yolocore.data.labels import Labels
from yolocore.detections import Classification
from yolocore.errors import DataError
from yolocore.evaluate import detect_split, evaluate
from yolocore.masks import rasterize
from yolocore.meta import TASKS, ModelMeta
from yolocore.rotated import from_corners
from yolocore.runtimes.detector import LocalDetector

SIZES = [(64, 128), (128, 64), (96, 96), (64, 128), (200, 100), (32, 32), (100, 200)]


class Pictures:
    """A split in memory: image i has one rectangle of class i % 2."""

    def __init__(self, sizes, classes=2, broken=None):
        self.sizes = np.array(sizes, np.int32).reshape(-1, 2)
        self.names = [f"{i}.png" for i in range(len(sizes))]
        self.digest = "sha256:0"
        self._classes = classes
        self._broken = broken

    def __len__(self):
        return len(self.names)

    def box(self, index):
        height, width = self.sizes[index].tolist()
        return [width // 4, height // 4, width // 2, height - height // 4]

    def image(self, index):
        content = encoded(picture(self.sizes[index].tolist(), self.box(index), green=index % 2 == 1))
        return content[:60] if index == self._broken else content

    def where(self, index):
        return self.names[index]

    def labels(self, index):
        return Labels(np.array([index % self._classes]), np.array([self.box(index)], np.float32))


class Counting:
    """A listener that adds up."""

    def __init__(self):
        self.started, self.done = [], 0

    def start(self, label, total):
        self.started.append(total)

    def advance(self, n=1, **figures):
        self.done += n

    def epoch(self, number, row): ...
    def note(self, text): ...


@pytest.mark.parametrize("batch", [1, 3, 100], ids=["single images", "a batch too small at the end", "one batch"])
@pytest.mark.parametrize("rect", [True, False], ids=["rectangles", "squares"])
def test_finds_everything_in_the_splits_order(batch, rect):
    split, listener = Pictures(SIZES), Counting()
    config = ValConfig(batch=batch, rect=rect, conf=0.25)
    found = detect_split(LocalDetector(BrightRuntime()), split, config, listener)
    for index, detections in enumerate(found):
        assert detections.classes.tolist() == [index % 2]
        np.testing.assert_allclose(detections.boxes, [split.box(index)], atol=2)
    assert listener.started == [len(SIZES)] and listener.done == len(SIZES)


def test_batches_hold_images_of_like_shape():
    runtime = BrightRuntime()
    detect_split(LocalDetector(runtime), Pictures([(64, 128), (128, 64)] * 2), ValConfig(batch=2))
    assert runtime.seen == [(2, 3, 96, 160), (2, 3, 160, 96)]


class Knowing:
    """A detector of any task that finds what `Pictures` shows, with the columns that the task has."""

    def __init__(self, task):
        self.meta = ModelMeta(task=task, names=("red", "green"), keypoints=(4, 2) if task == "pose" else None)

    def detect(self, images, **_):
        found = [LocalDetector(BrightRuntime()).detect([image], conf=0.25, iou=0.7, max_det=9)[0] for image in images]
        return [self.more(each, image.shape[:2]) for each, image in zip(found, images, strict=True)]

    def more(self, each, shape):
        corners = corners_of(each.boxes)
        columns = {
            "segment": {"masks": rasterize([(part,) for part in corners], shape)},
            "pose": {"keypoints": np.concatenate([corners, np.ones((len(each), 4, 1), np.float32)], axis=2)},
            "obb": {"rotated": from_corners(corners)},
        }
        return replace(each, **columns.get(self.meta.task, {}))

    def classify(self, images, *, imgsz=None):
        green = [float(image[..., 1].any()) for image in images]
        return [Classification(np.array([1 - each, each], np.float32)) for each in green]


class Labelled(Pictures):
    """Labels of every kind at once."""

    def labels(self, index):
        plain = super().labels(index)
        corners = corners_of(plain.boxes)
        points = np.concatenate([corners, np.full((len(plain), 4, 1), 2, np.float32)], axis=2)
        return replace(plain, polygons=tuple((part,) for part in corners), keypoints=points, corners=corners)


def corners_of(boxes):
    return boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_evaluated(task):
    metrics = evaluate(Knowing(task), Labelled(SIZES), ValConfig(batch=3))
    assert metrics.fitness == pytest.approx(2 if task in ("segment", "pose") else 1, abs=0.15)
    assert metrics.images == metrics.objects.sum() == len(SIZES)


def test_masks_of_a_split_are_kept_packed():
    """They say the same, and unpack to the same, as when they were found."""
    split = Labelled(SIZES)
    found = detect_split(Knowing("segment"), split, ValConfig())
    for each, size in zip(found, SIZES, strict=True):
        expected = rasterize([(part,) for part in corners_of(each.boxes)], size)
        np.testing.assert_array_equal(each.masks.dense(), expected.dense())
        assert each.masks.areas().tolist() == expected.areas().tolist()


def test_evaluate_measures_what_was_found():
    metrics = evaluate(LocalDetector(BrightRuntime()), Pictures(SIZES), ValConfig())
    assert metrics.map50 == pytest.approx(1.0)
    assert metrics.images == len(SIZES) and metrics.names == ("red", "green")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        pytest.param(Pictures([]), "no images", id="empty split"),
        pytest.param(Pictures(SIZES, broken=3), "3.png: ", id="truncated image"),
        pytest.param(Pictures(SIZES, classes=5), "2.png: has class 2, but the model knows 2", id="foreign class"),
    ],
)
def test_bad_data_is_named(split, message):
    with pytest.raises(DataError, match=message):
        evaluate(LocalDetector(BrightRuntime()), split, ValConfig())
