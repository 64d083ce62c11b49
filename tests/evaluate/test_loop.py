"""The loop over a split: right in every image, in the split's order, and plain about broken data."""

import numpy as np
import pytest

from tests.runtimes.bright import BrightRuntime, encoded, picture
from yolocore.config import ValConfig
from yolocore.data.labels import Labels
from yolocore.errors import DataError
from yolocore.evaluate import detect_split, evaluate
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
