"""Accuracy as clients get it, under the limits of the served model or stricter ones."""

import numpy as np
import pytest

from tests.evaluate.test_loop import SIZES, Pictures
from tests.runtimes.bright import BrightRuntime
from yolocore.detections import Detections
from yolocore.errors import DataError
from yolocore.evaluate.served import Limits, evaluate_served
from yolocore.runtimes.detector import LocalDetector
from yolocore.runtimes.served import ServingInfo

META = BrightRuntime().meta
INFO = ServingInfo(meta=META, conf=0.25, iou=0.9, max_det=10)


class Misplacing(LocalDetector):
    """Finds each rectangle a little beside itself with a higher score, and where it is unless `only` that."""

    def __init__(self, only):
        super().__init__(BrightRuntime())
        self._only = only

    def detect(self, images, **settings):
        results = []
        for found in super().detect(images, **settings):
            width = found.boxes[:, 2:3] - found.boxes[:, :1]
            beside = Detections(found.boxes + 0.1 * width * [1, 0, 1, 0], found.scores + 0.05, found.classes)
            results.append(beside if self._only else Detections.merge([beside, found]))
        return results


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param(Limits(0.25, 0.7, 10), id="overlap"),
        pytest.param(Limits(0.25, 0.9, 1), id="rows"),
        pytest.param(Limits(0.25, 0.7, 1), id="both"),
    ],
)
def test_stricter_limits_leave_what_stricter_models_would(limits):
    split = Pictures(SIZES)
    twice = evaluate_served(Misplacing(only=False), split, INFO)
    left = evaluate_served(Misplacing(only=False), split, INFO, limits=limits)
    beside = evaluate_served(Misplacing(only=True), split, INFO)
    assert np.array_equal(left.principal.ap, beside.principal.ap)
    assert left.map50_95 < twice.map50_95


def test_a_higher_score_limit():
    metrics = evaluate_served(LocalDetector(BrightRuntime()), Pictures(SIZES), INFO, limits=Limits(0.95, 0.9, 10))
    assert metrics.map50_95 == 0


def test_the_strictest_of_several():
    other = INFO.model_copy(update={"conf": 0.1, "iou": 0.5, "max_det": 20})
    assert Limits.of([INFO, other]) == Limits(conf=0.25, iou=0.5, max_det=10)


def test_nothing_can_be_verified_without_objects():
    with pytest.raises(DataError, match="no labelled objects"):
        evaluate_served(LocalDetector(BrightRuntime()), Pictures([]), INFO)
