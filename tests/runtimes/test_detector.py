"""The detector: boxes come back in each image's own pixels, whatever canvas the network saw."""

import numpy as np
import pytest

from tests.runtimes.bright import BrightRuntime, picture
from yolocore.errors import ModelError, UsageError
from yolocore.runtimes.detector import LocalDetector, Timings, open_detector

SETTINGS = {"conf": 0.25, "iou": 0.7, "max_det": 300}
WIDE, TALL, SMALL = (96, 256), (256, 96), (32, 32)

CANVASES = [
    pytest.param([WIDE], {}, None, (64, 128), id="rectangle: shorter side rounded up"),
    pytest.param([WIDE], {"rect": False}, None, (128, 128), id="square"),
    pytest.param([WIDE], {"pad": 0.5}, None, (64, 160), id="rectangle with context"),
    pytest.param([WIDE], {"imgsz": 256}, None, (96, 256), id="another size"),
    pytest.param([WIDE, TALL], {}, None, (128, 128), id="a mixed batch takes what holds both"),
    pytest.param([SMALL], {}, None, (128, 128), id="a small image is enlarged"),
    pytest.param([SMALL, WIDE], {"pad": 0.5}, None, (160, 160), id="but not to fill the context"),
    pytest.param([WIDE, TALL], {"imgsz": 256}, (64, 96), (64, 96), id="a fixed shape stays"),
]


@pytest.mark.parametrize(("sizes", "options", "fixed", "canvas"), CANVASES)
def test_boxes_return_to_image_pixels(sizes, options, fixed, canvas):
    runtime = BrightRuntime(fixed)
    images = [picture(size, (5, 8, 25, 30), green=index == 1) for index, size in enumerate(sizes)]
    found = LocalDetector(runtime).detect(images, **SETTINGS, **options)
    assert runtime.seen == [(len(sizes), 3, *canvas)]
    for index, (size, detections) in enumerate(zip(sizes, found, strict=True)):
        gain = min(canvas[0] / size[0], canvas[1] / size[1])
        np.testing.assert_allclose(detections.boxes, [[5, 8, 25, 30]], atol=1.5 / min(gain, 1))
        assert detections.classes.tolist() == [index == 1]


def test_no_context_is_enlarged_away():
    """An image in a canvas with context keeps the longer side that was asked for."""
    runtime = BrightRuntime()
    detector = LocalDetector(runtime)
    (found,) = detector.detect([picture((64, 128), (0, 0, 128, 64))], **SETTINGS, pad=0.5)
    assert runtime.seen == [(1, 3, 96, 160)]
    np.testing.assert_array_equal(found.boxes, [[0, 0, 128, 64]])


def test_options_reach_the_suppression():
    detector = LocalDetector(BrightRuntime())
    images = [picture((64, 64), (5, 5, 20, 20))]
    assert len(detector.detect(images, conf=0.95, iou=0.7, max_det=300)[0]) == 0
    assert len(detector.detect(images, conf=0.25, iou=0.7, max_det=300, classes=[1])[0]) == 0
    assert len(detector.detect(images, conf=0.0005, iou=0.7, max_det=300, multi_label=True)[0]) == 6
    assert len(detector.detect(images, conf=0.0005, iou=0.7, max_det=1)[0]) == 1


def test_no_images_are_no_detections():
    assert LocalDetector(BrightRuntime()).detect([], **SETTINGS) == []


def test_time_is_counted_by_stage():
    detector = LocalDetector(BrightRuntime())
    for count in (1, 3):
        detector.detect([picture((64, 64))] * count, **SETTINGS)
    assert detector.timings.images == 4
    assert all(value > 0 for value in detector.timings.milliseconds().values())
    assert Timings().milliseconds() == {"preprocess_ms": 0, "inference_ms": 0, "postprocess_ms": 0}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param("missing.onnx", "no such file", id="missing export"),
        pytest.param("missing.pt", "no such file", id="missing checkpoint"),
        pytest.param("model.h5", "unknown kind", id="a format of others"),
        pytest.param("yolo11n", "unknown kind", id="an architecture has no weights"),
    ],
)
def test_what_cannot_be_opened(model, message):
    with pytest.raises(ModelError, match=f"^model={model}: {message}"):
        open_detector(model)


@pytest.mark.parametrize("model", ["model.onnx", "triton://127.0.0.1:1/finder"])
def test_precision_is_fixed_once_exported(model):
    with pytest.raises(UsageError, match=f"^half=True: {model} has the precision"):
        open_detector(model, half=True)
